"""`export`: the results beside the texts and the corpus's own columns, as a table."""

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
from ....storage.errors import UsageError
from ....storage.filesystems.redaction import shown
from ....storage.rows import Column, Wanted
from ....storage.store.reader import ResultsStore
from .columns import OutputColumn, chosen, names_are_in, output_columns
from .files import format_of, require_free, writing
from .rows import Piece, advised, pieces

if TYPE_CHECKING:
    import pandas as pd

_GROUP_ROWS = 131_072
_GROUP_BYTES = 64 << 20
"""What is written at once, and so a row group of Parquet."""


@dataclass(frozen=True)
class Exported:
    """A file that was made of a store. It has a row for every row of the corpus."""

    file: str
    rows: int
    valid: int  # rows with results; the others were set aside, or are not computed yet
    columns: tuple[str, ...]
    files_unread: int  # whose rows could not even be counted, and so are not there


@overload
def export(
    results: str | PathLike[str],
    out: None = None,
    *,
    columns: Sequence[str] | None = None,
    text: bool = True,
    progress: bool = True,
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
    storage_options: Mapping[str, Any] | None = None,
) -> pd.DataFrame | Exported:
    """Join a store's results with its corpus, row by row and in its order, as one table.

    The columns are ``id``, ``text`` as it was hashed, the corpus's own columns, the fields,
    ``valid``, and ``reason``: why a row has no results. A field of several values is a column for
    each, called after their labels: ``dhatu_RELATE``, ``prime_base_2``; ``digest`` is a string in
    hexadecimal. Of JSON Lines the first hundred records of a file say which columns it has. A
    column of the corpus whose name is taken gets the ending ``_corpus``. What is missing is null.

    Parameters
    ----------
    results : str or path
        The store, finished or not.
    out : str or path, optional
        A file of this machine, written some rows at a time, and there when it is whole. When left
        out a DataFrame is returned, Arrow-backed, all of it in memory.
    columns : sequence of str, optional
        Which columns, in this order; ``dhatu`` stands for all of its own.
    format : str, optional
        "csv", "csv.gz" or "parquet"; when left out, `out`'s ending says it.
    text : bool
        False: the corpus is not read. There is no text then, and of the corpus's own columns those
        that were kept (``keep=``).
    overwrite : bool
        Replace the file that is there.
    progress : bool
        Show progress, in a terminal.
    storage_options : mapping, optional
        For fsspec, to read corpus and results.

    Raises
    ------
    ResultsNotFound
        There is no store.
    ColumnNotFound
        There is no such column.
    UsageError
        The file is there already, or cannot be made where it is said to be.
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
        raise UsageError(f"columns is a list of names: columns={names!r}")
    path = None if out is None else _local(fspath(out))
    named = "" if path is None else format_of(path, format)
    if path is not None:
        require_free(path, overwrite)  # before the corpus is looked at
    store = ResultsStore.open(results, storage_options)
    index = store.index
    made = _chosen(store, columns, text)
    schema = pa.schema([(column.name, column.type) for column in made])
    valid = 0

    with _bar(index.rows, progress) as advance:

        def tables() -> Iterator[pa.Table]:
            nonlocal valid
            for piece in _pieces(store, made):
                values = [column.values(piece) for column in made]
                yield pa.Table.from_arrays(values, schema=schema)
                valid += int(np.count_nonzero(piece.valid))
                advance(piece.stop - piece.start)

        if path is None:
            return _frame(pa.concat_tables(tables()))
        with writing(path, named, schema, overwrite) as write:
            for group in _grouped(tables()):
                write(group)
    return Exported(str(path), index.rows, valid, tuple(schema.names), len(index.unlisted))


def _local(name: str) -> Path:
    if "://" in name:
        raise UsageError(
            f"{shown(name)}: an export is a file of this machine; make it here, and copy it there"
        )
    return Path(name)


def _chosen(store: ResultsStore, names: Sequence[str] | None, text: bool) -> list[OutputColumn]:
    """Return the columns of an export; look into the corpus only where that has to be."""

    def columns(own: Sequence[Column]) -> list[OutputColumn]:
        return output_columns(store.index, store.manifest.fields, own, store.arrays, text)

    if not text or (names is not None and names_are_in(columns(store.index.keep), names)):
        there = columns(store.index.keep)
    else:
        with advised():
            there = columns(own_columns(store.index, store.opener))
    return there if names is None else chosen(there, names)


def _pieces(store: ResultsStore, made: Sequence[OutputColumn]) -> Iterator[Piece]:
    reads = any(column.only_in_corpus for column in made)
    of_corpus = [column.column for column in made if column.column and reads]
    arrays = {name for one in made if not (reads and one.column) for name in one.arrays}
    wanted = Wanted(store.index.text, tuple(dict.fromkeys(of_corpus)), store.index.cleaning)
    return pieces(store, sorted(arrays), wanted if reads else None)


def _grouped(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Join tables until they are worth writing."""
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

    frame: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype)
    return frame


@contextmanager
def _bar(rows: int, shown: bool) -> Iterator[Callable[[int], None]]:
    """Show how many rows are exported; give what tells of more."""
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
    hidden = not shown or console.is_jupyter  # where rich would want widgets
    with bars.Progress(*columns, console=console, transient=True, disable=hidden) as display:
        task = display.add_task("", total=rows)
        yield lambda more: display.advance(task, more)
