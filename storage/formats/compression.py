"""Compressed files: the table of compressions, and the decompressed stream of a file.

Every decoder reads files with several members (gzip), frames (zstd) or streams (bz2) to the end,
and verifies the checksums that they have. A compressed file can only be read from its beginning.
"""

from __future__ import annotations

import bz2
import gzip
import io
from collections.abc import Callable
from typing import Any, BinaryIO

import pyarrow as pa

from ..rows import Malformed
from .decoding import StoredFile

SUFFIXES = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}

_LONG_WINDOW = (
    "compressed with a zstd window of more than 128 MiB; compress it again without --long "
    "(or with --long=27 at most)"
)

_STORED_BYTES = 1 << 20
"""Bytes per read from the storage."""

_DECODED_BYTES = 1 << 16
"""Bytes per read from a decoder: few, so that content before a damaged part is kept."""

Decoder = Callable[[int], bytes]
"""A function that returns the next bytes, up to a given number; none at the end."""


def _gzip(stored: io.BufferedReader) -> Decoder:
    return gzip.GzipFile(fileobj=stored).read1


def _zstd(stored: io.BufferedReader) -> Decoder:
    # fsspec's decoder, from the package zstandard, silently ends after the first frame.
    read: Decoder = pa.CompressedInputStream(pa.PythonFile(stored, mode="r"), "zstd").read
    return read


class _Bz2:
    """Decodes bz2. Python's `BZ2File` silently stops where a second or later stream is damaged."""

    def __init__(self, stored: io.BufferedReader) -> None:
        self._stored = stored
        self._stream: bz2.BZ2Decompressor | None = None  # None: between streams
        self._ahead = b""

    def __call__(self, size: int) -> bytes:
        data = b""
        while not data:
            if self._stream is None or self._stream.needs_input:
                self._ahead = self._ahead or self._stored.read1(io.DEFAULT_BUFFER_SIZE)
                if not self._ahead:
                    break
            self._stream = self._stream or bz2.BZ2Decompressor()
            data, self._ahead = self._stream.decompress(self._ahead, size), b""
            if self._stream.eof:
                self._ahead, self._stream = self._stream.unused_data, None
        if not data and self._stream is not None:
            raise EOFError("the file ends before its last stream does")
        return data


_DECODERS: dict[str, Callable[[io.BufferedReader], Decoder]] = {
    "gzip": _gzip,
    "zstd": _zstd,
    "bz2": _Bz2,
}


def split_suffix(name: str) -> tuple[str, str | None]:
    """Return a file's name without the ending of its compression, and the compression or None.

    >>> split_suffix("glosses.jsonl.zst"), split_suffix("glosses.jsonl")
    (('glosses.jsonl', 'zstd'), ('glosses.jsonl', None))
    """
    for suffix, compression in SUFFIXES.items():
        if name.lower().endswith(suffix):
            return name[: -len(suffix)], compression
    return name, None


def decompressed(raw: BinaryIO, compression: str) -> io.BufferedReader:
    """Return the decompressed content of a file as a sequential stream; `raw` stays open.

    Raises
    ------
    Malformed
        Raised by the stream's methods if the file is damaged or truncated.
    """
    return io.BufferedReader(_Decompressed(StoredFile(raw), compression), _DECODED_BYTES)


class _Decompressed(io.RawIOBase):
    def __init__(self, stored: StoredFile, compression: str) -> None:
        self._stored = stored
        self._reason = f"damaged {compression}"
        self._decode = _DECODERS[compression](io.BufferedReader(stored, _STORED_BYTES))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            with self._stored.decoding(self._reason):
                data = self._decode(len(buffer))
        except Malformed as error:
            if "requires too much memory" in str(error):  # ZSTD_WINDOWLOG_LIMIT_DEFAULT
                raise Malformed(_LONG_WINDOW) from error
            raise
        buffer[: len(data)] = data
        return len(data)
