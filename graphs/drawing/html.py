"""Blocks as an HTML table, as notebooks show a block or a graph."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

from ...storage.field import Field

_HEAD = ("block", "inputs", "field", "type", "description")


def kind_of(field: Field) -> str:
    """Return a field's type and shape.

    >>> kind_of(Field("x", "float32", (9,)))
    'float32[9]'
    """
    return f"{field.type_name}{list(field.shape) if field.shape else ''}"


def table(blocks: Iterable[Any]) -> str:
    """Return a table with one row per field of the blocks."""
    head = "".join(f"<th>{name}</th>" for name in _HEAD)
    rows = "".join(_row(cells) for block in blocks for cells in _cells(block))
    return f"<table><tr>{head}</tr>{rows}</table>"


def _cells(block: Any) -> Iterable[tuple[str, ...]]:
    first = block.name, ", ".join(block.inputs)
    if not hasattr(block, "fields"):
        yield (block.name, ", ".join(["all texts", *block.inputs]), block.name, "reduction", "")
        return
    for field in block.fields:
        yield (*first, field.name, kind_of(field), field.description)
        first = "", ""


def _row(cells: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
