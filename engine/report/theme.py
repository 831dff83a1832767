"""The colours of a report's page and pictures, on light ground and on dark.

A picture is drawn in the palette's colours, and in the page each of them becomes a variable, so
that it follows what the reader has chosen. On either ground text has a contrast of 4.5 at least,
and what is drawn one of 3: some of the palette's colours are darker on light ground for it.
"""

from __future__ import annotations

from ..rendering.palette import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, YELLOW

INK, FAINT, LINE = "#1b1f24", "#57606a", "#d0d7de"

KINDS = (BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE, YELLOW, INK, GREY)
"""Of the map's points, in the order in which they are taken; the last one is for all others."""

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
"""Name to what it is on light ground, and on dark."""

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
    """Return how the page calls a colour that pictures are drawn in.

    >>> variable(BLUE)
    'var(--blue)'
    """
    return f"var(--{_DRAWN[colour]})"


def replacements() -> dict[str, str]:
    """Return every colour that pictures are drawn in, in small letters, and its variable."""
    return {colour.lower(): variable(colour) for colour in _DRAWN}


def style() -> str:
    """Return the variables as a style sheet."""
    light, dark = (
        "".join(f"--{name}:{values[at]};" for name, values in VARIABLES.items()) for at in (0, 1)
    )
    return f":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
