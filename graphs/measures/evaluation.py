"""`Evaluation`: evaluates a parsed expression over arrays, node by node.

Expressions are parsed and checked in `expression`.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np

COMPARISONS: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
ARITHMETIC: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
CONNECTIVES: Mapping[type, Any] = {ast.And: np.logical_and, ast.Or: np.logical_or}
MEMBERSHIP = (ast.In, ast.NotIn)


@dataclass(frozen=True)
class Evaluation:
    """Evaluates the nodes of a checked expression.

    Parameters
    ----------
    values : mapping
        Arrays of n rows in the host's memory, by name.
    categories : mapping
        Names of the categories whose numbers are in an array, by the array's name.
    """

    values: Mapping[str, Any]
    categories: Mapping[str, Sequence[str]]

    def of(self, node: ast.expr) -> Any:
        """Return the value of a node: an array, or a constant."""
        if isinstance(node, ast.Name):
            return self.values[node.id]
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.BoolOp):
            return reduce(CONNECTIVES[type(node.op)], map(self.of, node.values))
        if isinstance(node, ast.UnaryOp):
            value = self.of(node.operand)
            return np.logical_not(value) if isinstance(node.op, ast.Not) else operator.neg(value)
        if isinstance(node, ast.BinOp):
            with np.errstate(divide="ignore", invalid="ignore"):
                return ARITHMETIC[type(node.op)](self.of(node.left), self.of(node.right))
        assert isinstance(node, ast.Compare)  # nothing else is parsed
        operands = [node.left, *node.comparators]
        compared = [
            self._compared(*pair, comparison)
            for pair, comparison in zip(pairwise(operands), node.ops, strict=True)
        ]
        return reduce(np.logical_and, compared)

    def _compared(self, left: ast.expr, right: ast.expr, comparison: ast.cmpop) -> Any:
        named = (one.id for one in (left, right) if isinstance(one, ast.Name))
        names = next((self.categories[one] for one in named if one in self.categories), None)
        if isinstance(comparison, MEMBERSHIP):
            value = self.of(left)
            elements = right.elts if isinstance(right, ast.Tuple | ast.List) else []
            found = [_equal(value, self._operand(one, names)) for one in elements]
            among = reduce(np.logical_or, found)
            return among if isinstance(comparison, ast.In) else np.logical_not(among)
        one, other = self._operand(left, names), self._operand(right, names)
        if isinstance(comparison, ast.Eq):
            return _equal(one, other)
        if isinstance(comparison, ast.NotEq):
            return np.logical_not(_equal(one, other))
        return COMPARISONS[type(comparison)](one, other)

    def _operand(self, node: ast.expr, names: Sequence[str] | None) -> Any:
        """Return an operand's value; for a category's name, its number."""
        value = self.of(node)
        return names.index(value) if names and isinstance(value, str) else value


def _equal(one: Any, other: Any) -> Any:
    """Return where two values are equal, and raise for a string and an array of numbers."""
    for array, value in ((one, other), (other, one)):
        if isinstance(value, str) and isinstance(array, np.ndarray) and array.dtype.kind in "biuf":
            raise TypeError(
                f"numbers are compared with {value!r}; if they are those of categories, give the "
                "block that computes them: condition(name, expression, block)"
            )
    return np.equal(one, other).astype(bool)


def on_host(value: Any) -> Any:
    """Return an array in the host's memory, where strings are."""
    return value if isinstance(value, np.ndarray) or not hasattr(value, "get") else value.get()


def is_name_of(node: ast.AST, categories: Mapping[str, Any]) -> bool:
    """Return whether a node is the name of an array of categories."""
    return isinstance(node, ast.Name) and node.id in categories
