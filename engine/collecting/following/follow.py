"""`follow`: analyses a corpus while it is collected, by runs that extend one store.

What is committed of the corpus is in `growing_corpus`.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ....storage.corpus.partition import Sharding
from ....storage.errors import CorpusChanged, CorpusEmpty, PaniniError, UsageError
from ....storage.messages.tracebacks import short_traceback
from ....storage.store.manifest import read_manifest
from ....storage.targets.open import open_target
from ...run.submit import submit
from .growing_corpus import GrowingCorpus, Standing

if TYPE_CHECKING:
    from ....graphs.block import MapBlock
    from ....graphs.graph import Graph
    from ....graphs.reductions.reduce_block import ReduceBlock
    from ....storage.store.history import Summary
    from ....storage.targets.target import Target
    from ...run.handle import Run

LEAST_SECONDS, MOST_SECONDS = 1.0, 30.0
"""Shortest and longest interval between polls of a corpus, in seconds."""

GROWTH = 1.5
"""Factor by which the interval grows after a poll that found nothing new."""

EXPECTED_ROWS = 1 << 20
"""Number of rows that is assumed to choose the rows per shard, as the final number is unknown."""

STOP_SECONDS = 10.0
"""Seconds to wait for the end of a run that was interrupted."""

MISSING_LOOKS = 10
"""Number of polls after which a committed part that is not listed counts as lost."""


@short_traceback
def follow(
    graph: Graph | MapBlock | ReduceBlock,
    corpus: str | os.PathLike[str],
    results: str | os.PathLike[str] | Target,
    *,
    corpus_options: Mapping[str, Any] | None = None,
    poll_seconds: float = LEAST_SECONDS,
    progress: bool = True,
    **options: Any,
) -> Summary:
    """Run a graph over a corpus while `collect` fills it, until the collection is complete.

    The committed parts are computed, and the store is then extended by each further part, as by
    `submit` with ``extend=True``, until the collection is complete. Readers see the
    texts of every finished run. In the end, the store is the same as if the graph had been
    submitted afterwards, but for the number of rows per shard.

    Ctrl-C stops it and keeps what is done; the same call resumes. If the collection stops before it
    is complete, as at a limit, this waits for it to be resumed, and says so.

    Parameters
    ----------
    graph : Graph, MapBlock or ReduceBlock
        See `submit`. Results of reductions are those over the texts of the last run.
    corpus : str or path
        Folder or URL of the corpus that is collected.
    results : str, path or Target
        Where the Zarr store is, or will be.
    corpus_options : mapping, optional
        Options of `open_corpus`, such as ``{"keep": ["lang"]}``.
    poll_seconds : float
        Initial interval between polls for new parts. It grows up to 30 seconds while there are
        none.
    progress : bool
        Show the progress of every run, and what is waited for.
    **options
        Further options of `submit`, such as ``client``.

    Returns
    -------
    Summary
        Of the last run.

    Raises
    ------
    UsageError
        The folder is not that of a collection, or an option cannot be used.
    CorpusEmpty
        The collection is complete, and has no texts.
    PaniniError
        A run failed; see `Run.result`.

    Examples
    --------
    >>> import paninifs as pf
    >>> pf.follow(pf.default_graph(), "no-collection", "results.zarr")
    Traceback (most recent call last):
    ...
    paninifs.storage.errors.UsageError: no-collection has no _collection/state.json, so ...
    """
    say = _say if progress else _say_nothing
    growing = GrowingCorpus(corpus, corpus_options or {})
    run = followed(
        graph, growing, results, poll_seconds=poll_seconds, say=say, progress=progress, **options
    )
    return run.result()


def followed(
    graph: Graph | MapBlock | ReduceBlock,
    corpus: GrowingCorpus,
    results: str | os.PathLike[str] | Target,
    *,
    poll_seconds: float = LEAST_SECONDS,
    say: Callable[[str], object],
    **options: Any,
) -> Run:
    """Do what `follow` does; return the last run, which has ended successfully.

    Parameters
    ----------
    say : callable
        Called with what is waited for, in words.
    """
    _require_seconds(poll_seconds)
    if "extend" in options:
        raise UsageError("follow always extends the store; leave out extend")
    wait = _Wait(poll_seconds, say)
    run: Run | None = None
    done = missing = 0
    while True:
        standing = corpus.standing()
        opened = None
        if standing.parts > done or run is None:
            opened = corpus.opened(standing.parts)
        if opened is not None:
            if options.get("shard_rows") is None and run is None:
                options |= {"shard_rows": _shard_rows(graph, results, options)}
            run = _finished(
                submit(graph, opened, results, extend=not options.get("fresh"), **options)
            )
            options |= {"fresh": False, "shard_rows": None}
            done, missing = standing.parts, 0
            wait.reset()
        elif standing.parts > done:
            missing += 1
            _require_listed(corpus, standing, missing)
        if standing.complete and done == standing.parts:
            if run is None:
                raise CorpusEmpty(f"the collection of {corpus.name} is complete, and has no texts")
            return run
        wait.once(corpus, standing)


class _Wait:
    """Waits between polls of a corpus, longer while there is nothing new."""

    def __init__(self, seconds: float, say: Callable[[str], object]) -> None:
        self._first = self._seconds = seconds
        self._say, self._said = say, ""

    def reset(self) -> None:
        """Return to the shortest interval."""
        self._seconds = self._first

    def once(self, corpus: GrowingCorpus, standing: Standing) -> None:
        """Wait, and say what for if that has changed."""
        why = f"waiting for the collection of {corpus.name}"
        if standing.stopped:
            why = (
                f"the collection of {corpus.name} has stopped before it was complete "
                f"({standing.stopped}); waiting until it is resumed"
            )
        if why != self._said:
            self._say(f"{why}. To resume after Ctrl-C, repeat the command or call")
            self._said = why
        time.sleep(self._seconds)
        self._seconds = max(self._first, min(self._seconds * GROWTH, MOST_SECONDS))


def _finished(run: Run) -> Run:
    """Wait for a run; stop it if waiting is interrupted."""
    try:
        run.result()
    except PaniniError:
        raise
    except BaseException:
        run.cancel()
        if not run.wait(STOP_SECONDS):
            run.abandon()
        raise
    return run


def _shard_rows(graph: Any, results: Any, options: Mapping[str, Any]) -> int | None:
    """Return the rows per shard of a new store; None for one that exists."""
    storage_options = options.get("storage_options")
    for where in (results, options.get("mirror")):
        if where is None or options.get("fresh"):
            continue
        target = open_target(where, storage_options) if _is_location(where) else where
        if read_manifest(target) is not None:
            return None
    blocks = getattr(graph, "maps", (graph,))
    row_bytes = sum(field.row_bytes for block in blocks for field in getattr(block, "fields", ()))
    seconds = sum(getattr(block, "text_seconds", 0.0) for block in blocks)
    return Sharding(text_seconds=seconds).choose(EXPECTED_ROWS, row_bytes)


def _is_location(where: Any) -> bool:
    return isinstance(where, str | os.PathLike)


def _require_seconds(seconds: float) -> None:
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not number or not math.isfinite(seconds) or seconds <= 0:
        raise UsageError(f"poll_seconds must be a positive number of seconds, not {seconds!r}")


def _require_listed(corpus: GrowingCorpus, standing: Standing, looks: int) -> None:
    """Raise `CorpusChanged` if parts are not listed although they were committed long ago."""
    if looks >= MISSING_LOOKS:
        raise CorpusChanged(
            f"{corpus.name} lacks parts: its ledger counts {standing.parts:,} "
            f"(part-000000.parquet to part-{standing.parts - 1:06d}.parquet), but not all of them "
            "are there; put them back, or collect into another folder"
        )


def _say(sentence: str) -> None:
    print(f"paninifs: {sentence}", file=sys.stderr, flush=True)  # noqa: T201 (for the user)


def _say_nothing(sentence: str) -> None:
    pass
