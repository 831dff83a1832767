r"""Hides what must not be parsed: comments, and elements whose content is not wikitext.

Comments and elements that hold no prose (references, formulas, galleries, code) are removed;
the content of ``<nowiki>`` and ``<pre>`` is held in `Kept`, and restored at the end.

Closing tags are looked up in a list made in one pass, so that a million ``<ref>`` without a
``</ref>`` cost a million steps.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict

DROPPED = """
ref references math chem ce gallery timeline score syntaxhighlight source imagemap graph mapframe
maplink hiero templatedata templatestyles inputbox categorytree includeonly style script section
indicator charinsert dynamicpagelist listing rss video audio
"""
LITERAL = "nowiki pre"

_DROPPED = frozenset(DROPPED.split())
_NAMES = "|".join([*DROPPED.split(), *LITERAL.split()])
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_COMMENT_LINE = re.compile(r"(?<=\n)[ \t]*<!--(?:(?!-->|\n).)*-->[ \t]*\n")
_TAG = re.compile(rf"<(/?)({_NAMES})\b([^<>]{{0,2000}})>", re.IGNORECASE)
_MARK = re.compile("\x00([0-9]+)\x00")
_CONTROLS = dict.fromkeys([0, 1, 2])

REMOVED = "\x01"
"""Placeholder for removed markup, until the space around it is tidied."""


class Kept:
    """Literal pieces of a text, each with a mark that stands for it."""

    def __init__(self) -> None:
        self._pieces: list[str] = []

    def keep(self, piece: str) -> str:
        """Return the mark of a piece."""
        self._pieces.append(piece)
        return f"\x00{len(self._pieces) - 1}\x00"

    def restored(self, text: str) -> str:
        """Return a text with the pieces in place of their marks."""
        return _MARK.sub(lambda mark: self._pieces[int(mark[1])], text)


def without_opaque(text: str, kept: Kept) -> str:
    r"""Return wikitext without comments, and without elements that are not wikitext.

    >>> kept = Kept()
    >>> without_opaque("a<!-- b -->c<ref name='x'>d</ref>e<ref name='x'/>", kept)
    'ac\x01e\x01'
    >>> kept.restored(without_opaque("<nowiki>[[</nowiki>: <ref>", kept))
    '[[: <ref>'
    """
    text = text.translate(_CONTROLS) if _has_controls(text) else text
    if "<" not in text:
        return text
    text = _COMMENT.sub("", _COMMENT_LINE.sub("", text))
    closing: dict[str, list[int]] = defaultdict(list)
    tags = list(_TAG.finditer(text))
    ends = {}
    for tag in tags:
        if tag[1]:
            closing[tag[2].lower()].append(tag.start())
            ends[tag.start()] = tag.end()
    out: list[str] = []
    at = 0
    for tag in tags:
        if tag.start() < at or tag[1]:
            continue  # inside an element that was handled, or a closing tag alone
        name = tag[2].lower()
        end = _element_end(tag, closing[name], ends)
        if end is None:
            continue
        out.append(text[at : tag.start()])
        if name in _DROPPED:
            out.append(REMOVED)
        else:
            out.append(kept.keep(text[tag.end() : end[0]]))
        at = end[1]
    out.append(text[at:])
    return "".join(out)


def _has_controls(text: str) -> bool:
    return any(chr(code) in text for code in _CONTROLS)


def _element_end(
    tag: re.Match[str], closing: list[int], ends: dict[int, int]
) -> tuple[int, int] | None:
    """Return where an element's content ends and where the element does; None if it has no end."""
    if tag[3].rstrip().endswith("/"):
        return tag.end(), tag.end()
    index = bisect_left(closing, tag.end())
    if index == len(closing):
        return None
    return closing[index], ends[closing[index]]
