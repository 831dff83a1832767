"""`submit`: starts a run of a graph over a corpus into a store, in the background.

The arguments are checked in `spec`, the returned handle is in `handle`, the work in `driver`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from ...graphs.block import MapBlock
from ...graphs.graph import Graph
from ...graphs.reductions.reduce_block import ReduceBlock
from ...storage.corpus.corpus import Corpus
from ...storage.corpus.open_corpus import opened
from ...storage.errors import UsageError
from ...storage.messages.tracebacks import short_traceback
from ...storage.store.layout import array_names
from ...storage.targets.same_names import taken_for_one
from ...storage.targets.target import Target
from ..cluster.main_guard import require_no_loading
from ..monitoring.dashboard.link import dashboard_link
from ..monitoring.dashboard.telemetry import install, page_for
from ..monitoring.display import show
from ..monitoring.display.standing import of_run
from ..monitoring.events import Notice
from ..worker.micro_batches.micro_batch import MicroBatch
from .background.active import await_cancelled
from .handle import Run
from .spec import RunSpec
from .target_leases import acquire, release_all

if TYPE_CHECKING:
    from distributed import Client


@short_traceback
def submit(
    graph: Graph | MapBlock | ReduceBlock,
    corpus: Corpus | Any,
    results: str | os.PathLike[str] | Target,
    *,
    client: Client | None = None,
    backend: str | None = None,
    shard_rows: int | None = None,
    on_error: Literal["quarantine", "raise"] = "quarantine",
    max_failed_rows: int | None = None,
    fresh: bool = False,
    extend: bool = False,
    mirror: str | os.PathLike[str] | Target | None = None,
    micro_batch: MicroBatch | None = None,
    priority: int = 0,
    storage_options: Mapping[str, Any] | None = None,
    progress: bool = True,
    verbose: bool = False,
    keep_staged: bool = True,
    stage: bool | None = None,
) -> Run:
    r"""Start a run of a graph over a corpus into a store; return at once.

    If an earlier run began the store with the same corpus and graph, the run resumes it: only what
    is missing is computed. The same holds if the store's graph is a part of this one: blocks that
    are new are added, readers see their fields once all are computed, and nothing else is written
    again.

    Parameters
    ----------
    graph : Graph, MapBlock or ReduceBlock
        For example `default_graph()`, with your own blocks added. Before anything is written, your
        blocks are tried on the first texts of the corpus.
    corpus : Corpus, or a frame or table
        From `open_corpus`; anything else is passed to it. A frame of dask or dask-cuDF is read
        partition by partition, as dask computes them; see `stage`. To resume, submit the same
        frame: another one is refused, unless `fresh` is set.
    results : str, path or Target
        Where the Zarr store is, or will be.
    client : distributed.Client, optional
        The cluster to run on; see `connect`. By default the most recent client.
    backend : str, optional
        Backend that computes the blocks on the workers, ``"cpu"`` or ``"cuda"``. By default the one
        that `connect` started the cluster for. Give it if you started workers with GPUs by hand.
    shard_rows : int, optional
        Rows per shard, a power of two; by default chosen from the size of the corpus.
    on_error : "quarantine" or "raise"
        Whether a row that cannot be used, or that a block of your own fails for, is quarantined and
        listed, or ends the run.
    max_failed_rows : int, optional
        Most texts of one shard, or of 4,096 texts in smaller shards, that are quarantined because a
        block failed for them; one more ends the run with the block's error, and the next run tries
        them again. By default 1 %, and at least 10.
    fresh : bool
        Discard what the store holds and start over.
    extend : bool
        Append the texts of files that were added to the corpus, and keep existing results. It is
        an error if an old file has changed.
    mirror : str, path or Target, optional
        A second copy, for example on a Drive or in a bucket while `results` is on a scratch disk.
        Finished shards are copied there in the background and verified; shards that only the mirror
        holds are restored first. If the machine disappears, only work in flight is lost.
    micro_batch : MicroBatch, optional
        Maximum size of one call of a block; by default adapted to texts, blocks and memory.
    priority : int
        If runs share a cluster, the tasks of the run with the higher priority start first; with
        equal priority, tasks that were sent first. Tasks that have started continue.
    storage_options : mapping, optional
        For fsspec, if `results` or `mirror` is a URL.
    progress : bool
        Show progress: a bar in a terminal, a card in a notebook, and elsewhere a line every ten
        seconds, or fewer in a long run.
    verbose : bool
        Show more about the run: its memory, what limited it, and its cost, here and elsewhere.
    keep_staged : bool
        Whether the folder of a staged frame is kept when the store is complete. Without it,
        `verify` and others cannot read the texts, and submitting the frame again computes it again.
    stage : bool, optional
        Whether a dask frame is staged first, as by `paninifs.stage`: computed once, into a folder
        next to the results (``results.staged`` next to ``results.zarr``). By default it is not,
        unless dask has no token for it, or a store that the run resumes was begun with such files.
        Stage a frame that gives other rows when it is computed again: without staging, the run
        ends when a partition does.

    Raises
    ------
    UsageError
        The run cannot begin: the graph cannot be identified, the target holds something else
        (`ResultsMismatch`) or is being written (`LeaseHeld`), or no client is connected. Errors
        found while reading the corpus are raised by `Run.result`.

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
    require_no_loading("submit")
    spec = RunSpec.of(
        graph,
        opened(corpus),
        results,
        client=client,
        backend=backend,
        shard_rows=shard_rows,
        on_error=on_error,
        max_failed_rows=max_failed_rows,
        fresh=fresh,
        extend=extend,
        mirror=mirror,
        micro_batch=micro_batch,
        priority=priority,
        storage_options=storage_options,
        keep_staged=keep_staged,
        stage=stage,
    )
    run = _started(spec)
    if progress:
        show(run.events, run._repr_html_, lambda: of_run(run.status()), verbose=verbose)
    return run


def _started(spec: RunSpec) -> Run:
    """Acquire the leases of a run's targets, and start the run, which holds them from then on."""
    problem = install(spec.client)
    link = dashboard_link(spec.client, page_for(problem))  # once, in the user's own thread
    await_cancelled(spec.target.url)
    leases = acquire(spec.targets)
    try:
        for target, _ in leases:
            _require_distinct_names(spec, target)
        run = Run(spec, leases, link)
    except BaseException:  # otherwise nothing would ever release them
        release_all(leases)
        raise
    if problem:
        run.events.publish(Notice(problem))
    return run


def _require_distinct_names(spec: RunSpec, target: Target) -> None:
    """Raise `UsageError` if a target takes the names of two arrays for the same."""
    later = {f"valid_{stage.name}" for stage in spec.stages.later if stage.reduction is None}
    names = array_names(spec.graph.fields, spec.corpus.keep) | later
    same = taken_for_one(target, names)
    if same:
        raise UsageError(
            f"{target.url} is on storage that takes the names {same[0]!r} and {same[1]!r} for the "
            "same, so one of these arrays would replace the other; rename one of the fields, or "
            "write elsewhere"
        )
