"""`Recorder`: follows a run, and makes the timeline and the record that its store keeps.

All numbers come from the run's events; each sample is passed on to live displays. The figures are
declared in `figures`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ...storage.store.history import RunRecord, Sample, Timeline
from .bottleneck import bound_by
from .environment import versions
from .events import Event, Failed, Finished, Notice, Planned
from .figures import Figures
from .progress import Progress

if TYPE_CHECKING:
    from ..costs.meter import Meter

_log = logging.getLogger(__name__)

EVERY_SECONDS = 0.5
"""Seconds between samples."""

MOST_NOTES = 100
"""Maximum number of notices kept: a worker that comes and goes for weeks causes many."""

SETTLING_SECONDS = 2.0
"""Seconds until the workers' processor figures describe the run, not the time before it."""


class Recorder:
    """A run's timeline and, at its end, its record.

    Attributes
    ----------
    record : RunRecord or None
        None until `finished` is called.

    Parameters
    ----------
    progress : Progress
        Counts the run's events.
    backend, cluster : str
        The name of the backend, and the cluster in words.
    meter : Meter
        Computes the cost of the run, and the speed limit of its machine.
    report : callable
        Called with every sample.
    models : mapping, optional
        See `models_of`.
    """

    def __init__(
        self,
        progress: Progress,
        *,
        backend: str,
        cluster: str,
        meter: Meter,
        report: Callable[[Progress, Sample], None],
        models: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self._line = Timeline()
        self.record: RunRecord | None = None
        self._progress, self._meter, self._report = progress, meter, report
        self._backend, self._cluster = backend, cluster
        self._models = dict(models or {})
        self._notes: list[str] = []
        self._submitted, self._began = time.perf_counter(), datetime.now(UTC)
        self._ended, self._started = threading.Event(), False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._follow, name="paninifs-record", daemon=True)

    def listen(self, event: Event) -> None:
        """Start sampling when the run is planned, stop when it ends, and keep its notices."""
        match event:
            case Notice() if len(self._notes) < MOST_NOTES:
                self._notes.append(event.text)
            case Planned() if not self._started:
                self._started = True
                self._thread.start()
            case Finished() | Failed():
                self._ended.set()

    @property
    def rows_done(self) -> int:
        """Texts done so far, by this run and earlier ones."""
        return self._progress.rows_done

    @property
    def seconds(self) -> float:
        """Seconds since the submission."""
        return time.perf_counter() - self._submitted

    def finished(self) -> tuple[RunRecord, Timeline] | None:
        """Return the record and the timeline to store, now that every shard is done.

        None if the run had nothing to do.
        """
        now, seconds = self._progress.snapshot(), self.seconds
        if not now.rows_by_run:
            return None
        with self._lock:
            self._line.close(self._sample(now))
        line = self.timeline
        self.record = self._recorded(now, seconds, line)
        return self.record, line

    def _recorded(self, now: Progress, seconds: float, line: Timeline) -> RunRecord:
        rows = now.rows_by_run
        cpu, threads, device = (_mean(line, name) for name in ("cpu", "threads", "device"))
        known = cpu is not None and threads and now.elapsed >= SETTLING_SECONDS
        cpu_busy = min(1.0, (cpu or 0.0) / (threads or 1.0)) if known else None
        limit, cost = self._meter.limit(rows, now.text_bytes), self._meter.cost(seconds)
        return RunRecord(
            began=self._began.isoformat(timespec="seconds"),
            seconds=seconds,
            rows=rows,
            rows_before=now.of_first_stage[0],
            rows_of_first=now.of_first_stage[1] if now.later else None,
            stages=now.later,
            quarantined=now.quarantined,
            text_bytes=now.text_bytes,
            backend=self._backend,
            cluster=self._cluster,
            workers=now.load.workers if now.load else 0,
            threads=now.load.threads if now.load else 0,
            machine=self._meter.machine,
            platform=self._meter.platform,
            versions=versions(),
            models=self._models,
            block_seconds=now.seconds,
            retries=now.retries,
            peak_memory=_peak(line, "memory"),
            memory_limit=now.load.memory_limit if now.load else None,
            spilled=_peak(line, "spilled"),
            cpu_busy=cpu_busy,
            device_busy=device,
            bound=bound_by(now.seconds, (threads or 0) * now.elapsed, device, cpu_busy),
            limit_texts_per_second=limit.texts_per_second if limit else None,
            limit_basis=limit.basis if limit else None,
            cost=str(cost) if cost else None,
            units=cost.units if cost else None,
            usd=cost.usd if cost else None,
            notes=tuple(self._notes),
        )

    @property
    def timeline(self) -> Timeline:
        """The samples so far."""
        with self._lock:
            return Timeline(self._line.samples)

    def sample(self) -> Sample:
        """Return a sample of the run as it is now."""
        return self._sample(self._progress.snapshot())

    def close(self) -> None:
        """Stop sampling."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _follow(self) -> None:
        while not self._ended.wait(EVERY_SECONDS):
            now = self._progress.snapshot()
            sample = self._sample(now)
            with self._lock:
                self._line.add(sample)
            try:
                self._report(now, sample)
            except Exception:  # noqa: BLE001 (a display must not break the run)
                _log.debug("a run's figures could not be reported", exc_info=True)

    def _sample(self, now: Progress) -> Sample:
        sample = Figures.of(now).sample()
        if self._backend == "cpu":  # a worker reports a device even if it computes elsewhere
            return replace(sample, device=None, device_memory=None)
        return sample


def _mean(line: Timeline, name: str) -> float | None:
    known = [value for value in line.column(name) if value is not None]
    return sum(known) / len(known) if known else None


def _peak(line: Timeline, name: str) -> int | None:
    return max((int(value) for value in line.column(name) if value is not None), default=None)
