"""UTF-16 and UTF-32, with a byte-order mark or without. A text in UTF-8 may hold NUL bytes."""

from __future__ import annotations

import codecs
import unicodedata

from .binary import is_text

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte-order marks, the longer ones first. No text in UTF-8 begins with any of them."""

_UNMARKED = {"utf-32-le": 4, "utf-32-be": 4, "utf-16-le": 2, "utf-16-be": 2}
"""Encodings without a mark, and the bytes of their units."""

_NUL_SHARE = 0.4
"""Share of NUL bytes from which bytes that could be UTF-8 are not. It is a half in UTF-16."""

_BLANK = b"\0\t\n\v\f\r\x1b "
_ASCII = bytes(range(33, 127))
_ASCII_SHARE = 0.6
"""Share of ASCII from which bytes are not UTF-16. In the lower bytes of Chinese, it is 0.4."""

_LEAST_ASCII = 0.02
"""Share of spaces, line ends, digits and so on that any text has."""

_CONTROLS = frozenset("\t\n\v\f\r\x1b\x85\ufeff")
_NO_TEXT = ("Cc", "Cn", "Co", "Cs")


def wide(head: bytes) -> str | None:
    r"""Return that a file is UTF-16 or UTF-32, and what to do.

    >>> print(wide("un".encode("utf-16")))
    it is UTF-16; give its encoding (--encoding utf-16, encoding="utf-16"), or save it as UTF-8
    >>> print(wide(b"one\0two\0"), wide(b""))
    None None
    """
    encoding = _encoding(head)
    if encoding is None:
        return None
    name = encoding[:6].upper()
    option = f'--encoding {encoding}, encoding="{encoding}"'
    return f"it is {name}; give its encoding ({option}), or save it as UTF-8"


def _encoding(head: bytes) -> str | None:
    marked = next((encoding for mark, encoding in _MARKS if head.startswith(mark)), None)
    nuls = head.count(0)
    if marked or not nuls:
        return marked
    if nuls < _NUL_SHARE * len(head) and (is_text(head.replace(b"\0", b"")) or _is_ascii(head)):
        return None
    # Swapped, "a" is a Chinese character: the order with more of ASCII is the right one.
    ascii_by_encoding = {encoding: _ascii_in(head, encoding) for encoding in _UNMARKED}
    likely = max(ascii_by_encoding, key=lambda encoding: ascii_by_encoding[encoding])
    return likely if ascii_by_encoding[likely] else None


def _is_ascii(head: bytes) -> bool:
    """Return whether both bytes of what would be units are ASCII for the most part."""
    halves = [half.translate(None, _BLANK) for half in (head[0::2], head[1::2])]
    # In some scripts, such as Devanagari, the higher bytes are tabs.
    return all(
        half and len(half.translate(None, _ASCII)) <= (1 - _ASCII_SHARE) * len(half)
        for half in halves
    )


def _ascii_in(head: bytes, encoding: str) -> int:
    """Return how many characters are ASCII; 0 if the bytes are not text in an encoding."""
    if len(head) % _UNMARKED[encoding]:
        return 0
    try:  # not final, so that a pair of surrogates may be cut
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        return 0
    used = set(text)
    if not all(one in _CONTROLS or unicodedata.category(one) not in _NO_TEXT for one in used):
        return 0
    if len(text) < 2 or not any(map(str.isalnum, used)):
        return 0
    found = sum(map(str.isascii, text))
    return found if found >= _LEAST_ASCII * len(text) else 0
