"""The text of a tree of markup, with line breaks and blank lines where its elements imply them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .xml_trees import require_lxml


def names(text: str) -> frozenset[str]:
    """Return the names in a text, which are separated by spaces.

    >>> sorted(names("p div"))
    ['div', 'p']
    """
    return frozenset(text.split())


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What elements mean for the text, by their names without namespaces."""

    paragraphs: frozenset[str]
    """Elements with a blank line before and after them."""
    lines: frozenset[str] = frozenset()
    """Elements on lines of their own; empty ones are line breaks."""
    cells: frozenset[str] = frozenset()
    """Elements that are separated by a tab."""
    kept: frozenset[str] = frozenset()
    """Elements whose white space is kept."""
    skipped: frozenset[str] = frozenset()
    """Elements that are left out."""


XHTML = Layout(
    paragraphs=names(
        "address article aside blockquote body dd div dl dt fieldset figcaption figure"
        " footer form h1 h2 h3 h4 h5 h6 header hr main nav ol p pre section table ul"
    ),
    lines=names("br li tr caption"),
    cells=names("td th"),
    kept=names("pre"),
    skipped=names(
        "audio button canvas head iframe math noscript object script select style svg"
        " template video"
    ),
)
"""The layout of XHTML."""


@dataclass
class _Writer:
    pieces: list[str] = field(default_factory=list)
    gap: str = ""
    """White space to write before the next text."""
    kept: int = 0

    def part(self, gap: str) -> None:
        if len(gap) > len(self.gap) or "\n" not in self.gap:
            self.gap = gap

    def write(self, text: str | None) -> None:
        if not text:
            return
        if self.kept:
            self._put(text)
            return
        words = " ".join(text.split())
        if not words:
            self.gap = self.gap or " "
            return
        if text[0].isspace():
            self.gap = self.gap or " "
        self._put(words)
        self.gap = " " if text[-1].isspace() else ""

    def _put(self, text: str) -> None:
        if self.pieces:
            self.pieces.append(self.gap)
        self.pieces.append(text)
        self.gap = ""


def markup_text(root: Any, layout: Layout) -> str:
    """Return the text of an element and what is in it; white space is collapsed.

    Parameters
    ----------
    root
        An element of lxml. Entities in it are ignored.
    layout
        What its elements mean.
    """
    writer = _Writer()
    walk = require_lxml().iterwalk(root, events=("start", "end"))
    for event, element in walk:
        name = element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
        skipped = name in layout.skipped
        _break(writer, name, layout)
        if event == "start":
            writer.kept += name in layout.kept
            if skipped:
                walk.skip_subtree()
            else:
                writer.write(element.text)
        else:
            writer.kept -= name in layout.kept
            if element is not root:
                writer.write(element.tail)
    return "".join(writer.pieces)


def _break(writer: _Writer, name: str, layout: Layout) -> None:
    if name in layout.paragraphs:
        writer.part("\n\n")
    elif name in layout.lines:
        writer.part("\n")
    elif name in layout.cells:
        writer.part("\t")
