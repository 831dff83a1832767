"""`stage_into`: stages a corpus part by part, and identifies what was staged.

How the tasks are computed is up to the caller: `staging` hands them to dask, and a run to its own
cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ...storage.corpus.corpus import Corpus
from ...storage.corpus.open_corpus import open_corpus
from ...storage.corpus.tables.frame_source import FrameSource
from ...storage.errors import CorpusEmpty, LeaseLost, RunFailed, UsageError
from ...storage.store.leases.lease import Lease, LeaseTicket
from ...storage.targets.target import Target
from .folder import Part, StagedFolder
from .identity import Source, identity_of
from .part_files import write_part

Compute = Callable[[Sequence[Any], int], Iterable[Part]]
"""Computes delayed objects, each of which becomes a `Part`, in any order. The number is that of all
parts, including those that are already done."""

_UNLOADED = "deserialization of the task graph"  # in the message of dask's scheduler


def stage_into(target: Target, corpus: Corpus, compute: Compute, *, fresh: bool) -> Corpus:
    """Stage the missing parts of a corpus into a folder; return the staged corpus.

    Parameters
    ----------
    corpus : Corpus
        One with a `source`.
    fresh : bool
        Whether what was staged from another corpus is discarded.

    Raises
    ------
    ResultsMismatch
        The folder holds something else, or was staged from another corpus.
    LeaseHeld
        Another process is staging into the folder.
    CorpusEmpty
        There is nothing to stage.
    RunFailed
        A worker does not see the folder.
    """
    source = corpus.source
    if source is None:
        raise UsageError("a corpus of files needs no staging; submit it as it is")
    folder = StagedFolder(target, identity_of(source), source.name)
    with Lease.acquire(target) as lease:
        done = folder.done(source.partitions, fresh=fresh)
        missing = [number for number in range(source.partitions) if number not in done]
        if missing:
            folder.begin(lease.ticket)
            tasks = _tasks(source, missing, target, lease.ticket)
            try:
                done |= {part.number: part for part in compute(tasks, source.partitions)}
            except LeaseLost as error:
                lease.ticket.check(target)  # if the lease is lost, that is the error
                raise RunFailed(
                    f"a worker does not see the folder that the client writes at {target.url}: use "
                    "a folder that all machines share, or a bucket"
                ) from error
        if not folder.is_complete:
            folder.finish(done.values(), lease.ticket)
    if not any(key.endswith(".parquet") for key in target.sizes()):
        raise CorpusEmpty(f"the {source.name} has no rows, so there is nothing to run on")
    return opened(target, corpus)


def opened(target: Target, corpus: Corpus) -> Corpus:
    """Return the staged files of a corpus, with its columns."""
    return open_corpus(
        target.url,
        text=corpus.text,
        id=corpus.id,
        keep=corpus.keep,
        clean=corpus.cleaning,
        storage_options=target.storage_options,
    )


def _tasks(
    source: Source, numbers: Sequence[int], target: Target, ticket: LeaseTicket
) -> list[Any]:
    """Return delayed objects that write the parts of some numbers."""
    from dask.delayed import delayed

    write = delayed(write_part, pure=False)
    parts: Any
    if isinstance(source, FrameSource):
        parts = source.frame.to_delayed()
    else:
        parts = {number: source.part(number) for number in numbers}
    return [write(parts[number], target, ticket, number) for number in numbers]


def unloadable(error: BaseException) -> RunFailed | None:
    """Return the message for a frame whose tasks dask's scheduler could not load."""
    if not (isinstance(error, RuntimeError) and _UNLOADED in str(error)):
        return None
    failed = RunFailed(
        "dask's scheduler cannot load the tasks of the frame: unlike runs, frames need this "
        "package, and those that the frame uses, on the scheduler too. Install them there, or "
        "compute the frame on a cluster of this machine"
    )
    failed.__cause__ = error.__cause__
    return failed
