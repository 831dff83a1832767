"""Binary formats by their signatures: archives, office documents, databases, images, and so on."""

from __future__ import annotations

import re
from dataclasses import dataclass

_UNPACK = "unpack it"
_DECOMPRESS = "decompress it"
_WRITE_PARQUET = "write it as Parquet"
_NO_TEXT = "it holds no text"


@dataclass(frozen=True)
class _Signature:
    """Bytes at a place near the beginning of every file of a format."""

    bytes: bytes
    what: str
    remedy: str
    offset: int = 0


_SIGNATURES = (
    _Signature(b"\x1f\x8b\x08", "gzip data", f"{_DECOMPRESS}, or let its name end in .gz"),
    _Signature(b"\x28\xb5\x2f\xfd", "zstd data", f"{_DECOMPRESS}, or let its name end in .zst"),
    _Signature(b"1AY&SY", "bz2 data", f"{_DECOMPRESS}, or let its name end in .bz2", offset=4),
    _Signature(b"\xfd7zXZ\x00", "xz data", _DECOMPRESS),
    _Signature(b"\x04\x22\x4d\x18", "lz4 data", _DECOMPRESS),
    _Signature(b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    _Signature(b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    _Signature(b"ustar", "a tar archive", _UNPACK, offset=257),
    _Signature(b"PAR1", "a Parquet file", "let its name end in .parquet"),
    _Signature(b"ARROW1\x00\x00", "an Arrow (Feather) file", _WRITE_PARQUET),
    _Signature(b"Obj\x01", "an Avro file", _WRITE_PARQUET),
    _Signature(b"ORC", "an ORC file", _WRITE_PARQUET),
    _Signature(b"SQLite format 3\x00", "an SQLite database", "export its table as CSV"),
    _Signature(b"DUCK", "a DuckDB database", "export its table as Parquet", offset=8),
    _Signature(b"\x89HDF\r\n\x1a\n", "an HDF5 file", _WRITE_PARQUET),
    _Signature(b"\x93NUMPY", "a NumPy array", _WRITE_PARQUET),
    _Signature(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document", "save it as text or CSV"),
    _Signature(b"\x89PNG\r\n\x1a\n", "a PNG image", _NO_TEXT),
    _Signature(b"\xff\xd8\xff", "a JPEG image", _NO_TEXT),
    _Signature(b"GIF8", "a GIF image", _NO_TEXT),
    _Signature(b"II*\x00", "a TIFF image", _NO_TEXT),
    _Signature(b"MM\x00*", "a TIFF image", _NO_TEXT),
    _Signature(b"WEBP", "a WebP image", _NO_TEXT, offset=8),
    _Signature(b"WAVE", "a WAV recording", _NO_TEXT, offset=8),
    _Signature(b"ID3", "an MP3 recording", _NO_TEXT),
    _Signature(b"fLaC", "a FLAC recording", _NO_TEXT),
    _Signature(b"OggS", "an Ogg recording", _NO_TEXT),
    _Signature(b"ftyp", "an MP4 film", _NO_TEXT, offset=4),
    _Signature(b"\x1a\x45\xdf\xa3", "a Matroska film", _NO_TEXT),
    _Signature(b"\x7fELF", "an ELF program", _NO_TEXT),
    _Signature(b"MZ", "a Windows program", _NO_TEXT),
    _Signature(b"\xca\xfe\xba\xbe", "a Java class or a macOS program", _NO_TEXT),
    _Signature(b"\xcf\xfa\xed\xfe", "a macOS program", _NO_TEXT),
    _Signature(b"\x00asm", "a WebAssembly program", _NO_TEXT),
)

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_IN_ZIP = (
    (b"xl/", "an Excel workbook", "save it as CSV in UTF-8"),
    (b"word/", "a Word document", "save it as plain text in UTF-8"),
    (b"ppt/", "a PowerPoint document", "save it as plain text in UTF-8"),
    (b"[Content_Types].xml", "an Office document", "save it as text or CSV in UTF-8"),
    (b"mimetypeapplication/vnd.oasis", "an OpenDocument file", "save it as text or CSV in UTF-8"),
    (b"mimetypeapplication/epub", "an EPUB book", "unpack it"),
)

_PDF = re.compile(rb"%PDF-\d\.\d[ \t]*[\r\n]")
_PDF_OBJECT = re.compile(rb"\b\d+ \d+ obj\b")

_PICKLE = re.compile(rb"\x80[\x02-\x05]")
_PICKLE_OPCODES = re.compile(rb"\x80[\x02-\x05](?:\x95.{8}|[c}\](\x8c])", re.DOTALL)

_NOT_IN_TEXT = bytes({*range(32)} - set(b"\t\n\v\f\r\x1b"))
"""Control characters that no text has; NUL is one of them."""


def binary(head: bytes) -> str | None:
    r"""Return what a binary file is and what to do with it.

    >>> print(binary(b"\x89PNG\r\n\x1a\n\x00\x00"))
    it is a PNG image; it holds no text
    >>> print(binary(b"%PDF is a format"), binary(b"GIF8 and ORC are words"))
    None None
    """
    found = _found(head)
    return None if found is None else f"it is {found[0]}; {found[1]}"


def _found(head: bytes) -> tuple[str, str] | None:
    if head.startswith(_ZIP):
        kinds = ((what, remedy) for mark, what, remedy in _IN_ZIP if mark in head)
        return next(kinds, ("a ZIP archive", _UNPACK))
    if _PDF.match(head) and _PDF_OBJECT.search(head):
        return "a PDF", "extract its text first, for example with pdftotext"
    if _PICKLE.match(head) and _PICKLE_OPCODES.match(head):
        return "a Python pickle", _WRITE_PARQUET
    for one in _SIGNATURES:
        # A text, in whatever encoding, may begin with letters that are a signature.
        if head.startswith(one.bytes, one.offset) and not (
            one.bytes.isascii() and _without_controls(head)
        ):
            return one.what, one.remedy
    return None


def _without_controls(head: bytes) -> bool:
    return head.translate(None, _NOT_IN_TEXT) == head


def is_text(head: bytes) -> bool:
    r"""Return whether bytes are UTF-8 (but for a last character that is cut) without control codes.

    >>> is_text(b"un"), is_text(b"\xff")
    (True, False)
    """
    if not _without_controls(head):
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.end == len(head) and error.reason == "unexpected end of data"
    return True
