"""What passes between a file and the rest of the engine: rows, their faults, and a file's outline.

Types only, and the checks that every format shares. The formats themselves are in `parquet`,
`jsonl`, `delimited`, `plain` and `document`; `readers` is the table of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .cleaning.steps import NO_CLEANING, Cleaning

EXCERPT_BYTES = 1024
"""How many of an offending row's bytes the quarantine keeps."""

SHORT_BYTES = 2**31 - 1
"""Of more text than this the offsets are 64-bit."""

BATCH_ROWS = 16_384
BATCH_BYTES = 8 << 20
"""A reader hands over at most about this many rows and bytes of text at once."""


@dataclass(frozen=True)
class SourceFile:
    """One file of a corpus, as it was listed.

    `stamp` is what the filesystem offers to tell one version of a file from the next: a
    generation, an etag or a modification time.
    """

    url: str  # as it is shown and stored: without password or signature
    name: str  # relative to the corpus, so that a corpus may be moved
    size: int  # bytes
    stamp: str
    format: str  # a key of readers.READERS
    compression: str | None  # "gzip", "zstd", "bz2" or None
    problem: str | None = None  # why it cannot be opened, where its listing says so
    # With them, where it has any: stays in memory, and on the wire between client and workers.
    signed_url: str | None = field(default=None, repr=False)

    @property
    def location(self) -> str:
        """What is opened."""
        return self.signed_url or self.url

    def to_json(self) -> dict[str, Any]:
        """Return what a store keeps of it."""
        return {name: said for name, said in asdict(self).items() if name != "signed_url"}


@dataclass(frozen=True)
class Unit:
    """A run of rows that is decoded as one: a row group, a block of lines, a compressed file."""

    rows: int
    offset: int  # where decoding starts: a byte, or the number of a row group


@dataclass(frozen=True)
class Lengths:
    """How long a file's records are, decoded; the memory that reading them takes depends on it."""

    nbytes: int  # of all records
    longest: int  # bytes of the longest one, or a bound of them
    row: int  # the longest one, in the file; or the first of those that are within the bound
    rows: int = 1  # more than 1: one of so many, for which `longest` is a bound


@dataclass(frozen=True)
class Outline:
    """What counting a file's records found."""

    units: tuple[Unit, ...]
    columns: Mapping[str, str]  # name: "string", "int64", "float64", "bool", or an Arrow type
    lengths: Mapping[str, Lengths] = field(default_factory=dict)
    """By column, where each is decoded by itself; else of whole records, under `ANY_TEXT`."""


NULL_KIND = "null"

ANY_TEXT = "*"
"""The column of a format that has only text: it is the text, whatever that is called elsewhere."""


@dataclass(frozen=True)
class Column:
    """A column that travels with the text: `kind` is string, int64, float64 or bool."""

    name: str
    kind: str

    @property
    def array(self) -> str:
        """What its array is called in the results: a leaf's path is no name for one.

        >>> Column("translation.fr", "string").array
        'translation_fr'
        """
        return self.name.replace(".", "_")


def common_kind(kinds: Iterable[str]) -> str:
    """Return the kind as which a column is read that is of these kinds, each in some file.

    >>> common_kind(["int64", "float64"]), common_kind(["int64", "null"]), common_kind(["date32"])
    ('float64', 'int64', 'string')
    """
    known = set(kinds) - {NULL_KIND}  # in such a file every value is missing
    if known == {"int64", "float64"}:
        return "float64"
    kind = known.pop() if len(known) == 1 else "string"
    return kind if kind in ARROW_KINDS else "string"


@dataclass(frozen=True)
class Wanted:
    """The columns to read, and what is done to the text on its way."""

    text: str
    others: tuple[Column, ...] = ()
    cleaning: Cleaning = NO_CLEANING


@dataclass(frozen=True)
class Span:
    """Rows ``[start, stop)`` of a file, and where decoding has to begin to reach them."""

    start: int
    stop: int
    unit_row: int  # first row of the unit that holds `start`
    unit_offset: int


@dataclass(frozen=True)
class Stretch:
    """A span of one file as a task reads it, and where it lies in the corpus."""

    row: int  # the corpus's row number of the span's first row
    file: SourceFile
    span: Span
    problem: str | None = None  # why none of its rows can be used


