"""`ClimbRecorder`: follows a climb, and samples its figures for live displays.

All numbers come from the climb's events. `recorder` does the same for a run, and more: a climb's
own history is kept by `climbing.history`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from ...storage.errors import RunCancelled
from ...storage.store.history import Series
from .climb_figures import ClimbFigures, ClimbSample
from .climb_progress import ClimbProgress
from .events import Climbed, Event, Failed, Finished, LoadSampled
from .load import Load
from .progress import reason_of
from .recorder import EVERY_SECONDS

_log = logging.getLogger(__name__)


class ClimbRecorder:
    """A climb's progress as it is now, and samples of it.

    Parameters
    ----------
    progress : ClimbProgress
        What is known before the first event.
    report : callable
        Called with the figures and their sample, about twice per second.

    Examples
    --------
    >>> from paninifs.engine.monitoring.climb_progress import ClimbProgress
    >>> recorder = ClimbRecorder(ClimbProgress(), report=lambda figures, sample: None)
    >>> recorder.listen(Climbed(ClimbProgress(evaluations=64, best=0.5)))
    >>> recorder.listen(Finished(seconds=1.0))
    >>> recorder.progress.state, recorder.figures.best
    ('finished', 0.5)
    """

    def __init__(
        self, progress: ClimbProgress, report: Callable[[ClimbFigures, ClimbSample], None]
    ) -> None:
        self._known, self._report = progress, report
        self._heard = time.perf_counter()
        self._load: Load | None = None
        self._series: Series[ClimbSample] = Series()
        self._sampled = float("-inf")
        self._lock = threading.Lock()  # between the climb's threads and those that look

    def listen(self, event: Event) -> None:
        """Take an event into account."""
        with self._lock:
            match event:
                case Climbed() | Finished() | Failed():
                    self._known = _after(self._known, event)
                    self._heard = time.perf_counter()
                case LoadSampled():
                    self._load = event.load
                case _:
                    return
        if isinstance(event, Finished | Failed):
            self._series.close(self.figures.sample())
        # A batch may take minutes, in which only the load is sampled.
        elif time.perf_counter() - self._sampled >= EVERY_SECONDS:
            self._sample()

    @property
    def progress(self) -> ClimbProgress:
        """The progress, up to this moment."""
        with self._lock:
            if self._known.state != "running":
                return self._known
            since = time.perf_counter() - self._heard
            return replace(self._known, elapsed=self._known.elapsed + since)

    @property
    def figures(self) -> ClimbFigures:
        """The figures that displays show."""
        return ClimbFigures.of(self.progress, self._load)

    @property
    def series(self) -> Series[ClimbSample]:
        """The samples so far."""
        with self._lock:
            return Series(self._series.samples)

    def _sample(self) -> None:
        self._sampled = time.perf_counter()
        figures = self.figures
        sample = figures.sample()
        with self._lock:
            self._series.add(sample)
        try:
            self._report(figures, sample)
        except Exception:  # noqa: BLE001 (a display must not break the climb)
            _log.debug("a climb's figures could not be reported", exc_info=True)


def _after(known: ClimbProgress, event: Climbed | Finished | Failed) -> ClimbProgress:
    if isinstance(event, Climbed):
        return event.progress
    if isinstance(event, Finished):
        return replace(known, state="finished")
    stopped = isinstance(event.error, RunCancelled)
    return replace(known, state="stopped" if stopped else "failed", reason=reason_of(event.error))
