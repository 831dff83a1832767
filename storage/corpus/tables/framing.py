"""Rows as frames: what `Corpus.frame` computes, partition by partition, on the workers of dask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from ...messages.names import storable
from ...rows import ARROW_KINDS, ColumnSelection, Rows, Stretch
from ..index import CorpusIndex
from ..opening import FileOpener
from ..partition import Sharding
from ..reading import read_stretches
from .frame_source import TEXT_ATTRIBUTE

if TYPE_CHECKING:
    import dask.dataframe as dd
    import pandas as pd


class FramedCorpus(Protocol):
    """The part of a corpus's interface that making a frame needs."""

    @property
    def index(self) -> CorpusIndex:
        """Rows of every file."""

    @property
    def opener(self) -> FileOpener:
        """Opener of the files."""

    @property
    def in_memory(self) -> bool:
        """Whether the texts lie in the memory of this process."""


Convert = Callable[[pa.Table, int], Any]
"""Makes a frame of rows and the number of the first one."""


def lazy_frame(corpus: FramedCorpus, convert: Convert) -> dd.DataFrame:
    """Return a lazy frame whose partitions are those of a run of the default graph."""
    import dask
    import dask.dataframe as dd

    index, opener = corpus.index, corpus.opener
    partitions = index.partitions(Sharding().choose(index.rows))
    meta = convert(schema_of(index.selection).empty_table(), 0)
    if isinstance(getattr(meta, "attrs", None), dict):  # those of cuDF have none
        meta.attrs[TEXT_ATTRIBUTE] = index.text
    divisions = (*(p.row_start for p in partitions), index.rows - 1)
    read: Any = ReadFrame(opener, index.selection, convert)
    parts: list[Any] = [index.stretches(p.row_start, p.row_stop) for p in partitions]
    if corpus.in_memory:  # its bytes are in this process alone
        starts = [p.row_start for p in partitions]
        tables = [table_at(part, opener, index.selection) for part in parts]
        read, parts = MakeFrame(convert), list(zip(tables, starts, strict=True))
    with dask.config.set({"dataframe.convert-string": False}):
        frame: dd.DataFrame = dd.from_map(
            read,
            parts,
            meta=meta,
            divisions=divisions,
            label="corpus",
            enforce_metadata=False,
        )
    return frame


class ReadFrame:
    """Reads one partition as a frame, on the worker that dask chooses."""

    def __init__(self, opener: FileOpener, selection: ColumnSelection, convert: Convert) -> None:
        self._opener, self._selection, self._convert = opener, selection, convert

    def __call__(self, stretches: Sequence[Stretch]) -> Any:
        """Return the frame of the rows of stretches."""
        table = table_at(stretches, self._opener, self._selection)
        return self._convert(table, stretches[0].row)


class MakeFrame:
    """Makes a frame of one partition that was read already, because its file lies in memory."""

    def __init__(self, convert: Convert) -> None:
        self._convert = convert

    def __call__(self, part: tuple[pa.Table, int]) -> Any:
        """Return the frame of a table, and the number of its first row."""
        return self._convert(*part)


def table_at(
    stretches: Sequence[Stretch], opener: FileOpener, selection: ColumnSelection
) -> pa.Table:
    """Return the rows of stretches as one table of Arrow chunks, copying no text."""
    batches = [rows for *_, rows in read_stretches(stretches, opener, selection)]
    return table_of(batches, selection)


def schema_of(selection: ColumnSelection) -> pa.Schema:
    """Return the schema of a table of these columns."""
    others = {storable(column.name): ARROW_KINDS[column.kind] for column in selection.others}
    return pa.schema({storable(selection.text): pa.large_string(), **others})


def table_of(batches: Sequence[Rows], selection: ColumnSelection) -> pa.Table:
    """Return batches as one table of Arrow chunks, copying no text."""
    schema = schema_of(selection)
    columns = {selection.text: [batch.text for batch in batches]}
    for other in selection.others:
        columns[other.name] = [batch.columns[other.name] for batch in batches]
    arrays = [
        pa.chunked_array(
            [chunk if chunk.type == field.type else chunk.cast(field.type) for chunk in chunks],
            field.type,
        )
        for field, chunks in zip(schema, columns.values(), strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def to_pandas(table: pa.Table, start: int) -> pd.DataFrame:
    """Return a table as a frame whose index starts at a row number."""
    import pandas as pd

    rows = pd.RangeIndex(start, start + len(table))
    columns = {
        name: pd.Series(pd.arrays.ArrowExtensionArray(column), index=rows)
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    return pd.DataFrame(columns, index=rows)
