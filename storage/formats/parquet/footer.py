"""A Parquet file's footer: read, checked, and kept for the next task that reads the file.

Counts, sizes and names come from outside. pyarrow takes them as they are: rows that the footer
invents or forgets shift all rows behind them, and some damage ends the process (an exception that
crosses `RowGroupMetaData.column`). So they are decoded here as well, with `thrift`, and compared.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import pyarrow as pa
import pyarrow.parquet as pq

from ...rows import Malformed, SourceFile
from ..decoding import StoredFile
from .row_groups import ROW_GROUP, RowGroup, read_row_groups
from .schema_elements import ELEMENT, read_schema, with_names
from .thrift import Wanted, decode, number, structs

_MAGIC = b"PAR1"
_END_BYTES = 8  # the length of the footer, and the magic bytes
_TAIL_BYTES = 64 << 10
"""Bytes that are read from the end of a file at once: most footers are shorter."""

_KEPT_BYTES = 8 << 20
"""Bytes of the footers that a process keeps."""

_FOOTER: Wanted = {2: ELEMENT, 3: None, 4: ROW_GROUP}  # schema, num_rows, row_groups


@dataclass(frozen=True, kw_only=True)
class Footer:
    """A footer that does not contradict itself.

    Its names are UTF-8 and differ: of two columns called ``lang`` the second is ``lang_1``.
    """

    metadata: pq.FileMetaData
    schema: pa.Schema
    groups: tuple[RowGroup, ...]
    doubled: frozenset[str]  # dotted names that several columns had
    nbytes: int

    @cached_property
    def starts(self) -> list[int]:
        """First row of each row group, then the rows of the file."""
        return [0, *accumulate(group.rows for group in self.groups)]

    @cached_property
    def problems(self) -> dict[int, str]:
        """Why leaf columns cannot be read in any row group, by leaf."""
        chunks = self.groups[0].chunks if self.groups else ()
        return {
            leaf: chunk.problem
            for leaf, chunk in enumerate(chunks)
            if chunk.problem and all(group.chunks[leaf].problem for group in self.groups)
        }


def footer_of(file: SourceFile, stored: StoredFile) -> Footer:
    """Return the footer of a file; that of a file that was read recently is not read again.

    Raises
    ------
    Malformed
        There is none, or it contradicts itself.
    """
    footer = _recent.get(file)
    if footer is None:
        footer = read_footer(stored)
        if file.version:  # otherwise a changed file would look like this one
            _recent.keep(file, footer)
    return footer


class _RecentFooters:
    """The footers that were used last: a file of many row groups has many tasks."""

    def __init__(self) -> None:
        self._footers: OrderedDict[SourceFile, Footer] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, file: SourceFile) -> Footer | None:
        with self._lock:
            if file in self._footers:
                self._footers.move_to_end(file)
            return self._footers.get(file)

    def keep(self, file: SourceFile, footer: Footer) -> None:
        with self._lock:
            self._footers[file] = footer
            while sum(f.nbytes for f in self._footers.values()) > _KEPT_BYTES:
                self._footers.popitem(last=False)


_recent = _RecentFooters()


def read_footer(stored: StoredFile) -> Footer:
    """Read and check the footer of a file.

    Raises
    ------
    Malformed
        There is none, or it contradicts itself.
    """
    data, start = _read(stored)
    try:
        found = decode(data, _FOOTER)
        leaves, renamed, doubled = read_schema(data, structs(found, 2))
    except Malformed as error:
        _opened(stored, data)  # stores keep its message, if it finds fault as well
        raise Malformed(f"damaged footer: {error}") from None
    file = _opened(stored, with_names(data, renamed))
    groups = read_row_groups(structs(found, 4), leaves, number(found, 3), start)
    metadata = file.metadata
    by_pyarrow = [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)]
    if len(leaves) != metadata.num_columns or [group.rows for group in groups] != by_pyarrow:
        raise Malformed("damaged footer: it can be read in two ways")
    return Footer(
        metadata=metadata,
        schema=file.schema_arrow,
        groups=groups,
        doubled=doubled,
        nbytes=len(data),
    )


def _read(stored: StoredFile) -> tuple[bytes, int]:
    """Return the footer's bytes, and where they start in the file."""
    size = stored.seek(0, io.SEEK_END)
    stored.seek(max(0, size - _TAIL_BYTES))
    tail = stored.read(_TAIL_BYTES)
    length = int.from_bytes(tail[-_END_BYTES:-4], "little")
    start = size - _END_BYTES - length
    if tail[-4:] != _MAGIC or start < len(_MAGIC):
        with stored.decoding("no footer"):
            pq.ParquetFile(stored)
        raise Malformed("no footer: not a Parquet file")
    if length + _END_BYTES > len(tail):
        stored.seek(start)
        tail = stored.read(length + _END_BYTES)
    return tail[-_END_BYTES - length : -_END_BYTES], start


def _opened(stored: StoredFile, footer: bytes) -> pq.ParquetFile:
    """Return a file with nothing but a footer."""
    alone = _MAGIC + footer + len(footer).to_bytes(4, "little") + _MAGIC
    with stored.decoding("no footer"):
        return pq.ParquetFile(pa.BufferReader(alone))
