"""The pictures of a report, each from numbers; nothing is read or counted here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...storage.timeline import Timeline
from ..palette import BLUE, GREEN, ORANGE, VERMILION
from .numbers import Distribution
from .prime_map import PrimeMap
from .svg import drawn
from .theme import FAINT, INK, KINDS
from .wording import number, power_of_ten

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def histogram(name: str, found: Distribution) -> str:
    """Draw how a field's values are distributed, with their median and the middle half."""

    def draw(axes: Axes) -> None:
        from matplotlib.ticker import FuncFormatter, MaxNLocator

        axes.stairs(found.counts, found.edges, fill=True, color=BLUE)
        low, middle, high = (np.log10(q) if found.is_log else q for q in found.quantiles[1:4])
        axes.axvspan(low, high, color=FAINT, alpha=0.18, linewidth=0)
        axes.axvline(middle, color=INK, linewidth=1.4)
        axes.set_ylabel("texts")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=found.is_log and _wide(found)))
        if found.is_log:
            label = power_of_ten if _wide(found) else lambda value: number(10**value)
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: label(value)))
            axes.set_xlabel("logarithmic scale")
        elif max(abs(found.least), abs(found.most)) >= 1e5:
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))

    return drawn(name, 2.3, draw)


def _wide(found: Distribution) -> bool:
    return bool(found.edges[-1] - found.edges[0] >= 2)


def rate(name: str, lines: Sequence[tuple[str, Timeline]]) -> str:
    """Draw texts a second, for each run that was timed."""
    colours = (BLUE, ORANGE, GREEN, VERMILION)

    def draw(axes: Axes) -> None:
        for colour, (called, line) in zip(colours, lines, strict=False):
            seconds = [sample.seconds for sample in line.samples]
            axes.plot(seconds, line.rates("rows_done"), color=colour, linewidth=1.8, label=called)
        _time(axes, "texts a second")
        if len(lines) > 1:
            axes.legend(frameon=False)

    return drawn(name, 2.3, draw)


def memory(name: str, line: Timeline, limit: int | None) -> str:
    """Draw what the workers of a run held, and what they had put on disk, in GiB."""

    def draw(axes: Axes) -> None:
        seconds = [sample.seconds for sample in line.samples]
        for column, called, colour in (
            ("memory", "held by all workers", BLUE),
            ("spilled", "spilled to disk", VERMILION),
        ):
            values = [np.nan if v is None else v / 2**30 for v in line.column(column)]
            axes.plot(seconds, values, color=colour, linewidth=1.8, label=called)
        held = max((sample.memory or 0 for sample in line.samples), default=0)
        if limit and held > limit / 4:  # else the limit would leave the line no room
            axes.axhline(limit / 2**30, color=INK, linewidth=1, linestyle="--", label="limit")
        axes.legend(frameon=False)
        _time(axes, "GiB")

    return drawn(name, 2.3, draw)


def _time(axes: Axes, label: str) -> None:
    from matplotlib.ticker import FuncFormatter

    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.set_xlabel("seconds")
    axes.set_ylabel(label)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))


def prime_map(name: str, found: PrimeMap) -> str:
    """Draw texts as points, a colour a kind; the most frequent kind lies undermost."""
    first, second = found.explained

    def draw(axes: Axes) -> None:
        for kind in range(max(len(found.kinds), 1)):
            _dots(axes, found.points[found.kind == kind], KINDS[kind])
        axes.autoscale_view()
        axes.margins(0.03)
        axes.set_xlabel(f"first component ({100 * first:.0f} % of the variance)")
        axes.set_ylabel(f"second component ({100 * second:.0f} %)")

    return drawn(name, 4.0, draw)


def _dots(axes: Axes, points: np.ndarray, colour: str) -> None:
    """Draw points as one path of strokes without length: a tenth of what markers weigh."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    if not len(points):
        return
    codes = np.tile([Path.MOVETO, Path.LINETO], len(points))
    path = Path(np.repeat(points, 2, axis=0), codes.astype(Path.code_type))
    size = float(np.clip(60 / len(points) ** 0.5, 1.6, 4.5))
    axes.add_patch(
        PathPatch(path, fill=False, edgecolor=colour, linewidth=size, capstyle="round", alpha=0.7)
    )
    axes.update_datalim(points)
