"""Layered layout of boxes within boxes, and of the nets between them.

A `Node` is a box: a leaf of a given size, or a frame around rows of nodes. A net runs from the node
that makes it down to all nodes that take it: through the channel below a row, and past the rows in
between in a lane beside them, so it crosses no box. Nodes are placed from the top down, each row
below its channel, because the height of a channel depends on what is above it.

`layers` puts nodes into rows. How a picture looks is in `as_svg`; how a channel is routed, in
`channels`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .channels import GRID, Net, Point, Wires, first_fit, nearest_free, route

GAP = 24.0
"""Space between the nodes of a row."""

LANE = 2 * GRID
"""Width of a lane."""

INSET = 14.0
"""Space between a frame and what is inside."""


@dataclass(eq=False, kw_only=True)
class Node:
    """A box with its inputs and outputs; a frame if it has rows.

    `x`, `y` and a frame's size are set by `layout`.
    """

    key: str
    width: float = 0.0
    height: float = 0.0
    takes: tuple[Net, ...] = ()
    makes: tuple[Net, ...] = ()
    rows: list[list[Node]] = field(default_factory=list)
    head: float = 0.0  # height of a frame's title
    title_width: float = 0.0
    x: float = 0.0
    y: float = 0.0
    lanes: dict[Net, float] = field(default_factory=dict)  # offset from the left of the frame
    inner: tuple[float, float] = (0.0, 0.0)  # where a frame's rows begin and end, from its left

    def all(self) -> Iterable[Node]:
        """Yield the node and all inside it, outer ones first."""
        yield self
        for row in self.rows:
            for child in row:
                yield from child.all()


def layers(nodes: Sequence[Node], most_width: float) -> list[list[Node]]:
    """Return rows no wider than `most_width`, in which every node is below all that it takes from.

    A node's layer is the length of the longest path to it. A layer that is too wide becomes several
    rows.
    """
    made_in: dict[Net, int] = {}
    by_layer: dict[int, list[Node]] = {}
    for node in nodes:  # in the order of the graph, so what a node takes is known
        depth = max((made_in[net] + 1 for net in node.takes if net in made_in), default=0)
        made_in.update(dict.fromkeys(node.makes, depth))
        by_layer.setdefault(depth, []).append(node)
    rows = []
    for _, layer in sorted(by_layer.items()):
        row: list[Node] = []
        width = 0.0
        for node in layer:
            if row and width + GAP + node.width > most_width:
                rows.append(row)
                row, width = [], 0.0
            width += node.width + (GAP if row else 0)
            row.append(node)
        rows.append(row)
    return rows


def layout(root: Node, left: Collection[Net] = ()) -> Wires:
    """Set the size and the position of a frame and of all inside; return the nets' wires.

    Parameters
    ----------
    root : Node
        A frame that takes nothing.
    left : collection of str
        Nets whose lanes are on the left.
    """
    _measure(root, frozenset(), frozenset(left))
    wires = Wires()
    _place(root, {}, frozenset(), wires)
    return wires


@dataclass
class _Span:
    """The row of a frame where a net starts, and those where it ends; -1 is the frame's top."""

    start: int
    ends: list[int]  # rows that take it; the number of rows stands for the frame's bottom


def _spans(frame: Node, leaving: Collection[Net]) -> dict[Net, _Span]:
    spans: dict[Net, _Span] = {}
    made = {net: at for at, row in enumerate(frame.rows) for one in row for net in one.makes}
    for at, row in enumerate(frame.rows):
        for child in row:
            for net in child.takes:
                spans.setdefault(net, _Span(made.get(net, -1), [])).ends.append(at)
    for net in frame.makes:
        if net in leaving and net in made:
            spans.setdefault(net, _Span(made[net], [])).ends.append(len(frame.rows))
    return spans


def _measure(
    frame: Node, leaving: frozenset[Net], left: frozenset[Net], least: float = 0.0
) -> None:
    """Set the widths of a frame, at least `least` inside, and of those in it; and its lanes."""
    spans = _spans(frame, leaving)
    for at, row in enumerate(frame.rows):
        live = sum(span.start < at <= max(span.ends) for span in spans.values())
        for child in row:
            room = GRID * (3 + live + len(child.takes))  # whatever of it the live nets take away
            if child.rows:
                _measure(child, _leaving(frame, child, leaving), left, room)
            else:
                child.width = max(child.width, room)
    passing = {
        net: (span.start + 1, max(span.ends))  # channels: in the first and last, lines go sideways
        for net, span in spans.items()
        if max(span.ends) > span.start + 1
    }
    beside = {
        side: first_fit({net: rows for net, rows in passing.items() if (net in left) == side})
        for side in (True, False)
    }
    widths = {side: LANE * (1 + max(lanes.values(), default=-1)) for side, lanes in beside.items()}
    content = max(
        [sum(child.width for child in row) + GAP * (len(row) - 1) for row in frame.rows]
        + [least, frame.title_width, LANE * (2 + max(len(frame.takes), len(frame.makes)))]
    )
    if frame.title_width:  # what enters does so beside the title
        content = max(content, frame.title_width + max(least, LANE * (2 + len(frame.takes))))
    start = INSET + widths[True]
    frame.inner = (start, start + content)
    frame.width = start + content + widths[False] + INSET
    frame.lanes = {net: INSET + LANE * (at + 0.5) for net, at in beside[True].items()} | {
        net: start + content + LANE * (at + 0.5) for net, at in beside[False].items()
    }


