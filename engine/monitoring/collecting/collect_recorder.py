"""`CollectRecorder`: follows a collection, samples its figures, and publishes them for displays.

A collection may wait for minutes without any event, so a thread polls its progress; the collector
itself publishes only notices.
"""

from __future__ import annotations

import logging
import threading
from types import TracebackType

from ....storage.store.history import Series
from ..collect_progress import CollectProgress
from ..events import Collected, EventStream, Failed, Finished, Notice
from .collect_figures import CollectFigures, CollectSample

EVERY_SECONDS = 0.5
"""Seconds between polls of the progress."""

_log = logging.getLogger(__name__)


class CollectRecorder:
    """Records the figures of a collection over time, within a ``with`` block.

    Parameters
    ----------
    progress : CollectProgress
        Filled in by the collector, which also reports the end there.
    source, corpus : str
        A name, and a path or URL without secrets.

    Attributes
    ----------
    events : EventStream
        `Collected` about twice per second, notices, and the end.

    Examples
    --------
    >>> progress = CollectProgress()
    >>> with CollectRecorder(progress, source="arxiv", corpus="corpus") as recorder:
    ...     progress.decided("kept")
    ...     progress.finished()
    >>> recorder.figures.line()
    'finished, 1 item: 1 kept'
    """

    def __init__(self, progress: CollectProgress, *, source: str, corpus: str) -> None:
        self.source, self.corpus = source, corpus
        self.events = EventStream()
        self._progress = progress
        self._series: Series[CollectSample] = Series()
        self._lock = threading.Lock()  # between the polling thread and readers
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="paninifs-collect", daemon=True)

    @property
    def figures(self) -> CollectFigures:
        """The current figures."""
        return self._progress.snapshot()

    @property
    def series(self) -> Series[CollectSample]:
        """The samples so far."""
        with self._lock:
            return Series(self._series.samples)

    def note(self, text: str) -> None:
        """Publish a message for the user."""
        self.events.publish(Notice(text))

    def __enter__(self) -> CollectRecorder:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        if error is not None and self.figures.state == "collecting":
            stopped = isinstance(error, KeyboardInterrupt)
            self._progress.finished("stopped" if stopped else "failed", type(error).__name__)
        figures = self.figures
        with self._lock:
            self._series.close(figures.sample())
        self.events.publish(Finished(figures.elapsed) if error is None else Failed(error))

    def _watch(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            try:
                figures = self.figures
                with self._lock:
                    self._series.add(figures.sample())
                self.events.publish(Collected(figures))
            except Exception:  # noqa: BLE001 (a display must not end the collection)
                _log.debug("a collection's figures could not be shown", exc_info=True)
