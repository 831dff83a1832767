"""Tidying of extracted texts, the same for every type of document: white space and controls."""

from __future__ import annotations

import re

from ..outcome import NotKept

MOST_TEXT = 64 << 20
"""Maximum characters of a text."""

_DROPPED = dict.fromkeys([*range(9), *range(14, 32), 127, 0xFFFE, 0xFFFF, *range(0xD800, 0xE000)])
_TO_DROP = re.compile("[\x00-\x08\x0e-\x1f\x7f\ufffe\uffff\ud800-\udfff]")
_LINE_ENDS = ("\r\n", "\r", "\v", "\f")
_BLANK_LINES = re.compile("\n{4,}")
_NO_LETTERS = re.compile("[\ufffd\ue000-\uf8ff\U000f0000-\U0010ffff]")
_MOST_NO_LETTERS = 0.3
"""Share of private-use and replacement characters above which a text is unreadable."""


def tidy(text: str) -> str:
    r"""Return a text with uniform line ends and white space, and without control characters.

    Line ends, vertical tabs and form feeds become ``\n``; NUL, the other C0 controls but tab, DEL,
    lone surrogates, U+FFFE and U+FFFF are removed, as is a byte-order mark at the beginning; spaces
    at the ends of lines go, and of more than two blank lines in a row two are left. Nothing else is
    changed: no Unicode normal form is applied.

    >>> tidy("\ufeffone\x00 \r\ntwo\n\n\n\n\n\nthree\n")
    'one\ntwo\n\n\nthree'
    """
    text = text.removeprefix("\ufeff")
    for end in _LINE_ENDS:
        text = text.replace(end, "\n")
    if _TO_DROP.search(text):
        text = text.translate(_DROPPED)
    text = "\n".join(line.rstrip(" \t\xa0") for line in text.split("\n"))
    if "\n\n\n\n" in text:
        text = _BLANK_LINES.sub("\n\n\n", text)
    return text.strip("\n")


def check_readable(text: str) -> None:
    """Raise `NotKept` for a text without letters, or with too many characters of no meaning."""
    written = "".join(text.split())
    if not any(map(str.isalnum, written)):
        raise NotKept("no-text", f"{len(written)} characters, none of them a letter")
    nothing = 0 if written.isascii() else len(_NO_LETTERS.findall(written))
    if nothing > _MOST_NO_LETTERS * len(written):
        raise NotKept("unreadable", f"{nothing} of {len(written)} characters have no meaning")