def _leaving(frame: Node, child: Node, leaving: Collection[Net]) -> frozenset[Net]:
    """Return the nets that others than a child, or than the frame, take from it."""
    taken = {net for row in frame.rows for one in row if one is not child for net in one.takes}
    return frozenset(net for net in child.makes if net in taken or net in leaving)


def _place(
    frame: Node, entering: Mapping[Net, float], leaving: frozenset[Net], wires: Wires
) -> dict[Net, float]:
    """Set a frame's height, and the positions of what is inside; return where nets leave."""
    spans = _spans(frame, leaving)
    tops = {net: Point(x, frame.y) for net, x in entering.items()}  # by net: its end so far
    lanes = {net: frame.x + x for net, x in frame.lanes.items()}
    low, high = (frame.x + edge for edge in frame.inner)
    y = frame.y + frame.head
    for at, row in enumerate([*frame.rows, []]):
        live = {net: span for net, span in spans.items() if span.start < at <= max(span.ends)}
        top = {net: lanes[net] if spans[net].start < at - 1 else tops[net].x for net in live}
        _arrange(row, low, high, top)
        used = {*top.values(), *(lanes[net] for net in live if max(live[net].ends) > at)}
        ports = _ports(row, top, used)
        exits = {}
        if at == len(frame.rows):  # straight below where they are; those of all texts, at the left
            exits = {net: top.get(net, low + GRID) for net in frame.makes if net in leaving}
        goals = {
            net: [
                *(found[net] for found in ports if net in found),
                *([lanes[net]] if max(span.ends) > at else []),
                *([exits[net]] if net in exits else []),
            ]
            for net, span in live.items()
        }
        depth = route(top, goals, {net: tops[net].y for net in live}, y, wires)
        for net in live:
            tops[net] = Point(lanes.get(net, tops[net].x), y + depth)
        y += depth
        for child, found in zip(row, ports, strict=True):
            child.y = y
            if child.rows:
                out = _place(child, found, _leaving(frame, child, leaving), wires)
            else:
                wires.arrive(child.key, found, y)
                out = _spread(child)
            tops |= {net: Point(x, y + child.height) for net, x in out.items()}
        y += max((child.height for child in row), default=0)
    frame.height = y - frame.y
    return exits


def _arrange(row: list[Node], low: float, high: float, top: Mapping[Net, float]) -> None:
    """Order a row by where its nets come from, and centre it."""

    def origin(node: Node) -> float:
        found = [top[net] for net in node.takes if net in top]
        return sum(found) / len(found) if found else 0.0

    order = sorted(range(len(row)), key=lambda at: (round(origin(row[at]), 3), at))
    row[:] = [row[at] for at in order]
    x = low + (high - low - sum(one.width for one in row) - GAP * (len(row) - 1)) / 2
    for child in row:
        child.x = round(x / GRID) * GRID
        x += child.width + GAP


def _ports(
    row: Iterable[Node], top: Mapping[Net, float], used: set[float]
) -> list[dict[Net, float]]:
    """Return where the nets of each node of a row enter, each as near to its origin as possible."""
    ports = []
    for child in row:
        low = child.x + max(child.inner[0], child.title_width + INSET if child.title_width else 0)
        high = child.x + (child.inner[1] if child.rows else child.width)
        found: dict[Net, float] = {}
        for net in sorted(child.takes, key=lambda net: top[net]):
            others = {*used, *found.values()} - {top[net]}
            found[net] = nearest_free(top[net], low, high, others)
        ports.append(found)
    return ports


def _spread(leaf: Node) -> dict[Net, float]:
    """Return where the nets of a leaf begin: about the middle of its lower edge."""
    step = min(2 * LANE, (leaf.width - LANE) / max(1, len(leaf.makes)))
    first = leaf.x + leaf.width / 2 - step * (len(leaf.makes) - 1) / 2
    return {net: round((first + step * at) / GRID) * GRID for at, net in enumerate(leaf.makes)}
