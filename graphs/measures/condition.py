"""`condition`: a map-block that computes for which texts an expression over fields is true.

How an expression is parsed and evaluated is in `expression`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from ...storage.errors import GraphError
from ...storage.field import Field
from ..block import MapBlock
from .expression import Expression


class HasFields(Protocol):
    """A map-block, or a graph."""

    @property
    def fields(self) -> Iterable[Field]:
        """The fields that it computes."""


def condition(name: str, expression: str, *blocks: HasFields, when: str = "") -> MapBlock:
    """Return a block that computes for which texts an expression is true.

    Its field NAME is bool [n], so another block's ``when=`` may name it. The expression is written
    as in Python, of fields of earlier blocks, kept columns (``keep=``), ``length`` and ``id``;
    numbers and strings; ``== != < <= > >=``, also chained, ``in`` and ``not in`` a list of
    constants; ``and or not``; and ``+ - * /``. Nothing else is evaluated, and no code is run.

    A category is compared with its names. A missing string, category or float equals nothing.

    Parameters
    ----------
    name : str
        Name of the block and of its field.
    expression : str
        For example ``"language == 'fr' and 5 <= n_words < 1000"``.
    *blocks : MapBlock or Graph
        The blocks whose fields the expression compares with strings. Those of numbers, and kept
        columns, need not be given.
    when : str, optional
        See `map_block`. Where it is false, so is the condition.

    Raises
    ------
    GraphError
        The expression is not valid, or a string is not one of the categories of a field.

    Examples
    --------
    >>> import numpy as np
    >>> import paninifs as pf
    >>> script = pf.script()
    >>> indic = condition("indic", "script in ('Devanagari', 'Bengali') and length > 8", script)
    >>> indic.inputs
    ('script', 'length')
    >>> codes, _, _ = script(["धातु", "dhātu", "ধাতু"])
    >>> indic(codes, np.array([12, 6, 12])).tolist()
    [True, False, True]
    """
    fields = {field.name: field for block in blocks for field in block.fields}
    parsed = Expression.parse(expression)
    categories = {
        one: list(fields[one].categories or ())
        for one in parsed.names
        if one in fields and fields[one].categories
    }
    parsed.require_sense(categories)
    if name in parsed.names:
        raise GraphError(f"condition {name!r} cannot refer to itself; give it another name")
    return MapBlock(
        name=name,
        inputs=parsed.names,
        fields=(Field(name, "bool", description=f"whether {expression}"),),
        params={"expression": expression, "categories": categories},
        function=evaluate,
        version="1",
        when=when,
    )


def evaluate(
    *values: Any, expression: str, categories: Mapping[str, Sequence[str]], **named: Any
) -> Any:
    """Compute the field of a `condition`."""
    parsed = Expression.parse(expression)
    return parsed.of(dict(zip(parsed.names, values, strict=False)) | named, categories)
