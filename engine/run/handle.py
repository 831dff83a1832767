"""`Run`: the handle on a run that goes on, or has ended. `submit` makes it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from ...graphs.fusion import is_default
from ...storage.errors import RunFailed
from ...storage.store.history import Sample, Timeline
from ...storage.store.lifecycle import Summary
from ...storage.store.run_record import RunRecord
from ..cluster.location import elsewhere, place_of
from ..costs.meter import Meter
from ..monitoring.dashboard.link import DashboardLink
from ..monitoring.dashboard.telemetry import Telemetry
from ..monitoring.events import EventStream, Failed, Finished, Notice
from ..monitoring.figures import Figures
from ..monitoring.progress import Progress
from ..monitoring.recorder import Recorder
from .driver import Driver, Order
from .leases import Leases

if TYPE_CHECKING:
    from ..costs.bill import Bill


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
            self._progress,
            backend=order.backend,
            cluster=place_of(order.client),
            meter=self._meter,
            report=self._tell,
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
        from ..monitoring.display.card import card

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
        from ..costs.bill import bill
        from ..costs.work import Work

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
