"""The maps of the primitives, drawn with numbers instead of names: names may be in any script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..rendering.palette import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION
from ..report.svg import drawn
from ..report.theme import INK, variable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = (BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE)
_SHAPES = (("o", "●"), ("s", "■"), ("^", "▲"), ("D", "◆"))


def key_of(category: int) -> tuple[str, str]:
    """Return the page's colour and the character of a category, by its number.

    >>> key_of(0), key_of(6)[1]
    (('var(--blue)', '●'), '■')
    """
    colour, shape = _colour_and_shape(category)
    return variable(_COLOURS[colour]), _SHAPES[shape][1]


def _colour_and_shape(category: int) -> tuple[int, int]:
    return category % len(_COLOURS), category // len(_COLOURS) % len(_SHAPES)


def points_map(
    name: str, points: npt.NDArray[Any], categories: npt.NDArray[Any], axes_labels: tuple[str, str]
) -> str:
    """Draw points [n, 2] with their numbers from 1; points with NaN are left out."""

    def draw(axes: Axes) -> None:
        for category in np.unique(categories):
            colour, shape = _colour_and_shape(int(category))
            chosen = points[categories == category]
            axes.plot(
                chosen[:, 0],
                chosen[:, 1],
                linestyle="none",
                marker=_SHAPES[shape][0],
                markersize=4.5,
                color=_COLOURS[colour],
            )
        for number, (x, y) in enumerate(points.tolist(), 1):
            if np.isfinite([x, y]).all():
                axes.annotate(
                    str(number),
                    (x, y),
                    (2.5, 2.5),
                    textcoords="offset points",
                    fontsize=6.5,
                    color=INK,
                )
        axes.set_xlabel(axes_labels[0])
        axes.set_ylabel(axes_labels[1])
        axes.margins(0.06)

    return drawn(name, 4.0, draw)
