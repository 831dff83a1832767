"""The pages of a MediaWiki export as pieces of XML, from compressed streams, with their positions.

A page's position is the byte at which its compressed stream begins and its number in that stream;
a dump of many streams is resumed there without reading what comes before. Dumps escape ``<`` in
texts, so ``<page>`` occurs as a tag only, and a damaged page does not affect the others.
"""

from __future__ import annotations

import bz2
import gzip
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from .....storage.errors import UsageError
from ...outcome import NotKept

PAGE_BYTES = 32 << 20
"""Size of the largest page, in bytes of XML; MediaWiki's own limit for a text is 2 MiB."""

GAP_BYTES = 64 << 20
"""Bytes without a page after which a file does not count as a dump."""

_READ_BYTES = 1 << 18
_DECODED_BYTES = 1 << 20
_OPEN, _CLOSE, _END = b"<page>", b"</page>", b"</mediawiki>"
_OTHER_KINDS = {
    b"7z\xbc\xaf": ".7z",
    b"\x28\xb5\x2f\xfd": ".zst",
    b"\xfd7zXZ": ".xz",
    b"PK": ".zip",
}


@dataclass(frozen=True)
class RawPage:
    """A page as it is in the file."""

    stream: int
    """Byte of the file at which the stream begins that the page begins in."""
    number: int
    """Its number among the pages that begin in that stream, from 1."""
    xml: bytes | None
    """``<page>`` to ``</page>``; None if it is larger than `PAGE_BYTES`."""


def raw_pages(file: BinaryIO, name: str, stream: int = 0, after: int = 0) -> Iterator[RawPage]:
    """Yield the pages of a dump that follow a position, in the file's order.

    Parameters
    ----------
    file
        The dump, positioned anywhere: bz2 of one or many streams, gzip, or XML.
    name
        For messages.
    stream, after
        Position of the page after which to go on; 0 and 0 to begin.

    Raises
    ------
    UsageError
        The file is compressed in another way.
    NotKept
        It is not a dump (``wrong-type``), is damaged (``bad-compression``, ``damaged``) or ends
        early (``truncated``).
    """
    file.seek(0)
    head = file.read(8)
    for magic, ending in _OTHER_KINDS.items():
        if head.startswith(magic):
            raise UsageError(
                f"{name} is a {ending} file; take the dump that ends in -multistream.xml.bz2, or "
                "unpack it first"
            )
    file.seek(stream)
    plain = False
    if head.startswith(b"BZh"):
        chunks = _bz2_chunks(file, name, stream)
    elif head.startswith(b"\x1f\x8b"):
        chunks = _gzip_chunks(file, name)
    else:
        chunks, plain = _plain_chunks(file, stream), True
    if stream == 0:
        chunks = _checked_head(chunks, name)
    for page in _split(chunks, name, plain=plain):
        if (page.stream, page.number) > (stream, after):
            yield page


def _plain_chunks(file: BinaryIO, at: int) -> Iterator[tuple[int, bytes]]:
    while data := file.read(_DECODED_BYTES):
        yield at, data
        at += len(data)


def _bz2_chunks(file: BinaryIO, name: str, at: int) -> Iterator[tuple[int, bytes]]:
    """Yield decoded data with the byte at which its stream begins."""
    begin, ahead = at, b""
    decoder: bz2.BZ2Decompressor | None = None
    while True:
        if decoder is None or decoder.needs_input:
            ahead = ahead or file.read(_READ_BYTES)
            if not ahead:
                break
        if decoder is None:
            decoder = bz2.BZ2Decompressor()
        at += len(ahead)
        try:
            data, ahead = decoder.decompress(ahead, _DECODED_BYTES), b""
        except (OSError, ValueError) as error:
            raise NotKept(
                "bad-compression", f"{name}, stream at byte {begin}: {error}; download it again"
            ) from None
        if data:
            yield begin, data
        if decoder.eof:
            ahead, decoder = decoder.unused_data, None
            at -= len(ahead)
            begin = at
    if decoder is not None:
        raise NotKept("truncated", f"{name} ends in its stream at byte {begin}; download it again")


