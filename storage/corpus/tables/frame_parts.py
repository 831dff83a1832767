"""The partitions of a dask frame as the files of a corpus: named, digested, and told apart.

A partition is known by the frame's token, its number and the digest of its values (`canonical`), so
that one which gives other rows when it is computed again is noticed wherever it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa

from ...errors import CorpusChanged
from ...formats.registry import FRAME
from ...rows import SourceFile
from ...rows.frame_rows import SCHEME, FrameContent, FrameRows
from .canonical import digest_and_size

_TOKEN_DIGITS = 8  # of a token, in URLs


def table_of(part: Any) -> pa.Table:
    """Return a frame of pandas or cuDF as a table, without its index; Arrow's values are shared.

    The columns of a cuDF frame are copied to the host.
    """
    table = part.to_arrow() if hasattr(part, "to_arrow") else pa.Table.from_pandas(part)
    return table.select(list(part.columns)).replace_schema_metadata(None)


def frame_rows(part: Any) -> FrameRows:
    """Return the rows of a frame of pandas or cuDF, with their digest."""
    table = table_of(part)
    digest, nbytes = digest_and_size(
        pa.table(list(map(_digestible, table.columns)), table.column_names)
    )
    return FrameRows(table, digest, nbytes)


def _digestible(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return values without a dictionary, and times as integers, which take less to digest."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _digestible(column.cast(kind.value_type))
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        return column.cast(pa.int32() if kind.bit_width == 32 else pa.int64())
    return column


def frame_file(token: str, number: int, rows: FrameRows) -> SourceFile:
    """Return a partition as a file. Its size is that of the values.

    Parameters
    ----------
    token : str
        The frame's; see `FrameSource.token`.
    """
    name = f"partition-{number:05}"
    return SourceFile(
        url=f"{SCHEME}:{token[:_TOKEN_DIGITS]}/{name}",
        name=name,
        size=rows.nbytes,
        version=token,
        format=FRAME,
        compression=None,
        digest=rows.digest,
        content=FrameContent(lambda: rows),
    )


def number_of(file: SourceFile) -> int:
    """Return the number of a partition in its frame."""
    return int(file.name.rpartition("-")[2])


def brought(
    files: Iterable[SourceFile], load: Callable[[int], FrameRows]
) -> tuple[SourceFile, ...]:
    """Return partitions whose rows this process finds by calling `load` with their numbers."""
    return tuple(
        replace(file, content=FrameContent(partial(load, number_of(file)))) for file in files
    )


def require_same_rows(file: SourceFile) -> None:
    """Raise `CorpusChanged` unless a partition has the rows that were indexed, and has them here.

    The rows are computed for it, if they are not in this process.
    """
    if not isinstance(file.content, FrameContent):
        raise CorpusChanged(
            f"{file.url}: the texts are those of a dask frame, which is not in this process; give "
            "the same frame again (corpus=frame, or open_corpus(frame) with text=, id= and keep= "
            "as they were)"
        )
    if file.content.rows().digest != file.digest:
        raise CorpusChanged(
            f"{file.url}: partition {number_of(file)} of the frame has other rows than when it was "
            "indexed, so computing the frame again does not give the same rows. Write to another "
            "path, or start over (fresh=True), with stage=True, which computes the frame once"
        )


def require_same_frame(files: Iterable[SourceFile], token: str | None, what: str) -> None:
    """Raise `CorpusChanged` unless the partitions of a store are those of the frame of a token."""
    known = next(iter(files)).version
    if token != known:
        raise CorpusChanged(
            f"{what} holds the results of another frame (its token was {known}, and is "
            f"{token or 'unknown'} now): give the same frame, made in the same way, with text=, "
            "id= and keep= as they were"
        )
