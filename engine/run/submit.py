"""`submit`: one corpus through one graph into one store; the checks, and the handle it returns."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ...graphs.fingerprint.labels import keep_known_labels
from ...graphs.graph import Graph
from ...graphs.kernels import NUMERIC_VERSION
from ...graphs.kernels import require as require_backend
from ...storage.corpus.corpus import Corpus
from ...storage.corpus.partition import FEW_SHARDS, SHARDS_AIMED_AT, Sharding
from ...storage.errors import UsageError
from ...storage.store.duplicates import require_digest
from ...storage.store.extension import as_known
from ...storage.store.lifecycle import Existing, refuse_mismatch
from ...storage.store.manifest import facts_of, read_manifest
from ...storage.store.mirror import refuse_other_mirror
from ...storage.targets.open import open_target
from ...storage.targets.target import Target
from ..cluster.connect import backend_of
from ..monitoring.dashboard.link import dashboard_link
from ..monitoring.dashboard.telemetry import install, page_for
from ..monitoring.display import show
from ..monitoring.events import Notice
from ..worker.micro_batch import MicroBatch
from .driver import Order
from .handle import Run
from .leases import acquire, give_up

if TYPE_CHECKING:
    from distributed import Client

MAX_PRIORITY = 1_000_000  # either way; what is sent to dask's scheduler has 64 bits


def submit(
    graph: Graph,
    corpus: Corpus,
    results: str | os.PathLike[str] | Target,
    *,
    client: Client | None = None,
    backend: str | None = None,
    shard_rows: int | None = None,
    on_error: Literal["quarantine", "raise"] = "quarantine",
    fresh: bool = False,
    extend: bool = False,
    mirror: str | os.PathLike[str] | Target | None = None,
    micro_batch: MicroBatch | None = None,
    priority: int = 0,
    storage_options: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Run:
    r"""Send a corpus through a graph into a store; return at once.

    A store that an earlier run began with the same corpus and graph is gone on with: only what
    is missing is computed.

    Parameters
    ----------
    graph : Graph
        As `default_graph()`, with blocks of one's own added.
    corpus : Corpus
        From `open_corpus`.
    results : str, path or Target
        Where the Zarr store is, or is to be.
    client : distributed.Client, optional
        The newest one when left out; see `connect`.
    backend : str, optional
        What computes the blocks on the workers, ``"cpu"`` or ``"cuda"``; when left out that which
        `connect` made the cluster for. Name it where workers with GPUs were started by hand.
    shard_rows : int, optional
        Rows a shard, a power of two; chosen from the corpus when left out.
    on_error : "quarantine" or "raise"
        Whether a row that cannot be used is set aside and listed, or ends the run.
    fresh : bool
        Discard what the store holds and start over.
    extend : bool
        Files were added to the corpus: append their texts behind those that the store has, and
        keep what is done. It is an error if an old file has changed.
    mirror : str, path or Target, optional
        A second place, as a Drive or a bucket behind a scratch disk. Finished shards are copied
        there in the background and read back; where `results` lacks what it holds, that is brought
        back first. So a machine that vanishes takes with it only what was in flight.
    micro_batch : MicroBatch, optional
        How much a block is given at once; adapted to texts, blocks and memory when left out.
    priority : int
        Where runs share a cluster, what is left of that with the higher one is begun first; of
        equal ones, what was sent first. What has begun goes on.
    storage_options : mapping, optional
        For fsspec, where `results` or `mirror` is a URL.
    progress : bool
        Show progress, in a terminal or a notebook.

    Raises
    ------
    UsageError
        Whatever can be refused before work begins: a graph that cannot be identified, a place
        that holds something else (`ResultsMismatch`) or is being written (`LeaseHeld`), no
        client. What only reading the corpus shows is raised by `Run.result`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> import paninifs as pf
    >>> folder = Path(mkdtemp())
    >>> _ = (folder / "a.txt").write_text("un\ndeux\n")
    >>> with pf.connect(workers=1, quiet=True) as client:
    ...     corpus = pf.open_corpus(folder / "a.txt")
    ...     run = pf.submit(pf.default_graph(), corpus, folder / "out.zarr", progress=False)
    ...     summary = run.result()
    >>> summary.done, pf.open_results(folder / "out.zarr").dhatu.shape
    (2, (2, 9))
    """
    require_usable(graph, corpus, shard_rows, on_error, backend)
    if not isinstance(priority, int) or abs(priority) > MAX_PRIORITY:
        raise UsageError(
            f"priority is a whole number, at most {MAX_PRIORITY:,} either way, not {priority!r}"
        )
    if fresh and extend:
        raise UsageError("fresh discards what extend would keep; choose one of the two")
    existing: Existing = "discard" if fresh else "extend" if extend else "resume"
    if isinstance(results, str | os.PathLike):
        results = open_target(results, storage_options)
    if isinstance(mirror, str | os.PathLike):
        mirror = open_target(mirror, storage_options)
    places = [results] if mirror is None else [results, mirror]
    if len({place.url for place in places}) < len(places):
        raise UsageError(f"the mirror has to be another place than the results, {results.url}")
    manifest = next(filter(None, map(read_manifest, places)), None)
    described = graph.describe()
    if manifest is not None and not fresh:
        corpus = as_known(corpus, manifest)
        described = keep_known_labels(described, manifest.facts["graph"])
    facts = facts_of(corpus, described, NUMERIC_VERSION)
    refuse_mismatch(results, facts, shard_rows, existing)
    if mirror is not None:
        refuse_other_mirror(mirror, results, facts, shard_rows, existing)
    client = client or newest_client()
    order = Order(
        graph,
        corpus,
        results,
        mirror,
        facts,
        client,
        backend or backend_of(client),
        Sharding(
            shard_rows,
            FEW_SHARDS if any(place.slow_to_create for place in places) else SHARDS_AIMED_AT,
            graph.text_seconds,
        ),
        on_error == "raise",
        existing,
        micro_batch,
        priority,
    )
    run = _begun(order, places)
    if progress:
        show(run.events, run._repr_html_)
    return run


def _begun(order: Order, places: Sequence[Target]) -> Run:
    """Return the run of an order, which holds the leases of its places from now on."""
    untold = install(order.client)
    link = dashboard_link(order.client, page_for(untold))  # asked once, by the user's own thread
    leases = acquire(places)
    try:
        run = Run(order, leases, link)
    except BaseException:  # else nobody would ever give them up
        give_up(leases)
        raise
    if untold:
        run.events.publish(Notice(untold))
    return run


def require_usable(
    graph: Graph, corpus: Corpus, shard_rows: int | None, on_error: str, backend: str | None
) -> None:
    """Raise `UsageError` where `submit` could make nothing of what it was given."""
    if not isinstance(graph, Graph) or not graph.blocks:
        raise UsageError("submit needs a graph with blocks: default_graph() + your_block")
    if not isinstance(corpus, Corpus):
        raise UsageError("submit needs a corpus from open_corpus(...)")
    if on_error not in ("quarantine", "raise"):
        raise UsageError(f"on_error is 'quarantine' or 'raise', not {on_error!r}")
    if shard_rows is not None and (shard_rows < 1 or shard_rows & (shard_rows - 1)):
        raise UsageError(f"shard_rows must be a power of two, as 512 or 4096, not {shard_rows}")
    require_digest(corpus.cleaning, corpus.keep, graph.fields)
    if backend is not None:
        require_backend(backend)


def newest_client() -> Client:
    """Return the client that was made last, or raise `UsageError`."""
    from distributed import default_client

    try:
        newest: Client = default_client()
    except ValueError as error:
        raise UsageError("there is no cluster to run on: call paninifs.connect() first") from error
    return newest
