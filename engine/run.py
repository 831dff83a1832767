"""`submit` and `Run`: one corpus through one graph into one store, and the handle on it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ..graphs.fusion import is_default
from ..graphs.graph import Graph
from ..graphs.kernels import NUMERIC_VERSION
from ..graphs.kernels import require as require_backend
from ..storage.corpus import Corpus
from ..storage.duplicates import require_digest
from ..storage.errors import RunFailed, UsageError
from ..storage.extension import as_known
from ..storage.manifest import facts_of, read_manifest
from ..storage.mirror import refuse_other_mirror
from ..storage.partition import FEW_SHARDS, SHARDS_AIMED_AT, Sharding
from ..storage.run_record import RunRecord
from ..storage.store import Existing, Summary, refuse_mismatch
from ..storage.target import Target, open_target
from ..storage.timeline import Sample, Timeline
from .advisor.meter import Meter
from .cluster import backend_of
from .dashboard.link import DashboardLink, dashboard_link
from .dashboard.telemetry import Telemetry, install, page_for
from .display import show
from .driver import Driver, Order
from .events import EventStream, Failed, Finished, Notice
from .figures import Figures
from .leases import Leases, acquire, give_up
from .micro_batch import MicroBatch
from .place import elsewhere, place_of
from .progress import Progress
from .recorder import Recorder

if TYPE_CHECKING:
    from distributed import Client

    from .advisor.bill import Bill

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
    if manifest is not None and not fresh:
        corpus = as_known(corpus, manifest)
    facts = facts_of(corpus, graph.describe(), NUMERIC_VERSION)
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
        show(run)
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


class Run:
    """A run in progress, or done. Made by `submit`.

    Attributes
    ----------
    events : EventStream
        What happens, as it happens; `EventStream.subscribe` to listen.
    results : str
        Where the store is.
    """

    def __init__(
        self,
        order: Order,
        leases: Leases,
        link: DashboardLink,
        telemetry: type[Telemetry] = Telemetry,
    ) -> None:
        self.events = EventStream()
        self.results = order.target.url
        self._places = [place for place in (order.target, order.mirror) if place is not None]
        self._client = order.client
        self._link = link
        largest = max(order.corpus.files, key=lambda file: file.size)
        self._format, self._is_default = largest.format, is_default(order.graph)
        self._bill: Bill | None = None
        self._progress = Progress()
        self._elsewhere = elsewhere(order.client)
        self._meter = Meter(self._elsewhere, is_default=self._is_default)
        self._recorder = Recorder(
            self._progress, order.backend, place_of(order.client), self._meter, self._tell
        )
        self._driver = Driver(order, leases, self.events, self._recorder)
        self._telemetry = telemetry(order.client, self._driver.topic, self.results)
        self.events.subscribe(self._progress.listen)
        self.events.subscribe(self._recorder.listen)
        self._summary: Summary | None = None
        self._error: BaseException | None = None
        # Not the thread is waited for: Python takes one for ended when Ctrl-C comes meanwhile.
        self._ended = threading.Event()
        threading.Thread(target=self._drive, name="paninifs-run", daemon=True).start()

    def result(self, timeout: float | None = None) -> Summary:
        """Wait until the store is complete.

        Raises
        ------
        TimeoutError
            `timeout` seconds passed; the run goes on.
        PaniniError
            Why the run did not finish. Submitting again goes on where it stopped.
        """
        if not self._ended.wait(timeout):
            raise TimeoutError(f"the run is still at work after {timeout} s")
        if self._error is not None:
            raise self._error
        assert self._summary is not None  # the thread ends with one or the other
        return self._summary

    def cancel(self) -> None:
        """Stop: no further shard is begun, finished ones stay, the store resumes."""
        self._driver.cancel()

    def release_runtime(self) -> None:
        """Wait for the end, then give the Colab runtime back, if the results outlive it.

        They do where the store or its mirror is complete behind a URL or on a mounted Drive, which
        is flushed and unmounted first. An idle runtime goes on using up compute units.

        Raises
        ------
        UsageError
            This is no Colab runtime; or the runtime is kept, for the results would go with it: the
            message says why, and what to do.
        """
        from .colab import release

        release(self, self._places)

    def status(self) -> Progress:
        """Return how far the run has come, now."""
        return self._progress.snapshot()

    @property
    def figures(self) -> Figures:
        """What is shown of the run: as `status`, with what it has cost so far."""
        return self._figures(self._progress.snapshot())

    @property
    def timeline(self) -> Timeline:
        """How far the run had come, moment by moment, since the work was cut up."""
        return self._recorder.timeline

    @property
    def record(self) -> RunRecord | None:
        """What the store remembers of the run: how busy the machine was, what bound it, its cost.

        None before every shard is done, and where there was nothing to do.
        """
        return self._recorder.record

    @property
    def done(self) -> bool:
        """Whether the run has ended, well or not."""
        return self._ended.is_set()

    @property
    def bill(self) -> Bill | None:
        """What the run cost, and would have cost elsewhere; None before its end."""
        return self._bill

    @property
    def dashboard_link(self) -> str:
        """Where dask shows its tasks, for a browser like that of this notebook."""
        return self._link.url

    def __repr__(self) -> str:
        return f"<Run {self.results}: {self._progress.snapshot().line()}>"

    def _repr_html_(self) -> str:
        from .display.card import card

        return card(self.figures, self.timeline, self.results, self._link)

    def _tell(self, now: Progress, sample: Sample) -> None:
        self._telemetry.send(self._figures(now), sample)

    def _figures(self, now: Progress) -> Figures:
        cost = self._meter.cost(self._recorder.seconds)
        return Figures.of(now, str(cost) if cost else None)

    def _drive(self) -> None:
        began = time.perf_counter()
        try:
            self._summary = self._work()
        except BaseException as error:  # noqa: BLE001 (raised again by result)
            self._error = error
            self.events.publish(Failed(error))
        else:
            seconds = time.perf_counter() - began
            self.events.publish(Finished(seconds, self._billed(seconds), self.record))
        finally:
            self._recorder.close()
            self._telemetry.close(self.figures, self._recorder.sample())
            self._ended.set()

    def _billed(self, seconds: float) -> Bill | None:
        """Return what the run cost; what keeps that from being known is told, and is no failure."""
        try:
            self._bill = self._reckoned(seconds)
        except Exception as error:  # noqa: BLE001 (the store is complete, whatever it cost)
            self.events.publish(Notice(f"what the run cost is not known: {error}"))
        return self._bill

    def _reckoned(self, seconds: float) -> Bill | None:
        from .advisor.bill import bill
        from .advisor.work import Work

        done = self._progress.snapshot()
        rows = done.rows_done - done.rows_before
        if not rows:
            return None
        work = Work(rows, done.text_bytes / rows, format=self._format)
        return bill(work if self._is_default else None, seconds, self._elsewhere)

    def _work(self) -> Summary:
        """Let the driver work, and say in the user's words that nobody answers it any more."""
        from distributed.comm.core import CommClosedError

        try:
            return self._driver.work()
        except CommClosedError as error:  # whatever it asked of the scheduler just then
            raise RunFailed(f"the cluster went away ({error}); submit again to go on") from error