@dataclass(frozen=True)
class Fault:
    """A row, or a run of rows, that cannot be used, and why."""

    row: int  # in the file, from 0
    reason: str
    excerpt: bytes = b""
    rows: int = 1


@dataclass(frozen=True)
class Rows:
    """Consecutive rows of one file. A row with a fault has a null text."""

    start: int  # row in the file
    text: pa.Array
    columns: Mapping[str, pa.Array]
    faults: tuple[Fault, ...] = ()

    @classmethod
    def lost(cls, start: int, stop: int, reason: str, wanted: Wanted) -> Rows:
        """Return the rows ``[start, stop)`` of a file that can no longer be read, as one fault."""
        count = stop - start
        columns = {c.name: pa.nulls(count, ARROW_KINDS[c.kind]) for c in wanted.others}
        fault = Fault(start, reason, rows=count)
        return cls(start, pa.nulls(count, pa.string()), columns, (fault,))

    @classmethod
    def joined(cls, parts: Sequence[Rows]) -> Rows:
        """Return rows that follow one another as one."""
        first = parts[0]
        columns = {name: _concat([part.columns[name] for part in parts]) for name in first.columns}
        faults = tuple(fault for part in parts for fault in part.faults)
        return cls(first.start, _concat([part.text for part in parts]), columns, faults)

    def __len__(self) -> int:
        return len(self.text)

    def cleaned(self, cleaning: Cleaning) -> Rows:
        """Return these rows with their texts cleaned; one that is too short or long is a fault."""
        text = cleaning.text(self.text)
        misfits = dict(cleaning.misfits(text))
        if text is self.text and not misfits:
            return self
        faults = [
            Fault(self.start + at, reason, text[at].as_buffer()[:EXCERPT_BYTES].to_pybytes())
            for at, reason in misfits.items()
        ]
        if misfits:
            unfit = np.zeros(len(text), np.bool_)
            unfit[list(misfits)] = True
            text = pc.if_else(pa.array(unfit), pa.scalar(None, text.type), text)
        both = sorted((*self.faults, *faults), key=lambda fault: fault.row)
        return Rows(self.start, text, self.columns, tuple(both))

    def slice(self, start: int, stop: int) -> Rows:
        """Return the rows ``[start, stop)`` of these, counted from 0, copying nothing."""
        first, last = self.start + start, self.start + stop
        faults = tuple(
            Fault(
                max(fault.row, first),
                fault.reason,
                fault.excerpt,
                min(fault.row + fault.rows, last) - max(fault.row, first),
            )
            for fault in self.faults
            if fault.row < last and fault.row + fault.rows > first
        )
        columns = {name: column.slice(start, stop - start) for name, column in self.columns.items()}
        return Rows(first, self.text.slice(start, stop - start), columns, faults)


def _concat(arrays: Sequence[pa.Array]) -> pa.Array:
    kinds = {array.type for array in arrays}
    # A reader gives short and long strings as they come, and short ones may be long together.
    if len(kinds) > 1 or (
        kinds == {pa.string()} and sum(array.nbytes for array in arrays) > SHORT_BYTES
    ):
        arrays = [array.cast(pa.large_string()) for array in arrays]
    return pa.concat_arrays(arrays)


class Opener(Protocol):
    """Opens a file of the corpus for reading, decompressed."""

    def __call__(self, file: SourceFile) -> AbstractContextManager[BinaryIO]:
        """Open a file."""


class Malformed(Exception):
    """The file, from here on, is not what its format says. Caught by `readers`, never escapes."""


ARROW_KINDS = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
}


def validity(array: pa.Array) -> npt.NDArray[np.bool_]:
    """Return which elements are not null: bool [n].

    >>> validity(pa.array(["a", None, "b"])).tolist()
    [True, False, True]
    """
    bitmap = array.buffers()[0]
    if array.null_count == 0 or bitmap is None:
        return np.full(len(array), array.null_count == 0)
    # By hand: to_numpy would import pandas, for half a second.
    first, last = array.offset, array.offset + len(array)
    bits = np.frombuffer(bitmap, np.uint8)[first // 8 : -(-last // 8)]
    return np.unpackbits(bits, bitorder="little")[first % 8 :][: len(array)].astype(np.bool_)
