"""`Trials`: real runs over excerpts of a corpus, into a store that is removed again.

Everything is as in a run over the whole: the workers, the place where results land. But the
dashboard is not told: a rehearsal makes some ten, and the runs that are looked at would be lost
among them. What is made of the figures is the business of `rehearse`.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ...graphs.graph import Graph
from ...graphs.kernels import NUMERIC_VERSION
from ...storage.corpus.corpus import Corpus
from ...storage.corpus.partition import Sharding
from ...storage.corpus.survey import Survey
from ...storage.errors import PaniniError, UsageError
from ...storage.filesystems.filesystem import LOCAL, filesystem_of, protocols_of
from ...storage.store.history import Sample
from ...storage.store.lifecycle import Summary
from ...storage.store.manifest import facts_of
from ...storage.store.quarantine import first_quarantined
from ...storage.targets.open import open_target
from ...storage.targets.target import Target
from ..cluster.location import elsewhere
from ..monitoring.dashboard.link import DashboardLink
from ..monitoring.dashboard.telemetry import Telemetry
from ..monitoring.events import ShardDone
from ..monitoring.figures import Figures
from ..run.driver import Order
from ..run.handle import Run
from ..run.leases import acquire
from .sample_index import Excerpt, Part, work_of

if TYPE_CHECKING:
    from distributed import Client

_REASONS = 5
_STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Trial:
    """What a run over an excerpt took."""

    seconds: float  # from the submission to the end
    work: float  # of the thread that had most to do; see `excerpt.work_of`
    summary: Summary
    shards: tuple[ShardDone, ...]
    sizes: Mapping[str, int]  # bytes of the store's objects, by key
    reasons: tuple[str, ...]  # why rows were set aside: the first of them

    @property
    def block_seconds(self) -> dict[str, float]:
        """Seconds by block, added up over threads."""
        spent: dict[str, float] = {}
        for shard in self.shards:
            for name, seconds in shard.seconds.items():
                if name not in ("read", "write"):
                    spent[name] = spent.get(name, 0.0) + seconds
        return spent


class Trials:
    """Makes trials of a graph over a corpus, on a cluster.

    Parameters
    ----------
    surveyed : Survey
        Of the whole corpus.
    scratch : Target
        Where the store of a trial is; `scratch_beside` makes such places.
    """

    def __init__(
        self,
        graph: Graph,
        corpus: Corpus,
        surveyed: Survey,
        scratch: Target,
        client: Client,
        backend: str,
    ) -> None:
        self._graph, self._corpus, self._surveyed = graph, corpus, surveyed
        self._scratch, self._client, self._backend = scratch, client, backend

    def run(self, part: Part) -> Trial:
        """Run the graph over some rows.

        Raises
        ------
        PaniniError
            As the whole run would.
        """
        corpus = replace(self._corpus)
        excerpt = Excerpt.of(self._surveyed, part)
        corpus.__dict__["index"] = excerpt  # its cached property: as if this had been counted
        self._scratch.delete(self._scratch.sizes())  # of the trial before
        began = time.perf_counter()
        leases = acquire([self._scratch])
        run = Run(self._order(corpus, part.shard_rows), leases, DashboardLink(""), Untold)
        try:
            summary = run.result()
        except BaseException:
            _stop(run)
            raise
        seconds = time.perf_counter() - began
        shards: list[ShardDone] = []
        run.events.subscribe(lambda event: _gather(event, shards))
        reasons, _ = first_quarantined(self._scratch, _REASONS)
        sizes = self._scratch.sizes()
        work = work_of(excerpt, part.shard_rows, sum(self._client.nthreads().values()))
        return Trial(seconds, work, summary, tuple(shards), sizes, tuple(map(str, reasons)))

    def _order(self, corpus: Corpus, shard_rows: int) -> Order:
        """Return what `submit` would order, had it been asked for a run into the scratch store."""
        return Order(
            self._graph,
            corpus,
            self._scratch,
            None,
            facts_of(corpus, self._graph.describe(), NUMERIC_VERSION),
            self._client,
            self._backend,
            Sharding(shard_rows),
            raise_on_error=False,
            existing="resume",
            micro_batch=None,
            priority=0,
        )


class Untold(Telemetry):
    """Keeps a run's figures off the dashboard."""

    def __init__(self, *_: object) -> None:
        pass

    def send(self, figures: Figures, sample: Sample) -> None:
        """Tell nobody."""

    def close(self, figures: Figures, sample: Sample) -> None:
        """Tell nobody."""


def _gather(event: object, shards: list[ShardDone]) -> None:
    if isinstance(event, ShardDone):
        shards.append(event)


def _stop(run: Run) -> None:
    """End a run whose store is about to go."""
    run.cancel()
    with suppress(PaniniError, TimeoutError):
        run.result(timeout=_STOP_SECONDS)


@contextmanager
def scratch_beside(
    results: str | os.PathLike[str] | Target | None,
    options: Mapping[str, Any] | None,
    client: Client,
) -> Iterator[Target]:
    """Give a place on the same disk or in the same bucket as results; it is emptied at the end.

    Raises
    ------
    UsageError
        No results are named, and the workers may not see this machine's temporary folder.
    """
    if results is None:
        if elsewhere(client) is not None:
            raise UsageError(
                "the cluster is not of this machine, so say where the results are to be (results=)"
            )
        with TemporaryDirectory(prefix="paninifs-sample-") as folder:
            yield open_target(Path(folder) / "sample.zarr")
        return
    if isinstance(results, str | os.PathLike):
        url = os.fspath(results)
    else:
        url, options = results.url, results.storage_options
    target = open_target(_beside(url, options), options)
    try:
        yield target
    finally:
        target.delete(target.sizes())


def _beside(url: str, options: Mapping[str, Any] | None) -> str:
    """Return a name of nothing yet: in the folder of results, or the first above it that is."""
    own = f"paninifs-sample-{uuid.uuid4().hex[:12]}.zarr"
    fs, path = filesystem_of(url, options)
    if protocols_of(fs) & LOCAL:
        return str(next(above for above in Path(path).parents if above.is_dir()) / own)
    return f"{url.rstrip('/').rpartition('/')[0]}/{own}"