def _gzip_chunks(file: BinaryIO, name: str) -> Iterator[tuple[int, bytes]]:
    with gzip.GzipFile(fileobj=file) as decoded:
        while True:
            try:
                data = decoded.read(_DECODED_BYTES)
            except (gzip.BadGzipFile, zlib.error) as error:
                raise NotKept("bad-compression", f"{name}: {error}; download it again") from None
            except EOFError:
                raise NotKept("truncated", f"{name} ends early; download it again") from None
            if not data:
                return
            yield 0, data


def _checked_head(chunks: Iterator[tuple[int, bytes]], name: str) -> Iterator[tuple[int, bytes]]:
    first = next(chunks, (0, b""))
    if b"<mediawiki" not in first[1][:4096]:
        raise NotKept("wrong-type", f"{name} does not begin with <mediawiki>")
    yield first
    yield from chunks


class _Splitter:
    """Decoded data that holds an unfinished page, or what follows the last one."""

    def __init__(self, name: str, *, plain: bool) -> None:
        self._name, self._plain = name, plain
        self._data = bytearray()
        self._at = 0  # decoded bytes before _data
        self._scanned = 0  # bytes of _data in which no tag can begin
        self._starts: list[int] = []  # decoded bytes at which the streams in _data begin
        self._streams: list[int] = []
        self._inside = self._too_large = self._ended = False
        self._gap = 0
        self._last_stream, self._number = -1, 0

    def feed(self, stream: int, data: bytes) -> Iterator[RawPage]:
        """Add data, and yield the pages that it completes."""
        if not self._streams or self._streams[-1] != stream:
            self._starts.append(self._at + len(self._data))
            self._streams.append(stream)
        self._data += data
        while self._inside or self._find_open():
            page = self._find_close()
            if page is None:
                break
            yield page
        self._forget_streams()

    def _find_open(self) -> bool:
        """Go to the beginning of the next page; return whether there is one."""
        found = self._data.find(_OPEN, self._scanned)
        if found >= 0:
            self._begin_page(found)
            return True
        self._ended = self._ended or _END in self._data
        self._drop(max(0, len(self._data) - len(_END)))
        if self._gap > GAP_BYTES:
            raise NotKept("damaged", f"{self._name}: no page in {self._gap >> 20} MiB; not a dump")
        return False

    def _begin_page(self, found: int) -> None:
        place = bisect_right(self._starts, self._at + found) - 1
        stream = self._streams[place]
        if self._plain:  # a position is a byte, where one page begins
            stream += self._at + found - self._starts[place]
            self._number = 0
        self._number = self._number + 1 if stream == self._last_stream else 1
        self._last_stream = stream
        self._drop(found)
        self._gap, self._inside, self._too_large = 0, True, False
        self._scanned = len(_OPEN)

    def _find_close(self) -> RawPage | None:
        """Return the current page, if its end was fed."""
        found = self._data.find(_CLOSE, self._scanned)
        end = found + len(_CLOSE)
        if found < 0:
            self._scanned = max(0, len(self._data) - len(_CLOSE))
            if len(self._data) > PAGE_BYTES:
                self._too_large = True
                self._drop(self._scanned)
            return None
        xml = None if self._too_large or end > PAGE_BYTES else bytes(self._data[:end])
        self._drop(end)
        self._gap, self._inside = 0, False
        return RawPage(self._last_stream, self._number, xml)

    def _drop(self, count: int) -> None:
        """Drop data that is not needed any more."""
        del self._data[:count]
        self._at += count
        self._gap += count
        self._scanned = max(0, self._scanned - count)

    def _forget_streams(self) -> None:
        keep = max(0, bisect_right(self._starts, self._at) - 1)
        del self._starts[:keep], self._streams[:keep]

    def end(self) -> None:
        """Raise `NotKept` if the dump does not end here."""
        if self._inside or not self._ended:
            raise NotKept("truncated", f"{self._name} ends before </mediawiki>; download it again")


def _split(chunks: Iterator[tuple[int, bytes]], name: str, *, plain: bool) -> Iterator[RawPage]:
    splitter = _Splitter(name, plain=plain)
    for stream, data in chunks:
        yield from splitter.feed(stream, data)
    splitter.end()
