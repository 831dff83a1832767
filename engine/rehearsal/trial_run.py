"""`TrialRunner`: real runs over samples of a corpus, into a store that is removed afterwards.

The workers and the kind of target are those of the run over the whole corpus. But trial runs are
not shown on the dashboard: a rehearsal makes about ten, and real runs would be hard to find among
them. The estimates are computed from the measurements in `rehearse` and `cost_model`.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...storage.corpus.survey import Survey
from ...storage.errors import PaniniError
from ...storage.filesystems.filesystem import LOCAL, filesystem_of, protocols_of
from ...storage.store.history import Summary
from ...storage.store.quarantine import first_quarantined
from ...storage.targets.open import open_target
from ...storage.targets.target import Target
from ..monitoring.dashboard.link import DashboardLink
from ..monitoring.dashboard.telemetry import Telemetry
from ..monitoring.events import ShardDone
from ..run.handle import Run
from ..run.spec import RunSpec
from ..run.target_leases import acquire
from .sample_index import SampleIndex, SampleRows, work_of

_REASONS = 5
"""Maximum number of reasons for quarantined rows that are kept."""

_STOP_SECONDS = 5.0
"""Seconds to wait for a failed trial run to stop."""


@dataclass(frozen=True, kw_only=True)
class TrialRun:
    """The time, work and results of a run over a sample."""

    seconds: float  # from the submission to the end
    work: float  # of the busiest thread; see `work_of`
    summary: Summary
    shards: tuple[ShardDone, ...]
    sizes: Mapping[str, int]  # bytes of the store's objects, by key
    reasons: tuple[str, ...]  # why rows were quarantined, for the first of them

    @property
    def block_seconds(self) -> dict[str, float]:
        """Seconds by block, summed over threads."""
        spent: dict[str, float] = {}
        for shard in self.shards:
            for name, seconds in shard.seconds.items():
                if name not in ("read", "write"):
                    spent[name] = spent.get(name, 0.0) + seconds
        return spent


class TrialRunner:
    """Makes trial runs, on the cluster of the real run.

    Parameters
    ----------
    spec : RunSpec
        The real run.
    surveyed : Survey
        Survey of the whole corpus.
    scratch : Target
        Target for the stores of trial runs; see `scratch_beside`.
    """

    def __init__(self, spec: RunSpec, surveyed: Survey, scratch: Target) -> None:
        self._spec, self._surveyed, self._scratch = spec, surveyed, scratch

    def run(self, rows: SampleRows) -> TrialRun:
        """Run the graph over some rows.

        Raises
        ------
        PaniniError
            For the same reasons as in the real run.
        """
        corpus = replace(self._spec.corpus)
        index = SampleIndex.of(self._surveyed, rows)
        corpus.__dict__["index"] = index  # overrides the cached property that counts the corpus
        self._scratch.delete(self._scratch.sizes())  # left by the previous trial run
        began = time.perf_counter()
        spec = RunSpec.of(
            self._spec.graph,
            corpus,
            self._scratch,
            client=self._spec.client,
            backend=self._spec.backend,
            shard_rows=rows.shard_rows,
        )
        run = Run(spec, acquire(spec.targets), DashboardLink(""), NoTelemetry)
        try:
            summary = run.result()
        except BaseException:
            _stop(run)
            raise
        seconds = time.perf_counter() - began
        shards: list[ShardDone] = []
        run.events.subscribe(lambda event: _gather(event, shards))
        reasons, _ = first_quarantined(self._scratch, _REASONS)
        return TrialRun(
            seconds=seconds,
            work=work_of(index, rows.shard_rows, sum(spec.client.nthreads().values())),
            summary=summary,
            shards=tuple(shards),
            sizes=self._scratch.sizes(),
            reasons=tuple(map(str, reasons)),
        )


class NoTelemetry(Telemetry):
    """Keeps a run's figures off the dashboard."""

    def __init__(self, *_: object) -> None:
        pass

    def send(self, figures: object, sample: object) -> None:
        """Send nothing."""

    def close(self, figures: object, sample: object) -> None:
        """Send nothing."""


def _gather(event: object, shards: list[ShardDone]) -> None:
    if isinstance(event, ShardDone):
        shards.append(event)


def _stop(run: Run) -> None:
    """End a run whose store is about to be removed."""
    run.cancel()
    with suppress(PaniniError, TimeoutError):
        run.result(timeout=_STOP_SECONDS)


@contextmanager
def scratch_beside(
    results: str | os.PathLike[str] | Target, options: Mapping[str, Any] | None = None
) -> Iterator[Target]:
    """Provide a target on the same disk or in the same bucket as the results; empty it at the end.

    Parameters
    ----------
    options : mapping, optional
        For fsspec, if `results` is a URL.
    """
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
    """Return an unused name in the folder of the results, or in its first existing parent."""
    own = f"paninifs-sample-{uuid.uuid4().hex[:12]}.zarr"
    fs, path = filesystem_of(url, options)
    if protocols_of(fs) & LOCAL:
        return str(next(above for above in Path(path).parents if above.is_dir()) / own)
    return f"{url.rstrip('/').rpartition('/')[0]}/{own}"
