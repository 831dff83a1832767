"""Boxes of a sketch: the lines of text in each, and the nodes to lay out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from .as_text import FUSED, inputs_of, notes_of
from .channels import GRID, Net
from .layout import GAP, INSET, LANE, Node, layers
from .measure import columns, cut, per_text, printable, wrapped
from .sketch import BlockSketch, PartSketch, Sketch, StageSketch

CHARACTER = 7.4
"""Width of a column in the picture's font: more than any usual fixed-width font needs."""

LINE = 17.0
"""Height of a line of text."""

PADDING = 9.0
"""Space between a box and its text."""

ROW_WIDTH = 800.0
"""Maximum width of a row of boxes."""

_MOST = 32  # columns of a line in a box
_MOST_FIELDS = 10

Kind = Literal["corpus", "block", "reduction", "stage", "fused"]
Style = Literal["name", "taken", "made", "note", "title"]


@dataclass(frozen=True)
class Line:
    """A line of text in a box, and its full text if it was cut."""

    text: str
    style: Style
    whole: str = ""


@dataclass(frozen=True)
class Box:
    """What a node shows."""

    kind: Kind
    lines: tuple[Line, ...]
    conditions: frozenset[Net] = frozenset()  # nets that arrive as a condition


def corpus_net(name: str) -> Net:
    """Return the net of what a graph takes from the corpus."""
    return f"corpus {name}"


@dataclass
class Picture:
    """The nodes of a sketch, in a frame, and what each of them shows by its key."""

    root: Node
    boxes: dict[str, Box]
    whole: frozenset[Net]  # nets of all texts


def picture_of(sketch: Sketch) -> Picture:
    """Return the nodes of a sketch. They have no position yet."""
    return _Maker(sketch).picture()


class _Maker:
    def __init__(self, sketch: Sketch) -> None:
        self._sketch = sketch
        self._made = {name for block in sketch.blocks for name, _ in block.fields}
        self._taken = {name for block in sketch.blocks for name in block.needs}
        self._boxes: dict[str, Box] = {}

    def picture(self) -> Picture:
        rows = [[self._corpus()]]
        source = rows[0][0]  # the last one that has values of all texts
        whole = []
        for stage in self._sketch.stages:
            node = self._stage(stage)
            if stage.reduction:
                net = f"all after {source.key}"
                whole.append(net)
                source.makes = tuple(dict.fromkeys([*source.makes, net]))
                node.takes = (net, *node.takes)
                inside = node.rows[0][0]
                inside.takes = (net, *inside.takes)
            else:
                source = node
            rows.append([node])
        root = Node(key="root", rows=rows)
        return Picture(root, self._boxes, frozenset(whole))

    def _corpus(self) -> Node:
        names = wrapped(self._sketch.columns, 60) or ["no column is used"]
        lines = [Line("corpus", "name"), *(Line(one, "made") for one in names)]
        nets = tuple(map(corpus_net, self._sketch.columns))
        return self._leaf("corpus", Box("corpus", tuple(lines)), (), nets)

    def _stage(self, stage: StageSketch) -> Node:
        parts = [self._part(part) for part in stage.parts]
        key = f"stage {stage.number}"
        return self._frame(key, "stage", stage.title, parts)

    def _part(self, part: PartSketch) -> Node:
        blocks = [self._block(block) for block in part.blocks]
        if not part.fused:
            return blocks[0]
        title = FUSED if part.seconds is None else f"{FUSED}: {per_text(part.seconds)}"
        return self._frame(f"fused {part.blocks[0].name}", "fused", title, blocks)

    def _frame(self, key: str, kind: Kind, title: str, nodes: list[Node]) -> Node:
        self._boxes[key] = Box(kind, (Line(title, "title"),))
        made = tuple(net for node in nodes for net in node.makes)
        taken = (net for node in nodes for net in node.takes if net not in made)
        rows = layers(nodes, ROW_WIDTH)
        content = max(sum(node.width for node in row) + GAP * (len(row) - 1) for row in rows)
        return Node(
            key=key,
            width=content + 2 * INSET,  # `layout` adds what the nets need
            rows=rows,
            takes=tuple(dict.fromkeys(taken)),
            makes=made,
            head=LINE + 2,
            title_width=CHARACTER * columns(title),
        )

    def _block(self, block: BlockSketch) -> Node:
        needs = tuple(self._net(name) for name in block.needs)
        box = Box(
            "reduction" if block.reduction else "block",
            tuple(_lines(block)),
            frozenset({self._net(block.when)} if block.when else ()),
        )
        makes = tuple(name for name, _ in block.fields if name in self._taken)
        return self._leaf(f"block {block.name}", box, needs, makes)

    def _leaf(self, key: str, box: Box, takes: tuple[Net, ...], makes: tuple[Net, ...]) -> Node:
        self._boxes[key] = box
        text = max(columns(line.text) for line in box.lines)
        return Node(
            key=key,
            width=max(
                CHARACTER * text + 2 * PADDING,
                LANE * (2 + max(len(takes) + 1, len(makes))),
                16 * GRID,
            ),
            height=LINE * len(box.lines) + PADDING,
            takes=takes,
            makes=makes,
        )

    def _net(self, name: str) -> Net:
        return name if name in self._made else corpus_net(name)


def _lines(block: BlockSketch) -> Iterable[Line]:
    yield Line(cut(block.name, _MOST), "name", printable(block.name))
    taken = inputs_of(block)
    whole = ", ".join(map(printable, taken))
    yield from _some(
        [
            Line(f"{'      ' if at else 'takes '}{one}", "taken", whole if "…" in one else "")
            for at, one in enumerate(wrapped(taken, _MOST - 6))
        ],
        "taken",
        "lines of inputs",
    )
    made = [_field(name, kind) for name, kind in block.fields]
    if not block.reduction:
        yield from _some(made, "made", "fields")
    for note in notes_of(block):
        for line in wrapped(note.split(), _MOST, " "):
            yield Line(line, "note", note if "…" in line else "")


def _some(lines: list[Line], style: Style, what: str) -> Iterable[Line]:
    """Yield lines; if there are many, only the first, and the number of the others."""
    if len(lines) <= _MOST_FIELDS:
        yield from lines
        return
    yield from lines[: _MOST_FIELDS - 1]
    rest = lines[_MOST_FIELDS - 1 :]
    yield Line(
        f"… and {len(rest):,} more {what}", style, "; ".join(one.whole or one.text for one in rest)
    )


def _field(name: str, kind: str) -> Line:
    shown_kind = cut(kind, 14)
    shown = f"→ {cut(name, _MOST - 4 - columns(shown_kind))}  {shown_kind}"
    return Line(shown, "made", f"{printable(name)} {kind}" if "…" in shown else "")
