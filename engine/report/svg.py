"""A figure of matplotlib's as SVG that is part of a page: its colours, its font, its names.

Only the engine's own words and numbers are drawn. What a corpus says, and what anybody has called
anything, stands in the page around a picture, where the browser knows every script.
"""

from __future__ import annotations

import io
import re
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .theme import FAINT, INK, LINE, replacements

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 4.6
"""Of every picture, in inches: as wide as a telephone's page, so that its text stays readable."""

_SETTINGS = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "paninifs",  # the same picture twice is the same bytes
    "text.parse_math": False,
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "path.simplify": False,
}

_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}href"
_FONT = re.compile(r"font: ([\d.]+)px [^;]*")
_FAMILY = re.compile(r"font-family: [^;]*;? ?")
_DOT = re.compile(r"M ([\d.]+) ([\d.]+) L \1 \2(?![\d.])")
_LONG = re.compile(r"-?\d+\.\d{2,}")
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_drawing = threading.Lock()


def drawn(name: str, height: float, draw: Callable[[Axes], None]) -> str:
    """Return a picture as an ``svg`` element, that readers of screens pass over.

    Parameters
    ----------
    name : str
        Of the picture, in ASCII; no other one of the page has it.
    height : float
        In inches; for the width see `WIDTH`.
    draw : callable
        Draws into the axes.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    defaults = mpl.rcParamsDefault.items()
    settings: Any = {key: value for key, value in defaults if "backend" not in key} | _SETTINGS
    # matplotlib's settings are the whole process's: one picture at a time, and then they are back.
    with _drawing, mpl.rc_context(settings):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        draw(figure.subplots())
        return _as_element(figure, name)


def _as_element(figure: Figure, name: str) -> str:
    written = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(written, format="svg", transparent=True, metadata=nothing)
    ET.register_namespace("", _SVG.strip("{}"))
    root = ET.fromstring(written.getvalue())  # noqa: S314 (made just now, of nobody's words)
    for parent in root.iter():
        if parent.tag == f"{_SVG}g":
            parent.attrib.pop("id", None)  # nobody refers to it
        for child in list(parent):
            if child.tag in {f"{_SVG}metadata", f"{_SVG}style"}:  # the latter is the whole page's
                parent.remove(child)
    colours = replacements()
    for element in root.iter():
        for key, value in list(element.attrib.items()):
            element.set(key, _attribute(key, value, name, colours))
        if _XLINK in element.attrib:
            element.set("href", element.attrib.pop(_XLINK))
    root.attrib = {"viewBox": root.attrib["viewBox"], "aria-hidden": "true", "class": "plot"}
    return ET.tostring(root, encoding="unicode")


def _attribute(key: str, value: str, name: str, colours: dict[str, str]) -> str:
    """Return an attribute with a name of its own, one decimal, and the page's colours and font."""
    if key == "id":
        return f"{name}-{value}"
    if key == _XLINK:
        return value.replace("#", f"#{name}-", 1)
    if key in {"d", "x", "y", "width", "height", "transform"}:
        value = _LONG.sub(lambda found: f"{float(found[0]):.1f}", value)
        return _DOT.sub(r"M\1 \2h0", " ".join(value.split())) if key == "d" else value
    value = value.replace("url(#", f"url(#{name}-")
    value = _FAMILY.sub("", _FONT.sub(r"font-size: \1px", value))
    return _COLOUR.sub(lambda found: colours.get(found[0], found[0]), value)
