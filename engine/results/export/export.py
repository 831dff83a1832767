"""`export`: joins results, texts and the corpus's own columns into one table.

The columns are defined in `columns`, the rows are joined in `rows`, files are written in `files`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pyarrow as pa

from ....storage.corpus.columns import own_columns
from ....storage.corpus.locations.exports import record_export
from ....storage.corpus.relocation import CorpusLocation
from ....storage.errors import UsageError
from ....storage.filesystems.redaction import shown
from ....storage.rows import Column, ColumnSelection
from ....storage.store.reader import ResultsStore
from .columns import OutputColumn, has_all, output_columns, select_columns
from .files import format_of, require_writable, writing
from .rows import Piece, pieces, suggesting_no_text

if TYPE_CHECKING:
    import pandas as pd

_GROUP_ROWS = 131_072
_GROUP_BYTES = 64 << 20
"""Rows or bytes, whichever is reached first, per Parquet row group or write of CSV."""


@dataclass(frozen=True)
class Exported:
    """A file exported from a store, with one row per row of the corpus."""

    file: str
    rows: int
    valid: int  # rows with results; the others are quarantined or not computed yet
    columns: tuple[str, ...]
    files_unread: int  # corpus files that could not be read, and so have no rows

    def __repr__(self) -> str:
        return (
            f"<Exported {self.file}: {self.rows:,} rows, {self.valid:,} with results, "
            f"{len(self.columns):,} columns>"
        )


@overload
def export(
    results: str | PathLike[str],
    out: None = None,
    *,
    columns: Sequence[str] | None = None,
    text: bool = True,
    progress: bool = True,
    corpus: CorpusLocation | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> pd.DataFrame: ...


@overload
def export(
    results: str | PathLike[str],
    out: str | PathLike[str],
    *,
    columns: Sequence[str] | None = None,
    format: str | None = None,
    text: bool = True,
    overwrite: bool = False,
    progress: bool = True,
    corpus: CorpusLocation | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Exported: ...


def export(
    results: str | PathLike[str],
    out: str | PathLike[str] | None = None,
    *,
    columns: Sequence[str] | None = None,
    format: str | None = None,
    text: bool = True,
    overwrite: bool = False,
    progress: bool = True,
    corpus: CorpusLocation | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> pd.DataFrame | Exported:
    """Join a store's results with its corpus into one table, in the order of the corpus.

    The columns are ``id``, ``text`` as it was hashed, the corpus's own columns, the fields,
    ``valid``, and ``reason``, which states why a row has no results. A field with several values
    becomes one column per value, named by their labels: ``dhatu_RELATE``, ``prime_base_2``;
    ``digest`` is a hexadecimal string. A field of lists is a column of lists, in CSV as JSON; bytes
    are base64 in CSV and JSON Lines; half floats become float32. The columns of a JSON Lines corpus
    are those of its first hundred records. A corpus column whose name is taken gets the suffix
    ``_corpus``. Missing values are null.

    Parameters
    ----------
    results : str or path
        The store, finished or not.
    out : str or path, optional
        A file on this machine, written in pieces; it appears under its name once it is complete.
        By default an Arrow-backed DataFrame is returned, held in memory as a whole.
    columns : sequence of str, optional
        The columns to export, in this order; ``dhatu`` selects all columns of that field.
    format : str, optional
        "csv", "csv.gz", "jsonl", "jsonl.gz" or "parquet"; by default inferred from the ending of
        `out`.
    text : bool
        If False, the corpus is not read: the table has no text, and of the corpus's own columns
        only those that were kept (``keep=``).
    overwrite : bool
        Replace an existing file.
    progress : bool
        Show progress in a terminal.
    corpus : str, path, list of them, or Corpus, optional
        Where the corpus is now, if not where the last run found it; or the data, if they lay in
        memory, or were those of a dask frame.
    storage_options : mapping, optional
        Passed to fsspec, for results and corpus.

    Raises
    ------
    ResultsNotFound
        The store does not exist.
    ColumnNotFound
        A column does not exist.
    UsageError
        The file already exists, or its folder does not exist.
    CorpusChanged
        A corpus file is no longer the one that was hashed.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> import paninifs as pf
    >>> folder = Path(mkdtemp())
    >>> _ = (folder / "a.jsonl").write_text('{"text": "un", "lang": "fr"}')
    >>> with pf.connect("threads", quiet=True):
    ...     corpus = pf.open_corpus(folder / "a.jsonl")
    ...     run = pf.submit(pf.default_graph(), corpus, folder / "out.zarr", progress=False)
    ...     _ = run.result()
    >>> table = pf.export(folder / "out.zarr", columns=["text", "lang", "valid"], progress=False)
    >>> table.to_dict("records")
    [{'text': 'un', 'lang': 'fr', 'valid': True}]
    """
    if isinstance(columns, str):
        names = [name.strip() for name in columns.split(",")]
        raise UsageError(f"columns must be a list of names: columns={names!r}")
    path = None if out is None else _local(fspath(out))
    named = "" if path is None else format_of(path, format)
    if path is not None:
        require_writable(path, overwrite)  # before anything is read
    store = ResultsStore.open(results, storage_options, corpus)
    index = store.index
    selected = _selected(store, columns, text)
    schema = pa.schema([(column.name, column.type) for column in selected])
    valid = 0

    with _bar(index.rows, progress) as advance:

        def tables() -> Iterator[pa.Table]:
            nonlocal valid
            for piece in _pieces(store, selected):
                values = [column.values(piece) for column in selected]
                yield pa.Table.from_arrays(values, schema=schema)
                valid += int(np.count_nonzero(piece.valid))
                advance(piece.stop - piece.start)

        if path is None:
            return _frame(pa.concat_tables(tables()))
        with writing(path, named, schema, overwrite) as write:
            for group in _grouped(tables()):
                write(group)
    record_export(path, [indexed.file for indexed in index.files])
    return Exported(str(path), index.rows, valid, tuple(schema.names), len(index.uncounted))


def _local(name: str) -> Path:
    if "://" in name:
        raise UsageError(
            f"{shown(name)}: export writes to this machine only; give a local path, "
            "then copy the file"
        )
    return Path(name)


def _selected(store: ResultsStore, names: Sequence[str] | None, text: bool) -> list[OutputColumn]:
    """Return the columns of an export; read the corpus only if that is needed to find them."""

    def columns(own: Sequence[Column]) -> list[OutputColumn]:
        computed = [(field, store.mask_of(field.name)) for field in store.computed]
        return output_columns(store.index, computed, own, store.arrays, text)

    if not text or (names is not None and has_all(columns(store.index.keep), names)):
        available = columns(store.index.keep)
    else:
        with suggesting_no_text():
            available = columns(own_columns(store.index, store.opener))
    return available if names is None else select_columns(available, names)


def _pieces(store: ResultsStore, selected: Sequence[OutputColumn]) -> Iterator[Piece]:
    reads = any(column.only_in_corpus for column in selected)
    of_corpus = [column.column for column in selected if column.column and reads]
    arrays = {name for one in selected if not (reads and one.column) for name in one.arrays}
    selection = ColumnSelection(
        store.index.text, tuple(dict.fromkeys(of_corpus)), store.index.cleaning
    )
    return pieces(store, sorted(arrays), selection if reads else None)


def _grouped(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Join tables until they are large enough to be a row group."""
    held: list[pa.Table] = []
    rows = nbytes = 0
    for table in tables:
        held.append(table)
        rows, nbytes = rows + len(table), nbytes + table.nbytes
        if rows >= _GROUP_ROWS or nbytes >= _GROUP_BYTES:
            yield pa.concat_tables(held)
            held, rows, nbytes = [], 0, 0
    if held:
        yield pa.concat_tables(held)


def _frame(table: pa.Table) -> pd.DataFrame:
    import pandas as pd

    def dtype(type_: pa.DataType) -> pd.ArrowDtype | None:
        return None if pa.types.is_dictionary(type_) else pd.ArrowDtype(type_)  # a Categorical

    frame: pd.DataFrame = table.to_pandas(types_mapper=dtype)
    return frame


@contextmanager
def _bar(rows: int, shown: bool) -> Iterator[Callable[[int], None]]:
    """Show a progress bar; yield a function that advances it by a number of rows."""
    from rich import progress as bars
    from rich.console import Console

    columns = (
        bars.TextColumn("exporting"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TextColumn("texts"),
        bars.TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    hidden = not shown or console.is_jupyter  # in notebooks, rich would need widgets
    with bars.Progress(*columns, console=console, transient=True, disable=hidden) as display:
        task = display.add_task("", total=rows)
        yield lambda more: display.advance(task, more)
