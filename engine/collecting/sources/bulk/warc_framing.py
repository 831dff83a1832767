"""The records of a WARC file with their positions, even if the file is damaged in places.

FastWARC reads the records (ISO 28500), but does not detect all damage: a record with a wrong length
swallows the next ones or leaves a remainder, and a damaged gzip member ends the file. This module
checks for both, and resumes at the next place where a record begins.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from .....storage.errors import BackendUnavailable, PaniniError
from ...outcome import NotKept

_GZIP = b"\x1f\x8b\x08"
_PLAIN_BEGIN = re.compile(rb"(?<=\n)WARC/[0-9]\.[0-9]+\r?\n")
_LENGTH = re.compile(r"[0-9]{1,15}")
_BLOCK_BYTES = 1 << 18
_HEADER_BYTES = 1 << 16
_RECORD_END = b"\r\n\r\n"


DAMAGED_RECORDS = 1000
"""Number of damaged places after which reading stops: each wrong length may cost reading as many
bytes as the largest document has."""


@dataclass(frozen=True, kw_only=True)
class Framed:
    """A record, or a part of a file that is not one."""

    offset: int
    """Byte at which it begins; 0 in a file that can only be read from its beginning."""
    number: int
    """Its number among the records with this offset, from 1."""
    type: str
    """``response``, ``conversion``, …; empty for what is not a record."""
    headers: Mapping[str, str]
    """WARC headers by lower-case name."""
    length: int
    """Bytes of its block, as its header says."""
    block: bytes | None = None
    """Its block; None if it is too large or of another type, and was not read."""
    problem: tuple[str, str] | None = None
    """A reason of `outcome.REASONS` and a detail, if it is damaged."""


@dataclass(frozen=True)
class WarcReader:
    """Reads the records of a file.

    Parameters
    ----------
    file
        The file, seekable.
    size
        Its bytes.
    types
        Types of the records whose blocks are read.
    most_bytes
        Bytes of the largest block that is read.
    """

    file: BinaryIO
    size: int
    types: frozenset[str]
    most_bytes: int

    def records(self, offset: int = 0, after: int = 0) -> Iterator[Framed]:
        """Yield the records that follow a position: those after number `after` at `offset`.

        Raises
        ------
        NotKept
            The file is damaged in more than `DAMAGED_RECORDS` places.
        BackendUnavailable
            FastWARC is not installed.
        """
        found = self._one_member() if self._is_one_member() else self._members(offset)
        for record in found:
            if (record.offset, record.number) > (offset, after):
                yield record

    def _members(self, at: int) -> Iterator[Framed]:
        """Yield the records from a byte on, going on after damage."""
        next_at: int | None = at
        damaged = 0
        while next_at is not None and next_at < self.size:
            if damaged > DAMAGED_RECORDS:
                raise NotKept("damaged", f"{DAMAGED_RECORDS} records before byte {next_at}")
            damaged += 1
            at, last = next_at, None
            try:
                for record in self._up_to_truncated(at):
                    if last is not None:
                        yield last
                    last = record
            except PaniniError:
                raise
            except (OSError, ValueError) as error:
                last, next_at = self._after_error(at, last, error)
            else:
                next_at = None
                if last is not None and last.problem:  # its length may reach over others
                    next_at = self._next_begin(last.offset + 1)
            if last is not None:
                yield last

    def _up_to_truncated(self, at: int) -> Iterator[Framed]:
        """Yield records up to one whose length reaches beyond what there is."""
        for record in self._parsed(at):
            yield record
            if record.problem and record.problem[0] == "truncated":
                return

    def _after_error(
        self, at: int, last: Framed | None, error: Exception
    ) -> tuple[Framed, int | None]:
        """Return what to list for an error, and where reading resumes."""
        if last is None:
            detail = f"at byte {at}: {error}"[:200]
            broken = Framed(
                offset=at, number=1, type="", headers={}, length=0, problem=("damaged", detail)
            )
            return broken, self._next_begin(at + 1)
        end = self._end_of(last)
        if end is not None:
            return last, end
        wrong = "bad-headers", f"its length of {last.length} bytes is wrong, or its end is damaged"
        return replace(last, problem=wrong, block=None), self._next_begin(last.offset + 1)

    def _one_member(self) -> Iterator[Framed]:
        """Yield the records of a gzip file of a single member, which is read from its beginning."""
        number = 0
        try:
            for number, record in enumerate(self._parsed(0, seekable=False), 1):
                yield replace(record, offset=0, number=number)
        except PaniniError:
            raise
        except (OSError, ValueError) as error:
            problem = "damaged", f"after record {number}: {error}; the rest cannot be read"[:200]
            yield Framed(
                offset=0, number=number + 1, type="", headers={}, length=0, problem=problem
            )

    def _is_one_member(self) -> bool:
        if self._head(0, len(_GZIP)) != _GZIP:
            return False
        try:
            first = next(self._parsed(0, seekable=False), None)
        except (OSError, ValueError):
            return False
        # A first record that does not fill its member is damaged, if other members follow.
        return first is not None and self._end_of(first) is None and self._next_begin(1) is None

    def _parsed(self, at: int, *, seekable: bool = True) -> Iterator[Framed]:
        self.file.seek(at)
        for record in _iterator(self.file):
            framed = self._framed(record)
            if framed.length > self.most_bytes and seekable and not framed.problem:
                framed = self._large(framed)
            elif framed.length > self.most_bytes and not framed.problem:
                framed = replace(framed, problem=("too-large", f"{framed.length} bytes"))
            elif not framed.problem:
                framed = self._with_block(framed, record.reader)
            yield framed

    def _large(self, framed: Framed) -> Framed:
        """Return a large record with its problem, without skipping what its length covers."""
        place = self.file.tell()
        whole = self._end_of(framed) is not None
        self.file.seek(place)
        if not whole:
            return replace(framed, problem=("truncated", f"fewer than {framed.length} bytes"))
        return replace(framed, problem=("too-large", f"{framed.length} bytes"))

    def _with_block(self, framed: Framed, reader: Any) -> Framed:
        block = None
        if framed.type in self.types:
            block = _read(reader, framed.length)
            size = len(block)
        else:
            size = reader.consume(framed.length) if framed.length else 0
        if size < framed.length:
            return replace(framed, problem=("truncated", f"{size} of {framed.length} bytes"))
        return replace(framed, block=block)

    def _framed(self, record: Any) -> Framed:
        headers = {name.lower(): value for name, value in record.headers.items()}
        given = headers.get("content-length", "")
        length = int(record.content_length)
        problem = None
        if not _LENGTH.fullmatch(given) or int(given) != length:
            problem = "bad-headers", f"Content-Length is {given[:40]!r}"
        return Framed(
            offset=int(record.stream_pos),
            number=1,
            type=headers.get("warc-type", "").lower(),
            headers=headers,
            length=length,
            problem=problem,
        )

    def _head(self, at: int, count: int) -> bytes:
        self.file.seek(at)
        return self.file.read(count)

    def _end_of(self, record: Framed) -> int | None:
        """Return the byte after a record and its closing line ends; None if it has none."""
        stream = _Decoded(self.file, record.offset)
        header = stream.until(_RECORD_END, _HEADER_BYTES)
        if not header or stream.skip(record.length) < record.length:
            return None
        if stream.read(len(_RECORD_END)) != _RECORD_END:
            return None
        return stream.end()

    def _next_begin(self, at: int) -> int | None:
        """Return the first byte from here on at which a record begins; None if there is none."""
        gzipped = self._head(0, len(_GZIP)) == _GZIP
        while at < self.size:
            data = self._head(max(0, at - 1), _BLOCK_BYTES + 16)
            begin = max(0, at - 1)
            for found in _begins(data, gzipped=gzipped):
                if begin + found >= at and self._begins_record(begin + found, gzipped=gzipped):
                    return begin + found
            at += _BLOCK_BYTES
        return None

    def _begins_record(self, at: int, *, gzipped: bool) -> bool:
        if not gzipped:
            return True
        try:
            head = zlib.decompressobj(wbits=31).decompress(self._head(at, 4096), 5)
        except zlib.error:
            return False
        return head == b"WARC/"


def _begins(data: bytes, *, gzipped: bool) -> Iterator[int]:
    if not gzipped:
        yield from (match.start() for match in _PLAIN_BEGIN.finditer(data))
        return
    at = data.find(_GZIP)
    while at >= 0:
        yield at
        at = data.find(_GZIP, at + 1)


def _iterator(file: BinaryIO) -> Iterator[Any]:
    try:
        from fastwarc.warc import ArchiveIterator
    except ImportError:
        raise BackendUnavailable(
            "WARC files are read with FastWARC; pip install 'paninifs[collect]'"
        ) from None
    records: Iterator[Any] = ArchiveIterator(
        file, parse_http=False, max_header_len=_HEADER_BYTES, fsspec_args=False
    )
    return records


def _read(reader: Any, length: int) -> bytes:
    data = io.BytesIO()
    while data.tell() < length:
        part = reader.read(length - data.tell())
        if not part:
            break
        data.write(part)
    return data.getvalue()


class _Decoded:
    """A record's bytes from its offset on, decompressed if it is a gzip member."""

    def __init__(self, file: BinaryIO, at: int) -> None:
        self._file, self._at = file, at
        file.seek(at)
        self._decoder: Any = None
        self._data = b""
        if file.read(len(_GZIP)) == _GZIP:
            self._decoder = zlib.decompressobj(wbits=31)
        file.seek(at)

    def _more(self) -> bool:
        """Add data; return whether there was some."""
        data = self._decoded() if self._decoder else self._file.read(_BLOCK_BYTES)
        self._data += data
        return bool(data)

    def _decoded(self) -> bytes:
        data = b""
        while not data and not self._decoder.eof:
            stored = self._decoder.unconsumed_tail or self._file.read(_BLOCK_BYTES)
            if not stored:
                break
            try:
                data = self._decoder.decompress(stored, _BLOCK_BYTES)
            except zlib.error:
                break
        return data

    def until(self, mark: bytes, most: int) -> bytes:
        """Return the bytes up to and including a mark; empty if `most` bytes do not hold it."""
        while (found := self._data.find(mark)) < 0:
            if len(self._data) > most or not self._more():
                return b""
        return self.read(found + len(mark))

    def read(self, count: int) -> bytes:
        """Return the next bytes, fewer only at the end."""
        while len(self._data) < count and self._more():
            pass
        data, self._data = self._data[:count], self._data[count:]
        self._at += len(data)
        return data

    def skip(self, count: int) -> int:
        """Skip bytes; return how many there were (an upper bound without compression)."""
        if self._decoder is None:
            self._at += count
            self._data = b""
            self._file.seek(self._at)
            return count
        skipped = 0
        while skipped < count and (part := self.read(min(_BLOCK_BYTES, count - skipped))):
            skipped += len(part)
        return skipped

    def end(self) -> int | None:
        """Return the byte of the file that follows; None if the member does not end here."""
        if self._decoder is None:
            return self._at
        if self._data or self._more() or not self._decoder.eof:
            return None
        return self._file.tell() - len(self._decoder.unused_data)
