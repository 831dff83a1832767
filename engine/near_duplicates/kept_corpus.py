"""`write_kept`: writes the texts of a corpus that are kept, with its columns, as one file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...storage.corpus.columns import own_columns
from ...storage.corpus.index import CorpusIndex
from ...storage.errors import UsageError
from ...storage.filesystems.redaction import shown
from ...storage.rows import ColumnSelection
from ...storage.store.reader import ResultsStore
from ..results.export.columns import output_columns
from ..results.export.files import format_of, require_writable, writing
from ..results.export.rows import pieces

_GROUP_BYTES = 32 << 20
"""Minimum size of a row group, in bytes."""

Kept = Callable[[int, int], npt.NDArray[np.bool_]]
"""Called with the start and stop of rows; returns which of them are kept."""


def write_kept(store: ResultsStore, kept: Kept, out: str, overwrite: bool) -> int:
    """Write the computed rows that are kept: id, text and the corpus's own columns.

    Returns
    -------
    int
        Number of rows.

    Raises
    ------
    UsageError
        `out` is a URL, its ending is unknown, the file exists, or it is one of the corpus.
    CorpusChanged
        A file of the corpus is no longer the one that was indexed.
    """
    path, named = checked_path(out, overwrite)
    index = store.index
    _require_elsewhere(path, index)
    own = own_columns(index, store.opener)
    columns = output_columns(index, [], own, store.arrays, text=True)
    columns = [column for column in columns if column.name not in ("valid", "reason")]
    schema = pa.schema([(column.name, column.type) for column in columns])
    selection = ColumnSelection(
        index.text, tuple(one.column for one in columns if one.column), index.cleaning
    )
    arrays = {name for one in columns if not one.column for name in one.arrays}
    written = 0

    def tables() -> Iterator[pa.Table]:
        for piece in pieces(store, sorted(arrays), selection):
            values = [column.values(piece) for column in columns]
            mask = piece.valid & kept(piece.start, piece.stop)
            yield pa.Table.from_arrays(values, schema=schema).filter(pa.array(mask))

    with writing(path, named, schema, overwrite) as write:
        for group in _grouped(tables()):
            write(group)
            written += group.num_rows
    return written


def _require_elsewhere(path: Path, index: CorpusIndex) -> None:
    """Refuse to replace a file of the corpus: results of a changed corpus are no longer its own."""
    files = (Path(one.file.url.removeprefix("file://")) for one in index.files)
    if path.exists() and any(path.samefile(one) for one in files if one.exists()):
        raise UsageError(f"{path} is a file of the corpus; write what is kept to another one")


def checked_path(out: str, overwrite: bool) -> tuple[Path, str]:
    """Return where the file is written, and its format.

    Raises
    ------
    UsageError
        `out` is a URL, its ending is unknown, or the file exists.
    """
    if "://" in out:
        raise UsageError(f"{shown(out)}: a local path is needed; copy the file afterwards")
    path = Path(out)
    named = format_of(path, None)
    require_writable(path, overwrite)
    return path, named


def _grouped(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Join tables into tables that are large enough for a row group."""
    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        if sum(one.nbytes for one in held) >= _GROUP_BYTES:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)
