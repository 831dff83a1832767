"""Routing of nets through a channel: the space between two rows of boxes.

A net starts at one point above the channel and ends at one or more below it. It runs down, along a
track, and down again. No two nets share a line: the points have different positions, and only nets
that do not overlap share a track.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

Net = str

GRID = 6.0
"""Least distance between two vertical lines."""

TRACK = 8.0
"""Height of a track."""

MARGIN = 12.0
"""Height above the first track, and below the last: that of an arrow."""


class Point(NamedTuple):
    """A position."""

    x: float
    y: float


@dataclass
class Wires:
    """The lines of all nets, and where they arrive."""

    lines: dict[Net, list[tuple[Point, Point]]] = field(default_factory=dict)
    arrivals: list[tuple[Net, str, Point]] = field(default_factory=list)  # with the box's key

    def draw(self, net: Net, start: Point, end: Point) -> None:
        """Add a line, unless it has no length."""
        if start != end:
            self.lines.setdefault(net, []).append((start, end))

    def arrive(self, key: str, ports: Mapping[Net, float], y: float) -> None:
        """Record that nets arrive at a box."""
        self.arrivals += [(net, key, Point(x, y)) for net, x in ports.items()]


def route(
    tops: Mapping[Net, float],
    goals: Mapping[Net, Sequence[float]],
    starts: Mapping[Net, float],
    y: float,
    wires: Wires,
) -> float:
    """Draw nets through a channel; return its height.

    Parameters
    ----------
    tops : mapping of str to float
        Where each net comes from.
    goals : mapping of str to sequence of float
        Where it goes to.
    starts : mapping of str to float
        The height at which its line begins, above the channel.
    y : float
        The upper edge of the channel.
    """
    reach = {
        net: (min([tops[net], *ends]), max([tops[net], *ends]))
        for net, ends in goals.items()
        if any(end != tops[net] for end in ends)
    }
    tracks = first_fit(reach, apart=GRID)
    count = 1 + max(tracks.values(), default=-1)
    bottom = y + 2 * MARGIN + TRACK * max(0, count - 1)
    for net, ends in goals.items():
        top = Point(tops[net], starts[net])
        if net not in reach:
            wires.draw(net, top, Point(top.x, bottom))
            continue
        level = y + MARGIN + TRACK * tracks[net]
        wires.draw(net, top, Point(top.x, level))
        wires.draw(net, Point(reach[net][0], level), Point(reach[net][1], level))
        for end in ends:
            wires.draw(net, Point(end, level), Point(end, bottom))
    return bottom - y


def first_fit(spans: Mapping[Net, tuple[float, float]], apart: float = 0.5) -> dict[Net, int]:
    """Return for each span the first track on which it does not touch another.

    >>> first_fit({"a": (0, 9), "b": (4, 5), "c": (6, 8)})
    {'a': 0, 'b': 1, 'c': 1}
    """
    found: dict[Net, int] = {}
    tracks: list[float] = []  # where each track is free again
    for net, (low, high) in sorted(spans.items(), key=lambda item: (item[1], item[0])):
        free = next((at for at, end in enumerate(tracks) if end + apart <= low), len(tracks))
        tracks[free:] = [high, *tracks[free + 1 :]]
        found[net] = free
    return found


def nearest_free(wanted: float, low: float, high: float, used: Collection[float]) -> float:
    """Return the position nearest to a wanted one that has room for an arrow.

    There is one if ``(high - low) / GRID`` is larger by 3 than the number of positions used.

    >>> nearest_free(5, 0, 100, ()), nearest_free(50, 0, 100, {48.0}), nearest_free(500, 0, 100, ())
    (12.0, 60.0, 90.0)
    """
    # A position straight below the source is used as it is.
    if low + GRID <= wanted <= high - GRID and all(abs(one - wanted) >= 2 * GRID for one in used):
        return wanted
    places = [GRID * at for at in range(int(low // GRID) + 2, int(high // GRID))]
    free = [x for x in places if all(abs(one - x) >= GRID for one in used)]
    roomy = [x for x in free if all(abs(one - x) >= 2 * GRID for one in used)]
    return min(roomy or free, key=lambda x: (abs(x - wanted), x))
