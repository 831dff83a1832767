"""`own_columns`: all columns of a corpus's files, including those that no run has read.

The columns that a run reads are in `CorpusIndex`, which is stored; these are read from the files.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from ..formats.registry import reader_of
from ..rows import ANY_TEXT, Column, SourceFile, common_kind
from .index import CorpusIndex
from .opening import FileOpener

_THREADS = 16
"""Number of files that are read at the same time."""

_STRUCT = "struct<"


def own_columns(index: CorpusIndex, opener: FileOpener) -> tuple[Column, ...]:
    """Return every column except text and id, in the order that columns have in the files.

    Parquet footers are read (with a struct's leaves as columns), CSV headers, and the first hundred
    records of each JSON Lines file: keys that appear later are not found. Values of other kinds
    (dates, lists) are read as strings.

    Raises
    ------
    CorpusChanged
        A file is no longer the one that was indexed.
    """
    files = [indexed.file for indexed in index.files if indexed.units and not indexed.problem]

    def columns(file: SourceFile) -> dict[str, str]:
        opener.check(file)
        return reader_of(file).columns(file, opener)

    with ThreadPoolExecutor(_THREADS) as pool:
        found = list(pool.map(columns, files))
    # Values of files without a schema are strings, whatever kind other files have.
    schemaless = {"string"} if not all(reader_of(file).has_schema for file in files) else set()
    kinds: dict[str, set[str]] = {}
    for kind_by_name in found:
        for name, kind in kind_by_name.items():
            kinds.setdefault(name, set(schemaless)).add(kind)
    known = {column.name: column for column in index.keep}
    for name, column in known.items():  # which may first appear in a later record
        kinds.setdefault(name, {column.kind})
    left_out = {ANY_TEXT, index.text, index.id.name if index.id else None}
    return tuple(
        known.get(name) or Column(name, common_kind(in_files))
        for name, in_files in kinds.items()
        if name not in left_out and not all(kind.startswith(_STRUCT) for kind in in_files)
    )
