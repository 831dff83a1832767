"""The colours of a report's page and pictures, in the light and in the dark theme.

Pictures are drawn in the palette's colours. In the page each colour becomes a CSS variable, so that
it follows the theme that the reader has chosen. In both themes text has a contrast of at least 4.5
and graphics of at least 3; to achieve this, some colours of the
palette are darker in the light theme.
"""

from __future__ import annotations

from ..rendering.palette import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, YELLOW

INK, FAINT, LINE = "#1b1f24", "#57606a", "#d0d7de"

KINDS = (BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE, YELLOW, INK, GREY)
"""Colours of the map's points, in order of use; the last one is for all other kinds."""

VARIABLES = {
    "ground": ("#ffffff", "#14181d"),
    "raised": ("#f4f6f8", "#1e242b"),
    "ink": (INK, "#e6e9ed"),
    "faint": (FAINT, "#a3adb8"),
    "line": (LINE, "#3a434d"),
    "link": ("#005a8f", "#6cb8ec"),
    "warning": ("#8a3b00", "#f5a35c"),
    "blue": (BLUE, "#2f8fcb"),
    "orange": ("#b87f00", ORANGE),
    "green": (GREEN, GREEN),
    "vermilion": (VERMILION, VERMILION),
    "sky": ("#3a96c8", "#8fd0f5"),
    "purple": ("#c06596", PURPLE),
    "yellow": ("#8f8600", YELLOW),
    "grey": (GREY, GREY),
}
"""Variable to its colour in the light and in the dark theme."""

_DRAWN = {
    INK: "ink",
    FAINT: "faint",
    LINE: "line",
    BLUE: "blue",
    ORANGE: "orange",
    GREEN: "green",
    VERMILION: "vermilion",
    SKY: "sky",
    PURPLE: "purple",
    YELLOW: "yellow",
    GREY: "grey",
}


def variable(colour: str) -> str:
    """Return the page's variable for a colour that pictures are drawn in.

    >>> variable(BLUE)
    'var(--blue)'
    """
    return f"var(--{_DRAWN[colour]})"


def replacements() -> dict[str, str]:
    """Return every colour that pictures are drawn in, in lower case, with its variable."""
    return {colour.lower(): variable(colour) for colour in _DRAWN}


def style() -> str:
    """Return the variables as a style sheet."""
    light, dark = (
        "".join(f"--{name}:{colours[theme]};" for name, colours in VARIABLES.items())
        for theme in (0, 1)
    )
    return f":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
