"""`Expression`: a condition over arrays, written as in Python, parsed and evaluated safely."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ...storage.errors import GraphError
from ...storage.messages.names import did_you_mean
from .evaluation import (
    ARITHMETIC,
    COMPARISONS,
    CONNECTIVES,
    MEMBERSHIP,
    Evaluation,
    is_name_of,
    on_host,
)

MOST_CHARACTERS = 10_000
"""Maximum characters of an expression."""

MOST_DEPTH = 50
"""Maximum depth of an expression, which is evaluated recursively."""

_ALLOWED = (
    *(ast.Expression, ast.BoolOp, ast.Compare, ast.BinOp, ast.UnaryOp, ast.Name, ast.Constant),
    *(ast.Tuple, ast.List, ast.Load, ast.Not, ast.USub, *MEMBERSHIP),
    *COMPARISONS,
    *ARITHMETIC,
    *CONNECTIVES,
)
_CONSTANTS = (bool, int, float, str)
_WITH_STRINGS = (ast.Compare, ast.Tuple, ast.List)


@dataclass(frozen=True)
class Expression:
    """A parsed expression.

    Attributes
    ----------
    names : tuple of str
        Names of the arrays that it takes, in the order of the first mention.
    """

    text: str
    body: ast.expr
    names: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Expression:
        """Parse an expression.

        Raises
        ------
        GraphError
            It is not valid, or has parts that are not supported.

        Examples
        --------
        >>> Expression.parse("lang == 'fr' and 0.5 < share <= 1").names
        ('lang', 'share')
        """
        if not isinstance(text, str) or len(text) > MOST_CHARACTERS:
            raise GraphError(
                f"a condition must be a string of at most {MOST_CHARACTERS:,} characters, such as "
                '"n_words > 5"'
            )
        try:
            parsed = ast.parse(text.strip(), mode="eval")
            nodes = list(ast.walk(parsed))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            why = error.msg if isinstance(error, SyntaxError) else error
            raise GraphError(f"condition {text!r} is not valid: {why}") from None
        for node in nodes:
            _require_allowed(node, text)
        _require_places(nodes, text)
        _require_shallow(parsed.body, text)
        listed = (node.id for node in sorted(_names(nodes), key=_position))
        names = tuple(dict.fromkeys(listed))
        if not names:
            raise GraphError(f"condition {text!r} mentions no field or column")
        if not isinstance(parsed.body, ast.BoolOp | ast.Compare | ast.Name) and not (
            isinstance(parsed.body, ast.UnaryOp) and isinstance(parsed.body.op, ast.Not)
        ):
            raise GraphError(f"condition {text!r} is not true or false: compare it with a number")
        return cls(text, parsed.body, names)

    def require_sense(self, categories: Mapping[str, Sequence[str]]) -> None:
        """Raise `GraphError` where a category is compared with something other than its names."""
        for node in ast.walk(self.body):
            if isinstance(node, ast.Compare):
                operands = [node.left, *node.comparators]
                for pair, comparison in zip(pairwise(operands), node.ops, strict=True):
                    for one, other in (pair, pair[::-1]):
                        if isinstance(one, ast.Name) and one.id in categories:
                            self._require_category(one.id, comparison, other, categories[one.id])
            else:
                children = ast.iter_child_nodes(node)
                odd = (one for one in children if is_name_of(one, categories))
                if isinstance(node, ast.BinOp | ast.UnaryOp | ast.BoolOp) and any(odd):
                    raise GraphError(
                        f"condition {self.text!r}: compare a category with ==, !=, in or not in"
                    )
        if is_name_of(self.body, categories):
            raise GraphError(f"condition {self.text!r} is a category, neither true nor false")

    def _require_category(
        self, name: str, comparison: ast.cmpop, other: ast.expr, known: Sequence[str]
    ) -> None:
        ordered = not isinstance(comparison, ast.Eq | ast.NotEq | ast.In | ast.NotIn)
        values = other.elts if isinstance(other, ast.Tuple | ast.List) else [other]
        if ordered or not all(isinstance(one, ast.Constant) for one in values):
            raise GraphError(
                f"condition {self.text!r}: {name!r} is a category; compare it with its names by "
                "==, !=, in or not in"
            )
        for one in values:
            value = one.value if isinstance(one, ast.Constant) else None
            if value not in known:
                hint = did_you_mean(value, known) if isinstance(value, str) else ""
                raise GraphError(
                    f"condition {self.text!r}: {value!r} is not one of the {len(known)} categories "
                    f"of {name!r}{hint}"
                )

    def of(self, values: Mapping[str, Any], categories: Mapping[str, Sequence[str]]) -> Any:
        """Return for which rows the expression is true: bool [n].

        Parameters
        ----------
        values : mapping
            Arrays of n rows, by name.
        categories : mapping
            The names of the categories whose numbers are in an array, by the array's name.
        """
        arrays = {name: on_host(value) for name, value in values.items()}
        return Evaluation(arrays, categories).of(self.body)


def _names(nodes: Sequence[ast.AST]) -> list[ast.Name]:
    return [node for node in nodes if isinstance(node, ast.Name)]


def _position(node: ast.Name) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _require_allowed(node: ast.AST, text: str) -> None:
    """Raise `GraphError` for a part that is not evaluated."""
    if not isinstance(node, _ALLOWED):
        raise GraphError(
            f"condition {text!r} has a part that is not evaluated ({type(node).__name__}); use "
            "names, constants, comparisons, and, or, not, in, +, -, * and /"
        )
    if isinstance(node, ast.Constant) and type(node.value) not in _CONSTANTS:
        raise GraphError(
            f"condition {text!r}: {node.value!r} cannot be compared with; use numbers and strings"
        )


def _require_places(nodes: Sequence[ast.AST], text: str) -> None:
    """Raise `GraphError` for a list, or a string, where none can be."""
    lists: set[int] = set()
    for node in nodes:
        if isinstance(node, ast.Compare):
            for comparison, right in zip(node.ops, node.comparators, strict=True):
                if isinstance(comparison, MEMBERSHIP):
                    _require_list(right, text)
                    lists.add(id(right))
    for node in nodes:
        if isinstance(node, ast.Tuple | ast.List) and id(node) not in lists:
            raise GraphError(f"condition {text!r}: a list can only follow in or not in")
        parts = ast.iter_child_nodes(node) if not isinstance(node, _WITH_STRINGS) else ()
        if any(isinstance(one, ast.Constant) and isinstance(one.value, str) for one in parts):
            raise GraphError(f"condition {text!r}: a string can only be compared")


def _require_shallow(body: ast.expr, text: str) -> None:
    level: list[ast.AST] = [body]
    for _ in range(MOST_DEPTH):
        level = [one for node in level for one in ast.iter_child_nodes(node)]
    if level:
        raise GraphError(
            f"condition {text[:60]!r}... has more than {MOST_DEPTH} levels; split it into several "
            "conditions"
        )


def _require_list(node: ast.expr, text: str) -> None:
    elements = node.elts if isinstance(node, ast.Tuple | ast.List) else []
    if not elements or not all(isinstance(one, ast.Constant) for one in elements):
        raise GraphError(
            f"condition {text!r}: in and not in need a list of constants, such as ('fr', 'en')"
        )
