"""Encodings other than UTF-8: decoding a file while it is read, and detecting its encoding.

A file in another encoding is read as a stream of UTF-8, so formats know of nothing else. Bytes that
cannot be decoded become a byte that no UTF-8 has; so their row is quarantined, and `named` replaces
the reason, which is about UTF-8, by one about the file's encoding. Which encodings there are is in
`dialect`.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any, BinaryIO, cast

from ...errors import BackendUnavailable, UsageError
from ...rows import Fault, Malformed, Opener, Rows, SourceFile
from ...rows.dialect import AUTO, Dialect

WRONG = b"\xff"
"""The byte in a decoded stream that stands for bytes that cannot be decoded."""

_ERRORS = "paninifs.wrong"

_PIECE_BYTES = 1 << 16

SAMPLE_BYTES = 1 << 18
"""Most bytes that an encoding is detected from."""

SEARCHED_BYTES = 16 << 20
"""Bytes at the beginning of a file in which bytes that are not UTF-8 are looked for."""

_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16's, which it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_MOST_NULS = 0.2
"""Share of NULs above which a file is not UTF-8, although it may have them."""

_NOT_ASCII = re.compile(rb"[^\n]{0,200}[\x80-\xff][^\n]{0,200}\n?")
_GUESS = "as detected; if words look wrong, name the encoding (encoding=, --encoding)"
_UTF8_REASON = re.compile(r"invalid UTF-8 at byte (\d+): .*", re.DOTALL)


def _wrong(error: UnicodeError) -> tuple[str | bytes, int]:
    if isinstance(error, UnicodeDecodeError):
        # Some decoders count the line break after a wrong byte among the wrong ones. In UTF-16 and
        # UTF-32, a byte like it is not a line break.
        wide = error.encoding.lower().startswith(("utf-16", "utf-32", "utf16", "utf32"))
        breaks = 0 if wide else error.object[error.start : error.end].count(b"\n")
        return "\udcff" + breaks * "\n", error.end
    if isinstance(error, UnicodeEncodeError):
        return WRONG * (error.end - error.start), error.end
    raise error


codecs.register_error(_ERRORS, _wrong)


def utf8_stream(stream: BinaryIO, encoding: str) -> BinaryIO:
    r"""Return the UTF-8 of a stream in another encoding, as a sequential stream.

    >>> stream = io.BytesIO("voilà\n".encode("utf-16") + b"\x00\xd8")
    >>> utf8_stream(stream, "utf-16").read()
    b'voil\xc3\xa0\n\xff'
    """
    return cast(BinaryIO, io.BufferedReader(_Utf8Stream(stream, encoding), _PIECE_BYTES))


class _Utf8Stream(io.RawIOBase):
    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        self._stream = cast(io.BufferedReader, stream)
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)(_ERRORS)
        self._ahead = b""
        self._ended = False

    @property
    def _remedy(self) -> str:
        name = self._encoding
        wide = name in ("utf-16", "utf-32")
        return f"; name its byte order: {name}-le or {name}-be" if wide else ""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ahead and not self._ended:
            data = self._stream.read1(_PIECE_BYTES)
            self._ended = not data
            try:
                text = self._decoder.decode(data, final=self._ended)
            except UnicodeError as error:  # of the file as a whole
                raise Malformed(f"not {self._encoding}: {error}{self._remedy}") from error
            self._ahead = text.encode("utf-8", _ERRORS)
        data, self._ahead = self._ahead[: len(buffer)], self._ahead[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)


def named(batches: Iterator[Rows], encoding: str) -> Iterator[Rows]:
    """Yield batches of a decoded file, whose faults name its encoding and not UTF-8."""
    for rows in batches:
        yield replace(rows, faults=tuple(_named(fault, encoding) for fault in rows.faults))


def _named(fault: Fault, encoding: str) -> Fault:
    found = _UTF8_REASON.fullmatch(fault.reason)
    if not found:
        return fault
    before = fault.excerpt[: int(found[1])]
    whole = len(before) == int(found[1])  # not if the excerpt ends before it
    where = f"character {len(before.decode('utf-8', 'replace'))}" if whole else f"byte {found[1]}"
    return replace(fault, reason=f"invalid {encoding} at {where}")


def require_detector() -> Any:
    """Return chardet, which detects encodings; raise `BackendUnavailable` without version 7."""
    with suppress(ImportError):
        import chardet

        if hasattr(chardet, "EncodingEra"):
            return chardet
    raise BackendUnavailable(
        f"encoding={AUTO!r} needs the package chardet, version 7: pip install "
        "'paninifs[encoding]'; or name the encoding, such as encoding='cp1252'"
    )


def detected(file: SourceFile, opener: Opener) -> tuple[SourceFile, str | None]:
    """Return a file with its encoding, if that is to be detected, and a note about it.

    A file is UTF-8 if its first 16 MiB are. Otherwise its byte-order mark or chardet decides, by
    those of its lines that are not ASCII. If nothing can be detected, it is read as UTF-8.
    """
    if file.dialect.encoding != AUTO:
        return file, None
    plain = replace(file, dialect=replace(file.dialect, encoding=None))
    with opener(plain) as stream:
        sample = _sample(stream)
    if sample is None:
        return plain, None
    encoding = _detected(sample)
    if encoding is None:
        return plain, (
            "its encoding cannot be detected, so it is read as UTF-8; name its encoding, such as "
            "encoding='latin-1' (--encoding latin-1)"
        )
    known = replace(file, dialect=replace(file.dialect, encoding=encoding))
    name = known.dialect.encoding
    return known, f"read as {name}, {_GUESS}" if name else None


def _detected(sample: bytes) -> str | None:
    """Return the name of an encoding, or None if it cannot be detected."""
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if sample.startswith(mark):
            return encoding
    chardet = require_detector()
    # Without those of old Macs and of DOS, which it finds in short texts of Windows.
    found: str | None = chardet.detect(sample, encoding_era=chardet.EncodingEra.MODERN_WEB)[
        "encoding"
    ]
    if found is None:
        return None
    if found.lower() == "ascii":
        return "utf-8"
    try:
        Dialect(encoding=found)
    except UsageError:  # Python does not have it
        return None
    return found


def _sample(stream: BinaryIO) -> bytes | None:
    """Return bytes that show the encoding of a file; None if it is UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for read in range(0, SEARCHED_BYTES, SAMPLE_BYTES):
        piece = stream.read(SAMPLE_BYTES)
        if not read and _is_switched(piece):
            return piece
        try:
            decoder.decode(piece, final=not piece)
        except UnicodeDecodeError:
            if b"\x00" in piece or piece.startswith(tuple(_BYTE_ORDER_MARKS)):
                return piece
            return b"".join(_NOT_ASCII.findall(piece + stream.read(SAMPLE_BYTES)))[:SAMPLE_BYTES]
        if not piece:
            break
    return None


def _is_switched(piece: bytes) -> bool:
    """Return whether bytes that are UTF-8 look like UTF-16, or have escapes to other characters."""
    return piece.count(b"\x00") > len(piece) * _MOST_NULS or b"\x1b$" in piece
