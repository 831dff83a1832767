"""`Explanation`: what `Graph.explain` returns, as text and as a picture."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ...storage.errors import UsageError
from .as_svg import svg_of
from .as_text import text_of
from .sketch import Sketch


@dataclass(frozen=True, repr=False)
class Explanation:
    """A drawing of a graph: text when printed, a picture in a notebook.

    Attributes
    ----------
    sketch : Sketch
        What is drawn.
    """

    sketch: Sketch

    @cached_property
    def svg(self) -> str:
        """The picture as a self-contained SVG element."""
        return svg_of(self.sketch)

    def __str__(self) -> str:
        return text_of(self.sketch)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return self.svg

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture to an ``.svg`` file, or the text to a ``.txt`` file.

        Raises
        ------
        UsageError
            The path has another ending.
        """
        path = Path(path)
        contents = {".svg": self.svg, ".txt": str(self)}
        if path.suffix.lower() not in contents:
            raise UsageError(f"{path}: the picture is saved as .svg, the text as .txt")
        path.write_text(contents[path.suffix.lower()] + "\n", encoding="utf-8")
