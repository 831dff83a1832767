"""Which columns a corpus's files have: those that a run did not read are nowhere in its store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from ..formats.registry import FORMATS
from ..rows import ANY_TEXT, Column, SourceFile, common_kind
from .index import CorpusIndex
from .opening import FileOpener

_THREADS = 16
_STRUCT = "struct<"


def own_columns(index: CorpusIndex, opener: FileOpener) -> tuple[Column, ...]:
    """Return every column but text and id, in the order in which the files have them.

    Of Parquet the footers are read, and a struct's leaves are columns; of CSV the headers; of JSON
    Lines the first hundred records of each file, and keys that come later are not found. What has
    no kind of its own (a date, a list) is read as a string.

    Raises
    ------
    CorpusChanged
        A file is no longer the one that was indexed.
    """
    files = [one.file for one in index.files if one.units and not one.problem]

    def columns(file: SourceFile) -> dict[str, str]:
        opener.check(file)
        return FORMATS[file.format].columns(file, opener)

    with ThreadPoolExecutor(_THREADS) as pool:
        found = list(pool.map(columns, files))
    # JSON Lines has no schema: whatever is in other files, its values are strings.
    schemaless = {"string"} if not all(FORMATS[file.format].has_schema for file in files) else set()
    kinds: dict[str, set[str]] = {}
    for one in found:
        for name, kind in one.items():
            kinds.setdefault(name, set(schemaless)).add(kind)
    known = {column.name: column for column in index.keep}
    left_out = {ANY_TEXT, index.text, index.id.name if index.id else None}
    return tuple(
        known.get(name) or Column(name, common_kind(of_all))
        for name, of_all in kinds.items()
        if name not in left_out and not all(kind.startswith(_STRUCT) for kind in of_all)
    )
