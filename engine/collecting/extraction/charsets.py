"""Decoding of documents by their declared charset or a detected one; refused if neither fits.

A wrongly decoded text is worse than none, so a declared charset is used only if it decodes all
bytes, and bytes that are valid UTF-8 are decoded as UTF-8 whatever is declared.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from ....storage.errors import BackendUnavailable
from ..outcome import NotKept

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16's, which it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_WIDER = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
    "tis-620": "cp874",
}
"""Supersets that browsers use in place of the declared codec, by the declared codec's name."""

_NO_CHARSETS = frozenset(
    {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "utf-7", "utf-8"}
)
"""Codecs to ignore: those in which no document is written, and UTF-8, which is tried first."""

_NOT_ASCII_BASED = re.compile(r"utf-(16|32)|iso2022|hz")
_ESCAPES = (b"\x1b$", b"\x1b(", b"\x1b&")
_MARK_OF = {"utf": b"\0", "hz": b"~{"}
"""Bytes that occur in every text of a declared codec, by the beginning of the codec's name."""

_MOST_NULS = 0.2
"""Share of NULs above which bytes are not in a single-byte encoding."""

_MOST_CONTROLS = 0.01
"""Share of control characters above which a decoded string is not a text."""

_MOST_BROKEN = 0.01
"""Maximum ratio of broken to valid sequences at which bytes still count as UTF-8."""

_SAMPLE_BYTES = 1 << 17
_LEAST_CONFIDENCE = 0.06
"""Least confidence of chardet that is accepted: for a few words it is low even if right."""

_NOT_ASCII = re.compile(rb"[\x80-\xff]+")
_AROUND = 100
"""Bytes before and after each run of non-ASCII bytes that are given to the detector."""

_CONTROLS = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f]")


@dataclass(frozen=True)
class Decoded:
    """A text and how it was decoded."""

    text: str
    encoding: str
    replaced: int = 0
    """Broken sequences that became U+FFFD."""


def decoded(content: bytes, *labels: str) -> Decoded:
    r"""Decode a document.

    Parameters
    ----------
    content
        All of its bytes.
    *labels
        Declared charsets, the most trusted first; empty and unknown names are ignored.

    Raises
    ------
    NotKept
        ``unreadable``: they are not a text in any encoding that was declared or detected.

    Examples
    --------
    >>> decoded("déjà".encode("cp1252"), "ISO-8859-1")
    Decoded(text='déjà', encoding='cp1252', replaced=0)
    >>> decoded("déjà".encode(), "ISO-8859-1").text
    'déjà'
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            if found := _decoded_as(content, encoding):
                return found
            raise NotKept("unreadable", f"a byte order mark of {encoding}, but not {encoding}")
    said = [name for name in map(_codec, labels) if name]
    # Texts in these encodings consist of ASCII bytes, and would pass as UTF-8.
    marks = [*_ESCAPES, *(_MARK_OF[name[:3]] for name in said if name[:3] in _MARK_OF)]
    switched = content.count(0) > len(content) * _MOST_NULS or any(
        mark in content for mark in marks
    )
    tried = [name for name in said if switched and _NOT_ASCII_BASED.match(name)]
    tried += () if switched else ("utf-8",)
    tried += (name for name in said if not _NOT_ASCII_BASED.match(name) and not switched)
    for name in tried:
        if found := _decoded_as(content, name):
            return found
    return (None if switched else _nearly_utf8(content)) or _detected(content)


def _codec(label: str) -> str:
    """Return the name of the codec for a label; empty for none that documents are written in."""
    try:
        name = codecs.lookup(label.strip().strip("\"'")).name if label else ""
    except (LookupError, ValueError):
        return ""
    return "" if name in _NO_CHARSETS else _WIDER.get(name, name)


def _decoded_as(content: bytes, encoding: str) -> Decoded | None:
    """Decode strictly; None if that is not possible, or the result is not a text."""
    try:
        text = content.decode(encoding)
    except (UnicodeError, LookupError):  # LookupError: not a text encoding, as zlib
        return None
    return Decoded(text, encoding.removesuffix("-sig")) if _is_plausible(text) else None


def _is_plausible(text: str) -> bool:
    return not _CONTROLS.search(text) or (
        len(_CONTROLS.findall(text)) <= 4 + _MOST_CONTROLS * len(text)
    )


def _nearly_utf8(content: bytes) -> Decoded | None:
    """Decode UTF-8 with a few broken sequences, which become U+FFFD; None if it is not UTF-8."""
    text = content.decode("utf-8", "replace")
    broken = text.count("\ufffd") - content.count("\ufffd".encode())
    good = len(text) - len(text.encode("ascii", "ignore")) - text.count("\ufffd")
    if broken > good * _MOST_BROKEN or not _is_plausible(text):
        return None
    return Decoded(text, "utf-8", broken)


def _around_what_is_not_ascii(content: bytes) -> bytes:
    pieces, size, start, end = [], 0, 0, 0
    for run in _NOT_ASCII.finditer(content):
        if run.start() > end + 2 * _AROUND:
            pieces.append(content[start : end + _AROUND])
            size += len(pieces[-1])
            start = max(0, run.start() - _AROUND)
        end = run.end()
        if size + end - start > _SAMPLE_BYTES:
            break
    return b"".join([*pieces, content[start : end + _AROUND]])[:_SAMPLE_BYTES]


def _detected(content: bytes) -> Decoded:
    try:
        import chardet
    except ImportError as error:
        raise BackendUnavailable(
            "detecting encodings needs chardet: pip install 'paninifs[collect]'"
        ) from error
    sample = content[:_SAMPLE_BYTES]
    if 0 not in sample and b"\x1b" not in sample:
        sample = _around_what_is_not_ascii(content)
    # Not those of old Macs and of DOS, which are falsely detected in short texts of Windows.
    found = chardet.detect(sample, encoding_era=chardet.EncodingEra.MODERN_WEB)
    encoding, confidence = found["encoding"] or "", found["confidence"] or 0.0
    if not encoding or confidence < _LEAST_CONFIDENCE:
        raise NotKept("unreadable", "no encoding was detected")
    name = _codec(encoding) or "utf-8"
    decoded_text = _decoded_as(content, name)
    if decoded_text is None:
        raise NotKept("unreadable", f"detected as {name}, but not valid {name}")
    return decoded_text
