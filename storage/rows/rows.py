"""Rows, their faults, and the outline of a file: the types that pass between files and the engine.

Types only. How a format makes rows is in `formats`. Which files a corpus has, and which rows make
up a shard, is in `corpus`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..cleaning.steps import NO_CLEANING, Cleaning
from ..text import PackedText
from .dialect import DEFAULT_DIALECT, Dialect
from .frame_rows import SCHEME as FRAME_SCHEME
from .frame_rows import FrameContent
from .in_memory import SCHEME, InMemory

EXCERPT_BYTES = 1024
"""Bytes of an offending row that the quarantine keeps."""

SHORT_BYTES = 2**31 - 1
"""Largest number of bytes of text in an array with 32-bit offsets."""

BATCH_ROWS = 16_384
BATCH_BYTES = 8 << 20
"""Maximum rows, and approximate maximum bytes of text, that a format yields in one batch."""


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One file of a corpus, as it was listed."""

    url: str  # as it is shown and stored: without password or signature
    name: str  # relative to the corpus, so that a corpus may be moved
    size: int  # bytes
    version: str  # its generation, etag or modification time: while it stays, so does the content
    format: str  # see formats.registry.reader_of
    compression: str | None  # "gzip", "zstd", "bz2" or None
    problem: str | None = None  # why it cannot be opened, if its listing shows that
    dialect: Dialect = DEFAULT_DIALECT
    # Digest of its content, as stored; see `corpus.identity`. None: unknown.
    digest: str | None = field(default=None, compare=False)
    # With password or signature, if it has any: kept in memory, and sent from client to workers.
    signed_url: str | None = field(default=None, repr=False)
    # If it lies in memory, or is a partition of a frame.
    content: InMemory | FrameContent | None = field(default=None, compare=False, repr=False)

    @property
    def location(self) -> str:
        """The URL to open."""
        return self.signed_url or self.url

    @property
    def in_memory(self) -> bool:
        """Whether it lies in memory, and on no filesystem."""
        return self.url.startswith(f"{SCHEME}:")

    @property
    def in_frame(self) -> bool:
        """Whether it is a partition of a dask frame, and on no filesystem."""
        return self.url.startswith(f"{FRAME_SCHEME}:")

    @property
    def sequential(self) -> bool:
        """Whether reading can only begin at its beginning: it is compressed, or is transcoded."""
        return self.compression is not None or self.dialect.encoding is not None

    def to_json(self) -> dict[str, Any]:
        """Return the description that a store keeps. A version is called "stamp" there."""
        dialect = self.dialect.describe()
        known = {
            "url": self.url,
            "name": self.name,
            "size": self.size,
            "stamp": self.version,
            "format": self.format,
            "compression": self.compression,
            "problem": self.problem,
            **({"dialect": dialect} if dialect else {}),
        }
        return known | ({"digest": self.digest} if self.digest else {})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SourceFile:
        """Read what `to_json` wrote."""
        others = {name: value for name, value in data.items() if name not in ("stamp", "dialect")}
        return cls(version=data["stamp"], dialect=Dialect(**data.get("dialect", {})), **others)


@dataclass(frozen=True)
class Unit:
    """Rows that are decoded together: a row group, a block of lines, or a compressed file."""

    rows: int
    offset: int  # where decoding begins: a byte, or the number of a row group


@dataclass(frozen=True)
class Lengths:
    """Lengths of a file's decoded records, which decide how much memory reading them takes."""

    nbytes: int  # of all records
    longest: int  # bytes of the longest record, or an upper bound
    row: int  # file row of the longest record, or of the first record that the bound is for
    rows: int = 1  # records that the bound is for; 1: `longest` is exact


@dataclass(frozen=True, kw_only=True)
class Outline:
    """The result of counting a file's records."""

    units: tuple[Unit, ...]
    columns: Mapping[str, str]  # name: "string", "int64", "float64", "bool", or an Arrow type
    lengths: Mapping[str, Lengths] = field(default_factory=dict)
    """Lengths by column if columns are decoded one by one, else of records, as `ANY_TEXT`."""
    doubled: frozenset[str] = frozenset()
    """Names that several columns had; the first of them is read under the name."""
    binary: frozenset[str] = frozenset()
    """Names of columns of bytes, whose kind is "string"; a value that is not UTF-8 is missing."""
    fault: str | None = None  # why the first record has no columns, if records have their own
    note: str | None = None  # what the user should know about reading the file
    dialect: Dialect | None = None  # with what counting has found out; None: as it was


NULL_KIND = "null"

UNREADABLE_KINDS = (
    "encrypted values",
    "values of another file",
    "values without a description",
    "values with a wrong description",
)
"""Kinds of columns whose values cannot be read. A text can be read without them."""

VALUELESS_KINDS = frozenset((NULL_KIND, *UNREADABLE_KINDS))
"""Kinds of columns in which every value is missing."""

