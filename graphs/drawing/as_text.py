"""A sketch of a graph as plain text, for terminals of 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest

from .measure import columns, cut, per_text, printable, wrapped
from .sketch import ALL_TEXTS, BlockSketch, PartSketch, Sketch

WIDTH = 80
"""Maximum columns of a line."""

FUSED = "fused, computed in one pass over the bytes"

_PARAMETER = 40
"""Maximum columns of a parameter of a reduction; those of a projection are long."""

_LEAST = 18, 20, 20, 12
"""Columns reserved for names of blocks, inputs, fields and types, if they need them."""

_SPACE = WIDTH - len("│   → ") - 2 - len("  ")
"""Columns of all four together, without the characters before and between them."""


def text_of(sketch: Sketch) -> str:
    """Return the text: the corpus, then each stage with a line per block and field."""
    taken = wrapped(map(column_name, sketch.columns), WIDTH - 8) or ["nothing is used"]
    lines = [
        sketch.title,
        "",
        *(f"{'corpus' if not at else '':8}{one}" for at, one in enumerate(taken)),
    ]
    table = _Table(sketch)
    for stage in sketch.stages:
        lines += ["", stage.title]
        for part in stage.parts:
            if part.fused:
                lines.append("┌ " + _with_cost(FUSED, part))
            for block in part.blocks:
                lines += [("│ " if part.fused else "  ") + line for line in table.rows(block)]
            if part.fused:
                lines.append("└")
    return "\n".join(line.rstrip() for line in lines)


def column_name(name: str) -> str:
    """Return what a graph takes from the corpus, in words.

    >>> column_name("text"), column_name("lang")
    ('text', 'lang (kept column)')
    """
    return name if name in ("text", "id", "length") else f"{name} (kept column)"


def notes_of(block: BlockSketch) -> Iterator[str]:
    """Yield notes about a block besides its inputs and fields."""
    yield from (cut(printable(one), _PARAMETER) for one in block.params)
    if block.when:
        yield f"when {printable(block.when)}"
    if block.setup:
        each = "thread" if block.per_thread else "process"
        yield f"setup {', '.join(map(printable, block.setup))} once per {each}"
    if block.kernel:
        yield "CUDA kernel on GPUs"
    if block.seconds is not None:
        yield per_text(block.seconds) + (" (declared)" if block.declared else "")


def inputs_of(block: BlockSketch) -> tuple[str, ...]:
    """Return the names of the arguments of a block's code."""
    return (ALL_TEXTS, *block.inputs) if block.reduction else block.inputs


def _with_cost(title: str, part: PartSketch) -> str:
    return title if part.seconds is None else f"{title}: {per_text(part.seconds)}"


class _Table:
    """The columns that all blocks of a text share."""

    def __init__(self, sketch: Sketch) -> None:
        fields = [field for block in sketch.blocks for field in block.fields]
        wanted = [
            _longest(block.name for block in sketch.blocks),
            _longest(", ".join(inputs_of(block)) for block in sketch.blocks),
            _longest(name for name, _ in fields),
            _longest(kind for _, kind in fields),
        ]
        widths = [min(pair) for pair in zip(wanted, _LEAST, strict=True)]
        for at, width in enumerate(wanted):  # what some columns do not need, others have
            widths[at] += min(width - widths[at], _SPACE - sum(widths))
        self._name, self._inputs, self._field, self._kind = widths

    def rows(self, block: BlockSketch) -> Iterator[str]:
        """Yield the lines of a block: its inputs and fields side by side, then notes."""
        inputs = wrapped(inputs_of(block), self._inputs)
        names = [cut(block.name, self._name)]
        for at, (name, taken, made) in enumerate(
            zip_longest(names, inputs, block.fields, fillvalue=None)
        ):
            arrow = "→ " if at == 0 else "  "
            line = f"{_padded(name or '', self._name)}  {_padded(taken or '', self._inputs)}  "
            if made:
                field, kind = made
                line += f"{arrow}{_padded(cut(field, self._field), self._field)}  "
                line += cut(kind, self._kind)
            yield line
        indent = " " * (self._name + 2)
        most = WIDTH - 2 - len(indent)
        yield from (indent + line for line in wrapped(notes_of(block), most, "; "))


def _longest(names: Iterable[str]) -> int:
    return max((columns(printable(name)) for name in names), default=0)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - columns(text))
