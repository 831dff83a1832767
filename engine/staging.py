"""`stage`: turns a dask frame that the user has filtered, joined or mapped into a corpus of files.

Computing a frame again may give another result. So it is computed once, into Parquet files; runs
hash these files, resume on them and verify them. `submit` does the same next to the results if it
is asked to; otherwise it reads frames partition by partition. What a staged folder holds is in
`staged`, and how Parquet files are read as a corpus in `storage.corpus`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..storage.cleaning.steps import Cleaning
from ..storage.corpus.corpus import Corpus
from ..storage.corpus.open_corpus import open_corpus
from ..storage.corpus.tables.frame_source import is_dask_frame, text_column_of
from ..storage.errors import UsageError
from ..storage.messages.tracebacks import short_traceback
from ..storage.targets.open import open_target
from .staged.folder import Part
from .staged.parts import stage_into, unloadable

if TYPE_CHECKING:
    import dask.dataframe as dd
    import pandas as pd

_CHUNK_ROWS = 65_536  # of a pandas frame


@short_traceback
def stage(
    frame: dd.DataFrame | pd.DataFrame | Corpus,
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
    a client, dask's local scheduler does. A folder that was staged from the same frame is reused,
    and partitions that were written before staging was stopped are not computed again.

    `submit` takes dask frames too; with ``stage=True`` it stages them next to the results.

    Parameters
    ----------
    frame : dask.dataframe.DataFrame, pandas.DataFrame or Corpus
        The partitions of a dask frame are pandas or cuDF frames, for example those of
        `Corpus.frame`. The index is not kept; an identifier of the texts must be a column. A corpus
        must be one that a run would stage; it has its own columns.
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
    corpus = _corpus(frame, text, id, keep, clean)
    return stage_into(open_target(folder, storage_options), corpus, _computed, fresh=fresh)


def _corpus(
    frame: Any, text: str | None, id: str | None, keep: Sequence[str], clean: Cleaning | None
) -> Corpus:
    """Return what is to be staged as a corpus."""
    import pandas as pd

    lazy = frame
    if isinstance(frame, Corpus):
        if frame.source is None:
            raise UsageError("a corpus of files needs no staging; submit it as it is")
        if text is not None or id is not None or keep or clean is not None:
            raise UsageError("a corpus has its text, id, keep and clean already; leave them out")
        return frame
    if isinstance(frame, pd.DataFrame):
        import dask.dataframe as dd

        lazy = dd.from_pandas(frame, chunksize=_CHUNK_ROWS, sort=False)
    if not is_dask_frame(lazy) or not hasattr(lazy, "columns"):
        raise UsageError(f"stage needs a DataFrame of dask or pandas, not {type(frame).__name__}")
    text = text or text_column_of(lazy, "text")
    return open_corpus(lazy, text=text, id=id, keep=keep, clean=clean)


def _computed(tasks: Sequence[Any], _: int) -> Iterable[Part]:
    from dask import base

    try:
        done: Iterable[Part] = base.compute(*tasks)
    except RuntimeError as error:
        failed = unloadable(error)
        if failed is None:
            raise
        raise failed from error.__cause__
    return done
