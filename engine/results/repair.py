"""`repair`: takes damaged shards of a store back, so that the next run computes them again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os import PathLike
from typing import Any

from ...storage.messages.tracebacks import short_traceback
from ...storage.store.keys import marker_key
from ...storage.store.leases.lease import Lease
from ...storage.store.lifecycle import reopen
from ...storage.store.reader import ResultsStore
from ...storage.store.shards import StoreLayout, is_intact, marked_shards, quarantined_of
from ...storage.store.stages.record import StageRecord
from ...storage.store.stages.reductions import read_reduction_marker


@short_traceback
def repair(
    results: str | PathLike[str],
    *,
    failed: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> list[int | tuple[str, int]]:
    r"""Take back every shard whose stored bytes are missing or not what was written.

    The next run of the same corpus and graph into the store computes these shards, and no others.
    Values are not recomputed: `verify` does that, and names the rows that differ.

    Parameters
    ----------
    results : str or path
        The store, finished or not.
    failed : bool
        Also take back shards with rows that a block failed for, such as after an outage of a
        service that the block calls.
    storage_options : mapping, optional
        Passed to fsspec.

    Returns
    -------
    list
        Numbers of the shards taken back; for later stages, pairs of stage and number.

    Raises
    ------
    ResultsNotFound
        The store does not exist.
    LeaseHeld
        A run is writing it.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> import paninifs as pf
    >>> folder = Path(mkdtemp())
    >>> _ = (folder / "a.txt").write_text("un\ndeux\n")
    >>> with pf.connect("threads", quiet=True):
    ...     corpus = pf.open_corpus(folder / "a.txt")
    ...     _ = pf.submit(pf.default_graph(), corpus, folder / "s.zarr", progress=False).result()
    >>> repair(folder / "s.zarr")
    []
    >>> _ = (folder / "s.zarr" / "entropy" / "c" / "0").write_bytes(b"damaged")
    >>> repair(folder / "s.zarr")
    [0]
    """
    store = ResultsStore.open(results, storage_options)
    with Lease.acquire(store.target) as lease:
        layouts = [store.layout]
        layouts += [store.stages.layout(one) for one in store.stages if not one.is_reduction]
        damaged = [(one.stage, shard) for one in layouts for shard in _damaged(store, one, failed)]
        damaged += [(one.name, 0) for one in store.stages if _is_damaged(store, one)]
        lease.ticket.check(store.target)
        if damaged:
            reopen(store.target)
        store.target.delete([marker_key(shard, stage) for stage, shard in damaged])
    return [(stage, shard) if stage else shard for stage, shard in damaged]


def _damaged(store: ResultsStore, layout: StoreLayout, failed: bool) -> Iterator[int]:
    """Yield the shards of a pass that are damaged, or have rows that a block failed for."""
    for shard, marker in marked_shards(store.target, layout).items():
        if not is_intact(store.target, marker.objects):
            yield shard
        elif failed and marker.quarantined:
            entries = quarantined_of(store.target, shard, layout.stage)
            if any(entry.block for entry in entries):
                yield shard


def _is_damaged(store: ResultsStore, stage: StageRecord) -> bool:
    """Return whether the result of a reduction is damaged."""
    if not stage.is_reduction:
        return False
    marker = read_reduction_marker(store.target, stage.name)
    return marker is not None and not is_intact(store.target, marker.objects)
