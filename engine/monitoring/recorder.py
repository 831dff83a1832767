"""`Recorder`: follows a run as it goes, and says at its end what there is to remember of it.

Numbers come from the run's events alone; whoever shows it live is told of every sample.
"""

from __future__ import annotations

import logging
import platform
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from ... import __version__
from ...storage.store.history import RunRecord, Sample, Timeline
from .bottleneck import bound_by
from .events import Event, Failed, Finished, Notice, Planned
from .progress import Progress

if TYPE_CHECKING:
    from ..costs.meter import Meter

_log = logging.getLogger(__name__)

EVERY_SECONDS = 0.5
MOST_NOTES = 100
SOON = 2.0
"""Seconds until what workers have told of their processor is of the run, and not of before."""
_PACKAGES = ("dask", "distributed", "numpy", "pyarrow", "zarr", "numba", "cupy", "cudf")


class Recorder:
    """A run's timeline and, at its end, its record.

    Attributes
    ----------
    record : RunRecord or None
        None until `finished`.

    Parameters
    ----------
    progress : Progress
        Folds the run's events.
    backend, cluster : str
        Where it computes, by name and in words.
    meter : Meter
        Says what so many seconds, and texts, come to on the machine at hand.
    tell : callable
        Is told of every sample.
    """

    def __init__(
        self,
        progress: Progress,
        backend: str,
        cluster: str,
        meter: Meter,
        tell: Callable[[Progress, Sample], None],
    ) -> None:
        self._line = Timeline()
        self.record: RunRecord | None = None
        self._progress, self._meter, self._tell = progress, meter, tell
        self._backend, self._cluster = backend, cluster
        self._notes: list[str] = []
        self._submitted, self._began = time.perf_counter(), datetime.now(UTC)
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._record, name="paninifs-record", daemon=True)

    def listen(self, event: Event) -> None:
        """Begin with the plan, and end with the run."""
        match event:
            case Notice() if len(self._notes) < MOST_NOTES:
                self._notes.append(event.text)
            case Planned():
                self._thread.start()
            case Finished() | Failed():
                self._ended.set()

    @property
    def seconds(self) -> float:
        """Seconds since the submission."""
        return time.perf_counter() - self._submitted

    def finished(self) -> tuple[RunRecord, Timeline] | None:
        """Return what there is to remember, now that every shard is done.

        None where the run had nothing to do.
        """
        now, seconds = self._progress.snapshot(), self.seconds
        rows = now.rows_done - now.rows_before
        if not rows:
            return None
        with self._lock:
            self._line.close(self._sample(now))
        line = self.timeline
        cpu, threads, device = (_mean(line, name) for name in ("cpu", "threads", "device"))
        known = cpu is not None and threads and now.elapsed >= SOON
        busy = min(1.0, (cpu or 0.0) / (threads or 1.0)) if known else None
        limit, cost = self._meter.limit(rows, now.text_bytes), self._meter.cost(seconds)
        self.record = RunRecord(
            began=self._began.isoformat(timespec="seconds"),
            seconds=seconds,
            rows=rows,
            rows_before=now.rows_before,
            quarantined=now.quarantined,
            text_bytes=now.text_bytes,
            backend=self._backend,
            cluster=self._cluster,
            workers=now.load.workers if now.load else 0,
            threads=now.load.threads if now.load else 0,
            machine=self._meter.machine,
            platform=self._meter.platform,
            versions=_versions(),
            block_seconds=now.seconds,
            retries=now.retries,
            peak_memory=_most(line, "memory"),
            memory_limit=now.load.memory_limit if now.load else None,
            spilled=_most(line, "spilled"),
            cpu_busy=busy,
            device_busy=device,
            bound=bound_by(now.seconds, (threads or 0) * now.elapsed, device),
            limit_texts_per_second=limit.texts_per_second if limit else None,
            limit_basis=limit.basis if limit else None,
            cost=str(cost) if cost else None,
            units=cost.units if cost else None,
            usd=cost.usd if cost else None,
            notes=tuple(self._notes),  # a worker that comes and goes for weeks makes many
        )
        return self.record, line

    @property
    def timeline(self) -> Timeline:
        """How far the run had come, moment by moment, up to now."""
        with self._lock:
            return Timeline(self._line.samples)

    def sample(self) -> Sample:
        """Return where the run is now."""
        return self._sample(self._progress.snapshot())

    def close(self) -> None:
        """Take no more samples."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _record(self) -> None:
        while not self._ended.wait(EVERY_SECONDS):
            now = self._progress.snapshot()
            sample = self._sample(now)
            with self._lock:
                self._line.add(sample)
            try:
                self._tell(now, sample)
            except Exception:  # noqa: BLE001 (who watches must not break the run)
                _log.debug("a run's figures could not be told", exc_info=True)

    def _sample(self, now: Progress) -> Sample:
        told = Sample(
            seconds=round(now.elapsed, 3),
            rows_done=now.rows_done,
            text_bytes=now.text_bytes,
            quarantined=now.quarantined,
            retries=now.retries,
            micro_batch=now.micro_batch[0] if now.micro_batch else None,
        )
        if now.load is None:
            return told
        load = now.load
        told = replace(
            told,
            memory=load.memory,
            spilled=load.spilled,
            cpu=round(load.cpu, 3),
            threads=load.threads,
        )
        if self._backend == "cpu":  # a worker tells of a device also where it computes elsewhere
            return told
        return replace(told, device=load.device, device_memory=load.device_memory)


def _mean(line: Timeline, name: str) -> float | None:
    known = [value for value in line.column(name) if value is not None]
    return sum(known) / len(known) if known else None


def _most(line: Timeline, name: str) -> int | None:
    return max((int(value) for value in line.column(name) if value is not None), default=None)


def _versions() -> dict[str, str]:
    found = {"paninifs": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
