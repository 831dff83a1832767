"""The pictures of a report, drawn from the statistics in `findings`.

Turning a figure into SVG is in `svg`, its text alternative in `wording`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...storage.store.history import Timeline
from ..rendering.palette import BLUE, GREEN, ORANGE, VERMILION
from .numbers import Distribution
from .prime_map import PrimeMap
from .svg import drawn
from .theme import FAINT, INK, KINDS
from .wording import number, power_of_ten

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def histogram(name: str, found: Distribution) -> str:
    """Draw the distribution of a field's values, with its median and interquartile range."""

    def draw(axes: Axes) -> None:
        from matplotlib.ticker import FuncFormatter, MaxNLocator

        axes.stairs(found.counts, found.edges, fill=True, color=BLUE)
        low, middle, high = (np.log10(q) if found.is_log else q for q in found.quantiles[1:4])
        axes.axvspan(low, high, color=FAINT, alpha=0.18, linewidth=0)
        axes.axvline(middle, color=INK, linewidth=1.4)
        axes.set_ylabel("texts")
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
        if found.is_log:
            ticks = log_ticks(*found.edges[[0, -1]].tolist())
            axes.set_xticks([at for at, _ in ticks], [label for _, label in ticks])
            axes.set_xlabel("logarithmic scale")
        else:
            axes.xaxis.set_major_locator(MaxNLocator(5))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))

    return drawn(name, 2.3, draw)


def log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Return the ticks of a logarithmic axis and their labels, at most about six.

    >>> [label for _, label in log_ticks(-1.2, 2.5)]
    ['0.1', '1', '10', '100']
    >>> [label for _, label in log_ticks(19.2, 20.4)]
    ['2 × 10¹⁹', '5 × 10¹⁹', '10²⁰', '2 × 10²⁰']
    >>> [label for _, label in log_ticks(0.1, 0.2)]
    ['1.3', '1.4', '1.5']
    """
    decades = range(int(np.floor(low)), int(np.ceil(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5)):
        step = max(1, round((high - low) / 5)) if factors == (1,) else 1
        every = [(d + np.log10(m), m, d) for d in decades if d % step == 0 for m in factors]
        ticks = [(float(at), _at_decade(m, d)) for at, m, d in every if low <= at <= high]
        if len(ticks) > 3:
            return ticks
    if len(ticks) > 1:
        return ticks
    rounded = [float(f"{10**at:.2g}") for at in np.linspace(low, high, 5)[1:-1].tolist()]
    return [(float(np.log10(value)), number(value)) for value in rounded]


def _at_decade(factor: int, exponent: int) -> str:
    if -4 <= exponent < 6:
        return number(float(f"{factor}e{exponent}"))
    return power_of_ten(exponent) if factor == 1 else f"{factor} × {power_of_ten(exponent)}"


def rate(name: str, lines: Sequence[tuple[str, Timeline]], window: float) -> str:
    """Draw texts per second, averaged over `window` seconds, one line per run."""
    colours = (BLUE, ORANGE, GREEN, VERMILION)

    def draw(axes: Axes) -> None:
        for colour, (label, line) in zip(colours, lines, strict=False):
            seconds = [sample.seconds for sample in line.samples]
            axes.plot(
                seconds, line.rates("rows_done", window), color=colour, linewidth=1.8, label=label
            )
        _label(axes, "texts per second")
        if len(lines) > 1:
            axes.legend(frameon=False)

    return drawn(name, 2.3, draw)


def memory(name: str, line: Timeline, limit: int | None) -> str:
    """Draw the memory that the workers of a run held, and what they spilled to disk, in GiB."""

    def draw(axes: Axes) -> None:
        seconds = [sample.seconds for sample in line.samples]
        for column, label, colour in (
            ("memory", "held by all workers", BLUE),
            ("spilled", "spilled to disk", VERMILION),
        ):
            values = [np.nan if v is None else v / 2**30 for v in line.column(column)]
            axes.plot(seconds, values, color=colour, linewidth=1.8, label=label)
        held = max((sample.memory or 0 for sample in line.samples), default=0)
        if limit and held > limit / 4:  # otherwise the limit would squeeze the line
            axes.axhline(limit / 2**30, color=INK, linewidth=1, linestyle="--", label="limit")
        axes.legend(frameon=False)
        _label(axes, "GiB")

    return drawn(name, 2.3, draw)


def _label(axes: Axes, label: str) -> None:
    from matplotlib.ticker import FuncFormatter

    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.set_xlabel("seconds")
    axes.set_ylabel(label)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))


def prime_map(name: str, found: PrimeMap) -> str:
    """Draw texts as points, one colour per kind; the most frequent kind is drawn first."""
    first, second = found.explained
    size = float(np.clip(200 / len(found.points) ** 0.5, 1.8, 5))

    def draw(axes: Axes) -> None:
        for kind in range(max(len(found.kinds), 1)):
            dots(axes, found.points[found.kind == kind], KINDS[kind], size)
        axes.autoscale_view()
        axes.margins(0.03)
        axes.set_xlabel(f"first component ({100 * first:.0f} % of the variance)")
        axes.set_ylabel(f"second component ({100 * second:.0f} %)")

    return drawn(name, 4.0, draw)


def dots(axes: Axes, points: npt.NDArray[Any], colour: str, size: float) -> None:
    """Draw points as one path of strokes without length: a tenth of the size of markers."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    if not len(points):
        return
    codes = np.tile([Path.MOVETO, Path.LINETO], len(points))
    path = Path(np.repeat(points, 2, axis=0), codes.astype(Path.code_type))
    axes.add_patch(
        PathPatch(path, fill=False, edgecolor=colour, linewidth=size, capstyle="round", alpha=0.7)
    )
    axes.update_datalim(points)
