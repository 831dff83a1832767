"""The pictures of a climb: scores, several climbs side by side, and the tree of summits.

No name from outside is drawn: the page has a key for what colours mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from ...rendering.palette import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION
from ...report.page import Picture
from ...report.plots import dots
from ...report.svg import drawn
from ...report.theme import FAINT, INK, variable
from ...report.wording import number
from ..proposers.proposer import Kind
from .best_so_far import Points
from .excursions import Excursion

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CANDIDATE, SECONDS, SCORE = range(3)
"""Columns of `Points`."""

_AXES = {CANDIDATE: "evaluations", SECONDS: "seconds"}

_LINES = ((BLUE, "-"), (ORANGE, "--"), (GREEN, "-."), (VERMILION, ":"), (SKY, "-"), (PURPLE, "--"))
_PATTERNS = {"-": "solid", "--": "dashed", "-.": "dash-dotted", ":": "dotted"}

_MOST = 1e300  # magnitude of a score that is drawn

MOST_COMPARED = len(_LINES)
"""Maximum number of lines in a picture."""

KINDS = {
    Kind.START: ("o", "●", INK, "the climber's start"),
    Kind.BACKTRACK: ("o", "●", BLUE, "a change of the climber's last summit"),
    Kind.SHARED: ("^", "▲", ORANGE, "a change of the best summit of all climbers"),
    Kind.RESTART: ("s", "■", GREEN, "a random state"),
}
"""How an excursion is drawn, by where it began: marker, character, colour, and in words."""


def style_of(line: int) -> tuple[str, str]:
    """Return the page's colour, and in words the pattern, of a line of `compared`.

    >>> style_of(1)
    ('var(--orange)', 'dashed')
    """
    colour, pattern = _LINES[line]
    return variable(colour), _PATTERNS[pattern]


def kind_of(excursion: Excursion) -> Kind:
    """Return where an excursion began, for `KINDS`; one whose first state has no score, as that."""
    return excursion.kind if excursion.kind in KINDS else Kind.START


def scores(name: str, best: Points, accepted: Points, over: int) -> Picture:
    """Draw the best score so far, and accepted states as points, over a column of `Points`."""

    def draw(axes: Axes) -> None:
        dots(axes, _drawable(accepted[:, [over, SCORE]]), ORANGE, 2.2)
        axes.plot(
            best[:, over],
            _drawable(best[:, SCORE]),
            color=BLUE,
            linewidth=1.8,
            drawstyle="steps-post",
        )
        _label(axes, _AXES[over])

    words = (
        f"Best score so far over {_AXES[over]}, from {number(best[0, SCORE])} to "
        f"{number(best[-1, SCORE])}, reached at {number(_when(best, over))} of "
        f"{number(best[-1, over])}; accepted states as points"
    )
    return Picture(Markup(drawn(name, 2.6, draw)), words)  # noqa: S704 (numbers of our own)


def compared(name: str, lines: Sequence[Points]) -> Picture:
    """Draw the best scores so far of several climbs over the same evaluations."""

    def draw(axes: Axes) -> None:
        for best, (colour, pattern) in zip(lines, _LINES, strict=False):
            axes.plot(
                best[:, CANDIDATE],
                _drawable(best[:, SCORE]),
                color=colour,
                linestyle=pattern,
                linewidth=1.8,
                drawstyle="steps-post",
            )
        _label(axes, _AXES[CANDIDATE])

    words = f"Best scores so far of {len(lines)} climbs over evaluations; the table has them"
    return Picture(Markup(drawn(name, 2.8, draw)), words)  # noqa: S704 (as above)


def summits(name: str, excursions: Sequence[Excursion]) -> Picture:
    """Draw the tree of summits, each at its candidate and score."""

    def draw(axes: Axes) -> None:
        for one in excursions:
            if one.parent is not None:
                ends = (one.parent, one)
                axes.plot(
                    [end.best for end in ends],
                    _drawable(np.array([end.score for end in ends])),
                    color=FAINT,
                    linewidth=0.7,
                    zorder=1,
                )
        for kind, (marker, _, colour, _) in KINDS.items():
            own = [one for one in excursions if kind_of(one) == kind]
            axes.plot(
                [one.best for one in own],
                _drawable(np.array([one.score for one in own])),
                linestyle="none",
                marker=marker,
                markersize=4,
                color=colour,
                zorder=2,
            )
        _label(axes, _AXES[CANDIDATE])

    top = max(excursions, key=lambda one: one.score)
    words = (
        f"Tree of {len(excursions):,} summits over evaluations; the highest, {number(top.score)}, "
        f"is candidate {top.best:,} of climber {top.climber}"
    )
    return Picture(Markup(drawn(name, 3.2, draw)), words)  # noqa: S704 (as above)


def _drawable(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return scores whose differences are floats too, as matplotlib needs."""
    drawable: npt.NDArray[np.float64] = np.clip(scores, -_MOST, _MOST)
    return drawable


def _when(best: Points, over: int) -> float:
    """Return where the last score of a line is reached."""
    return float(best[best[:, SCORE] == best[-1, SCORE]][0, over])


def _label(axes: Axes, label: str) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_xlim(left=0)
    axes.set_xlabel(label)
    axes.set_ylabel("score")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