ANY_TEXT = "\ud800*"  # half a surrogate pair, so that no column has this name
"""The only column of a format without column names: the text, under any name that is requested."""


@dataclass(frozen=True)
class Column:
    """A column that is read beside the text: `kind` is string, int64, float64 or bool."""

    name: str
    kind: str

    @property
    def array(self) -> str:
        """Name of the column's array in the results: letters, digits and _.

        >>> [Column(name, "string").array for name in ("translation.fr", "first name", "2019")]
        ['translation_fr', 'first_name', 'column_2019']
        """
        name = "".join(c if f"a{c}".isidentifier() else "_" for c in self.name)
        return name if name.isidentifier() and not name.startswith("_") else f"column_{name}"


def common_kind(kinds: Iterable[str]) -> str:
    """Return the kind to read a column as, given its kinds in the files that have it.

    >>> common_kind(["int64", "float64"]), common_kind(["int64", "null"]), common_kind(["date32"])
    ('float64', 'int64', 'string')
    """
    known = set(kinds) - VALUELESS_KINDS
    if known == {"int64", "float64"}:
        return "float64"
    kind = known.pop() if len(known) == 1 else "string"
    return kind if kind in ARROW_KINDS else "string"


@dataclass(frozen=True)
class ColumnSelection:
    """The columns to read, and how the text is cleaned."""

    text: str
    others: tuple[Column, ...] = ()
    cleaning: Cleaning = NO_CLEANING


@dataclass(frozen=True)
class RowSpan:
    """Rows ``[start, stop)`` of a file, and where decoding begins in order to reach them."""

    start: int
    stop: int
    unit_row: int  # first row of the unit that holds `start`
    unit_offset: int


@dataclass(frozen=True)
class Stretch:
    """Consecutive rows of one file as a task reads them, and their position in the corpus."""

    row: int  # number in the corpus of the span's first row
    file: SourceFile
    span: RowSpan
    problem: str | None = None  # why none of the rows can be used


@dataclass(frozen=True)
class Fault:
    """A row, or several consecutive rows, that cannot be used, and the reason."""

    row: int  # in the file, from 0
    reason: str
    excerpt: bytes = b""
    rows: int = 1


def faults_within(faults: Iterable[Fault], first: int, last: int) -> tuple[Fault, ...]:
    """Return what faults say of the rows ``[first, last)`` of the file.

    >>> faults_within([Fault(2, "lost", rows=5)], 4, 6)
    (Fault(row=4, reason='lost', excerpt=b'', rows=2),)
    """
    return tuple(
        Fault(
            max(fault.row, first),
            fault.reason,
            fault.excerpt,
            min(fault.row + fault.rows, last) - max(fault.row, first),
        )
        for fault in faults
        if fault.row < last and fault.row + fault.rows > first
    )


@dataclass(frozen=True)
class Rows:
    """Consecutive rows of one file. A row with a fault has a null text."""

    start: int  # row in the file
    text: pa.Array
    columns: Mapping[str, pa.Array]
    faults: tuple[Fault, ...] = ()

    @classmethod
    def lost(cls, start: int, stop: int, reason: str, selection: ColumnSelection) -> Rows:
        """Return unreadable rows ``[start, stop)`` of a file, as one fault."""
        count = stop - start
        columns = {c.name: pa.nulls(count, ARROW_KINDS[c.kind]) for c in selection.others}
        fault = Fault(start, reason, rows=count)
        return cls(start, pa.nulls(count, pa.string()), columns, (fault,))

    def __len__(self) -> int:
        return len(self.text)

    @property
    def usable(self) -> npt.NDArray[np.bool_]:
        """Which rows have a text: bool [n]."""
        return validity(self.text)

    def packed(self, mask: npt.NDArray[np.bool_]) -> PackedText:
        """Return the texts where a mask is true, end to end."""
        return PackedText.from_arrow(self.text if mask.all() else self.text.filter(pa.array(mask)))

    def cleaned(self, cleaning: Cleaning) -> Rows:
        """Return these rows with cleaned texts; texts that are too short or long become faults."""
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
        """Return rows ``[start, stop)`` of the batch, counted from 0, without copying."""
        first, last = self.start + start, self.start + stop
        faults = faults_within(self.faults, first, last)
        columns = {name: column.slice(start, stop - start) for name, column in self.columns.items()}
        return Rows(first, self.text.slice(start, stop - start), columns, faults)


class Opener(Protocol):
    """Opens a file of the corpus for reading, decompressed."""

    def __call__(self, file: SourceFile) -> AbstractContextManager[BinaryIO]:
        """Open a file."""


class Malformed(Exception):
    """The rest of a file does not follow its format. Always caught within `storage`."""


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
    # Not with to_numpy, which would import pandas: that takes half a second.
    first, last = array.offset, array.offset + len(array)
    bits = np.frombuffer(bitmap, np.uint8)[first // 8 : -(-last // 8)]
    return np.unpackbits(bits, bitorder="little")[first % 8 :][: len(array)].astype(np.bool_)
