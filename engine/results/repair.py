"""`repair`: takes damaged shards of a store back, so that the next run computes them again."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

from ...storage.messages.tracebacks import short_traceback
from ...storage.store.keys import marker_key
from ...storage.store.leases.lease import Lease
from ...storage.store.lifecycle import reopen
from ...storage.store.reader import ResultsStore
from ...storage.store.shards import Marker, is_intact, marked_shards, quarantined_of


@short_traceback
def repair(
    results: str | PathLike[str],
    *,
    failed: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> list[int]:
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
    list of int
        Numbers of the shards taken back.

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
        markers = marked_shards(store.target, store.layout)
        damaged = [
            shard
            for shard, marker in markers.items()
            if not is_intact(store.target, marker) or (failed and _has_failed(store, marker))
        ]
        lease.ticket.check(store.target)
        if damaged:
            reopen(store.target)
        store.target.delete([marker_key(shard) for shard in damaged])
    return damaged


def _has_failed(store: ResultsStore, marker: Marker) -> bool:
    if not marker.quarantined:
        return False
    return any(entry.block for entry in quarantined_of(store.target, marker.shard))
