"""`drop`: removes blocks that were added to a store later."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

from ...storage.errors import UsageError
from ...storage.messages.names import did_you_mean, listed
from ...storage.messages.tracebacks import short_traceback
from ...storage.store.leases.lease import Lease
from ...storage.store.reader import ResultsStore
from ...storage.store.stages.record import StageRecord
from ...storage.store.stages.removal import remove_stage


@short_traceback
def drop(
    results: str | PathLike[str],
    *blocks: str,
    storage_options: Mapping[str, Any] | None = None,
) -> list[str]:
    r"""Remove the results of blocks of a later stage; the rest of the store is unchanged.

    Parameters
    ----------
    results : str or path
        The store.
    *blocks : str
        Names of the blocks: all blocks of a stage, and none whose results a remaining block takes.
        Blocks of the first stage cannot be removed.
    storage_options : mapping, optional
        Passed to fsspec.

    Returns
    -------
    list of str
        The arrays and reductions removed.

    Raises
    ------
    ResultsNotFound
        The store does not exist.
    UsageError
        The store has no such block, or the block cannot be removed.
    LeaseHeld
        A run is writing the store.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> import paninifs as pf
    >>> folder = Path(mkdtemp())
    >>> _ = (folder / "a.txt").write_text("un\ndeux\n")
    >>> @pf.map_block(fields=[pf.Field("bytes", "int64")])
    ... def n_bytes(length):
    ...     return length
    >>> with pf.connect("threads", quiet=True):
    ...     corpus = pf.open_corpus(folder / "a.txt")
    ...     first = pf.submit(pf.default_graph(), corpus, folder / "s.zarr", progress=False)
    ...     _ = first.result()
    ...     graph = pf.default_graph() + n_bytes
    ...     _ = pf.submit(graph, corpus, folder / "s.zarr", progress=False).result()
    >>> "bytes" in pf.open_results(folder / "s.zarr")
    True
    >>> drop(folder / "s.zarr", "n_bytes")
    ['bytes', 'valid_bytes']
    >>> "bytes" in pf.open_results(folder / "s.zarr")
    False
    """
    store = ResultsStore.open(results, storage_options)
    removed: list[str] = []
    with Lease.acquire(store.target) as lease:
        gone = _stages_of(store, blocks)
        names = {record.name for record in gone}
        kept = [one for one in store.stages if one.name not in names]
        others = {dim for field in store.manifest.fields for dim in field.dims or ()}
        others |= {name for one in kept for name in one.names}
        for record in reversed(gone):
            remove_stage(store.target, record, others, lease.ticket)
            removed += [record.name] if record.is_reduction else [a.name for a in record.arrays]
    return removed


def _stages_of(store: ResultsStore, blocks: tuple[str, ...]) -> list[StageRecord]:
    """Return the stages of blocks, in order.

    Raises
    ------
    UsageError
        They are not whole stages, or other stages take their results.
    """
    if not blocks:
        raise UsageError("drop needs the name of a block")
    known = {name: one for one in store.stages for name in one.blocks}
    for name in blocks:
        if name in store.manifest.facts["graph"]:
            raise UsageError(
                f"block {name!r} of {store.url} belongs to its first stage, which cannot be "
                "removed; start over with another graph (--fresh, fresh=True)"
            )
        if name not in known:
            raise UsageError(
                f"{store.url} has no block {name!r}; these can be dropped: "
                f"{listed(list(known)) or 'none'}{did_you_mean(name, list(known))}"
            )
    gone = [one for one in store.stages if any(name in one.blocks for name in blocks)]
    for one in gone:
        others = [name for name in one.blocks if name not in blocks]
        if others:
            raise UsageError(
                f"{listed(list(one.blocks))} of {store.url} were computed in one pass: drop all of "
                "them"
            )
        needing = [
            other for other in store.stages.needing(one.name) if store.stages[other] not in gone
        ]
        if needing:
            takers = [block for other in needing for block in store.stages[other].blocks]
            raise UsageError(
                f"{listed(takers)} of {store.url} depends on {listed(list(one.blocks))} (a "
                "reduction is of the texts that all earlier blocks were computed for): drop all "
                "in one call"
            )
    return gone
