"""matplotlib figures as SVG elements of a page, with the page's colours and font and unique ids.

Only the engine's own words and numbers are drawn. Names and texts from a corpus appear in the page
around a picture, where the browser can render every script. What is drawn is decided in `plots`.
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
"""Width of every picture in inches: fits a phone's screen, so that its text stays readable."""

_SETTINGS = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "paninifs",  # drawing a picture again gives the same bytes
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
    """Return a picture as an ``svg`` element that screen readers skip.

    Parameters
    ----------
    name : str
        Name of the picture in ASCII, unique within the page.
    height : float
        Inches; see `WIDTH`.
    draw : callable
        Draws into the axes.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    defaults = mpl.rcParamsDefault.items()
    settings: Any = {key: value for key, value in defaults if "backend" not in key} | _SETTINGS
    # matplotlib's settings are process-wide: draw one picture at a time, then restore them.
    with _drawing, mpl.rc_context(settings):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        draw(figure.subplots())
        return _as_element(figure, name)


def _as_element(figure: Figure, name: str) -> str:
    written = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(written, format="svg", transparent=True, metadata=nothing)
    ET.register_namespace("", _SVG.strip("{}"))
    root = ET.fromstring(written.getvalue())  # noqa: S314 (written by matplotlib just now)
    for parent in root.iter():
        if parent.tag == f"{_SVG}g":
            parent.attrib.pop("id", None)  # nothing refers to it
        for child in list(parent):
            if child.tag in {
                f"{_SVG}metadata",
                f"{_SVG}style",
            }:  # a style would apply to the whole page
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
    """Return an attribute with unique ids, one decimal, and the page's colours and font."""
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
