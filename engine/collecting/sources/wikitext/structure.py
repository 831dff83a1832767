"""Pairs the brackets of wikitext in one pass: templates, tables and links.

A closing bracket ends the nearest opening one of its kind; what was opened in between and not
closed is taken for text. So a missing bracket costs the text at most its own characters, and the
work is one step per bracket: each is put on the stack once and taken off once.
"""

from __future__ import annotations

import re

from .links import link_text, template_text
from .opaque import REMOVED

_BRACKET = re.compile(
    r"\{{2,}|\}{2,}|\[\[|\]\]"
    r"|^[ \t:]*\{\|[^\n]*"  # a table begins a line
    r"|^[ \t]*\|\}(?!\}(?!\}))",  # and ends at the start of one; "|}}" is the end of a template
    re.MULTILINE,
)

DEPTH = 12
"""Maximum depth of nested links and displayed templates; deeper brackets are text. Content is
copied once per level, so this bounds the work."""

SHOWN_BYTES = 4096
"""Characters of the longest template that may show one of its arguments."""


class _Open:
    """A bracket that is not closed yet."""

    __slots__ = ("kind", "mark", "width")

    def __init__(self, kind: str, width: int, mark: int) -> None:
        self.kind, self.width, self.mark = kind, width, mark


class _Pairing:
    """The text so far, in pieces, and the brackets that are open."""

    def __init__(self) -> None:
        self.out: list[str] = []
        self._stack: list[_Open] = []
        self._open = {"{": 0, "[": 0, "|": 0}

    def open(self, kind: str, piece: str) -> None:
        """Note an opening bracket, which stays text until it is closed."""
        if kind == "[" and self._open["["] >= DEPTH:
            self.out.append(piece)
            return
        self._stack.append(_Open(kind, len(piece), len(self.out)))
        self._open[kind] += 1
        self.out.append(piece)

    def close(self, kind: str, piece: str) -> None:
        """End the nearest bracket of this kind; without one, the closing bracket is text."""
        if not self._open[kind]:
            self.out.append(piece)
            return
        while True:
            last = self._stack.pop()
            self._open[last.kind] -= 1
            if last.kind == kind:
                break
        if kind == "[":
            self._close_link(last.mark)
        else:
            self._drop(last.mark)

    def close_braces(self, width: int) -> None:
        """Close as many templates and parameters as a run of braces does."""
        while width >= 2 and self._open["{"]:
            last = self._stack.pop()
            self._open[last.kind] -= 1
            if last.kind != "{":
                continue
            closed = min(3, width, last.width)
            width -= closed
            rest = last.width - closed
            shown = self._template(last.mark) if closed == 2 else REMOVED
            del self.out[last.mark :]
            if rest >= 2:  # of "{{{{{", the outer braces are still open
                self._stack.append(_Open("{", rest, len(self.out)))
                self._open["{"] += 1
            if rest:
                self.out.append("{" * rest)
            self.out.append(shown)
        if width:
            self.out.append("}" * width)

    def _template(self, mark: int) -> str:
        """Return the displayed text of a template; only short ones of a few pieces are parsed."""
        if len(self.out) - mark > 4 * DEPTH or self._open["{"] >= DEPTH:
            return REMOVED
        if sum(map(len, self.out[mark + 1 :])) > SHOWN_BYTES:
            return REMOVED
        return template_text("".join(self.out[mark + 1 :]))

    def _close_link(self, mark: int) -> None:
        inner = "".join(self.out[mark + 1 :])
        shown = link_text(inner)
        if shown is None:
            shown = f"[[{inner}]]"
        del self.out[mark:]
        self.out.append(shown)

    def _drop(self, mark: int) -> None:
        del self.out[mark:]
        self.out.append(REMOVED)


def without_structure(text: str) -> str:
    r"""Return wikitext without templates and tables, and with links as they are shown.

    >>> without_structure("{{box|a={{b}}}}A [[c|d]] [[File:e.png|thumb|of [[f]]]]g")
    '\x01A d \x01g'
    >>> without_structure("a {{b [[c]] d")
    'a {{b c d'
    """
    pairing = _Pairing()
    at = 0
    for bracket in _BRACKET.finditer(text):
        if bracket.start() > at:
            pairing.out.append(text[at : bracket.start()])
        at = bracket.end()
        piece = bracket[0]
        if piece == "[[":
            pairing.open("[", piece)
        elif piece == "]]":
            pairing.close("[", piece)
        elif piece[0] == "{" and piece[1] == "{":
            pairing.open("{", piece)
        elif piece[0] == "}":
            pairing.close_braces(len(piece))
        elif piece.endswith("|}") and "{|" not in piece:
            pairing.close("|", piece)
        else:
            pairing.open("|", piece)
    pairing.out.append(text[at:])
    return "".join(pairing.out)
