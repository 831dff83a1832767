"""`stage`: turns a dask frame that the user has filtered, joined or mapped into a corpus.

A frame has no row numbers before it is computed, and computing it again may give another result. So
it is computed once, into Parquet files; runs hash these files, resume on them and verify them. How
Parquet files are read as a corpus is in `storage.corpus`.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..storage.cleaning.steps import Cleaning
from ..storage.corpus.corpus import Corpus, open_corpus
from ..storage.corpus.tables.framing import TEXT_ATTRIBUTE
from ..storage.errors import ColumnNotFound, ResultsMismatch, RunFailed, UsageError
from ..storage.messages.names import did_you_mean, listed, quoted
from ..storage.messages.tracebacks import short_traceback
from ..storage.store.keys import is_lease
from ..storage.store.leases.lease import Lease, LeaseTicket
from ..storage.targets.local import is_temporary
from ..storage.targets.open import open_target
from ..storage.targets.target import Target

if TYPE_CHECKING:
    import dask.dataframe as dd
    import pandas as pd

STAGED_KEY = "_staged.json"
"""Key of the object that marks a folder as completely staged."""

ROW_GROUP_ROWS = 65_536

_CHUNK_ROWS = 65_536  # of a pandas frame
_UNLOADED = "deserialization of the task graph"  # in the message of dask's scheduler


@short_traceback
def stage(
    frame: dd.DataFrame | pd.DataFrame,
    folder: str | os.PathLike[str],
    *,
    text: str | None = None,
    id: str | None = None,
    keep: Sequence[str] = (),
    clean: Cleaning | None = None,
    storage_options: Mapping[str, Any] | None = None,
    fresh: bool = False,
) -> Corpus:
    r"""Compute a dask frame once, into a folder of Parquet files, and open them as a corpus.

    Each partition becomes a file, in order. The most recent client computes the partitions; without
    a client, dask's local scheduler does. A folder that was staged from the same frame is reused.

    Parameters
    ----------
    frame : dask.dataframe.DataFrame or pandas.DataFrame
        The partitions of a dask frame are pandas or cuDF frames, for example those of
        `Corpus.frame`. The index is not kept; an identifier of the texts must be a column.
    folder : str or path
        Where to write the files, preferably beside the results.
    text : str, optional
        The column that holds the text. By default that of the corpus which the frame was made from,
        as far as pandas hands its name on, else ``text``.
    id, keep, clean, storage_options
        As for `open_corpus`. All other columns are dropped.
    fresh : bool
        Replace what was staged into the folder from another frame.

    Raises
    ------
    ColumnNotFound
        The frame has no such column.
    ResultsMismatch
        The folder holds something else, or was staged from another frame.
    LeaseHeld
        Another process is staging into the folder.
    RunFailed
        dask's scheduler lacks a package that the frame needs.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from paninifs import open_corpus
    >>> folder = Path(mkdtemp())
    >>> _ = (folder / "a.txt").write_text("un\ndeux\ntrois\n")
    >>> frame = open_corpus(folder / "a.txt").frame
    >>> corpus = stage(frame[frame.text.str.len() > 2], folder / "long")
    >>> corpus.index.rows
    2
    """
    import dask.dataframe as dd
    import pandas as pd
    from dask.base import is_dask_collection, tokenize

    lazy: Any = frame
    if isinstance(frame, pd.DataFrame):
        lazy = dd.from_pandas(frame, chunksize=_CHUNK_ROWS, sort=False)
    if not is_dask_collection(lazy) or not hasattr(lazy, "to_delayed"):
        raise UsageError(f"stage needs a DataFrame of dask or pandas, not {type(frame).__name__}")
    text = text or _text_column(lazy)
    columns = _columns(list(lazy.columns), text, id, keep)
    target = open_target(folder, storage_options)
    token: str = tokenize(lazy[columns])
    with Lease.acquire(target) as lease:
        if not _is_staged(target, token, fresh=fresh):
            _write(lazy[columns], target, token, lease.ticket)
    return open_corpus(
        folder, text=text, id=id, keep=keep, clean=clean, storage_options=storage_options
    )


def _text_column(frame: dd.DataFrame) -> str:
    known = getattr(frame._meta, "attrs", {}).get(TEXT_ATTRIBUTE)
    return str(known) if known in frame.columns else "text"


def _columns(names: Sequence[str], text: str, id: str | None, keep: Sequence[str]) -> list[str]:
    columns = dict.fromkeys([text, *([id] if id else ["id"] if "id" in names else []), *keep])
    missing = [name for name in columns if name not in names]
    if missing:
        known = [str(name) for name in names]  # pandas has columns that are numbers
        which = "; text= names the one that holds the text" if missing[0] == text else ""
        raise ColumnNotFound(
            f"no column {quoted(missing[0])}; the frame has: {listed(known)}"
            f"{did_you_mean(missing[0], known)}{which}"
        )
    return list(columns)


def _is_staged(target: Target, token: str, *, fresh: bool) -> bool:
    data = target.get(STAGED_KEY)
    if data is None:
        foreign = [
            key
            for key in target.sizes()
            if not (key.startswith("part-") or is_lease(key) or is_temporary(key))
        ]
        if foreign:
            raise ResultsMismatch(
                f"{target.url} holds {min(foreign)}, which is not part of a staged frame; choose "
                "another folder"
            )
        return False
    if json.loads(data)["frame"] == token:
        return True
    if not fresh:
        raise ResultsMismatch(
            f"{target.url} was staged from another frame; open its contents with "
            f"open_corpus({target.url!r}), replace them with fresh=True, or choose another folder"
        )
    target.delete([STAGED_KEY])  # before its parts, which are then leftovers
    return False


def _write(frame: dd.DataFrame, target: Target, token: str, ticket: LeaseTicket) -> None:
    from dask import base
    from dask.delayed import delayed

    leftover = [k for k in target.sizes() if k.startswith("part-") or is_temporary(k)]
    target.delete(key for key in leftover if not is_lease(key))
    write = delayed(_write_part, pure=False)
    delayed_parts = enumerate(frame.to_delayed())
    parts = [write(part, target, ticket, number) for number, part in delayed_parts]
    try:
        rows = base.compute(*parts)
    except RuntimeError as error:
        if _UNLOADED not in str(error):
            raise
        raise RunFailed(
            "dask's scheduler cannot load the tasks of the frame: unlike runs, frames need this "
            "package, and those that the frame uses, on the scheduler too. Install them there, or "
            "compute the frame on a cluster of this machine"
        ) from error.__cause__
    staged = {"frame": token, "files": sum(n > 0 for n in rows), "rows": sum(rows)}
    ticket.check(target)
    target.put(STAGED_KEY, json.dumps(staged).encode())


def _write_part(part: Any, target: Target, ticket: LeaseTicket, number: int) -> int:
    """Write a partition, unless it is empty; return its number of rows."""
    table = part.to_arrow() if hasattr(part, "to_arrow") else pa.Table.from_pandas(part)
    table = table.select(list(part.columns)).replace_schema_metadata(None)
    if len(table):
        sink = io.BytesIO()
        pq.write_table(table, sink, row_group_size=ROW_GROUP_ROWS, compression="zstd")
        ticket.check(target)  # a task may outlive its client
        target.put(f"part-{number:06d}.parquet", sink.getvalue())
    return len(table)
