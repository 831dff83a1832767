"""`Run`: the handle on a run that is in progress or has ended.

`submit` creates it; what the run does is in `driver`.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from ...graphs.fusion import is_default
from ...storage.errors import RunFailed, UsageError
from ...storage.store.history import RunRecord, Sample, Summary, Timeline
from ..cluster.location import cluster_location, remote_location
from ..costs.meter import Meter
from ..monitoring.dashboard.link import DashboardLink
from ..monitoring.dashboard.telemetry import Telemetry
from ..monitoring.events import EventStream, Failed, Finished, Notice
from ..monitoring.figures import Figures
from ..monitoring.progress import Progress
from ..monitoring.recorder import Recorder
from .driver import Driver
from .spec import RunSpec
from .target_leases import Leases

if TYPE_CHECKING:
    from ..costs.bill import Bill

_going: list[Run] = []
"""Every run of this process that has not ended yet."""

_CANCEL_SECONDS = 10.0
"""Seconds to wait for a cancelled run to leave its store to the next one."""


def running() -> list[Run]:
    """Return the runs of this process that have not ended, the oldest first.

    For a run whose handle is lost, such as that of ``submit(...).result()`` in a notebook whose
    cell was interrupted: ``paninifs.running()[-1].cancel()``.

    Examples
    --------
    >>> running()
    []
    """
    return [run for run in _going if not run.done]


def await_cancelled(url: str) -> None:
    """Wait for the end of the runs into a store that were cancelled in this process."""
    for run in running():
        if run.results == url and run._cancelled:
            run._ended.wait(_CANCEL_SECONDS)


class Run:
    """A run that is in progress or has ended. Created by `submit`.

    Attributes
    ----------
    events : EventStream
        The events of the run, as they happen; listen with `EventStream.subscribe`.
    results : str
        URL of the store.
    """

    def __init__(
        self,
        spec: RunSpec,
        leases: Leases,
        link: DashboardLink,
        telemetry: type[Telemetry] = Telemetry,
    ) -> None:
        self.events = EventStream()
        self.results = spec.target.url
        self._targets = spec.targets
        self._link = link
        largest = max(spec.corpus.files, key=lambda file: file.size)
        self._format, self._is_default = largest.format, is_default(spec.graph)
        self._bill: Bill | None = None
        self._progress = Progress()
        self._remote = remote_location(spec.client)
        self._meter = Meter(self._remote, is_default=self._is_default)
        self._recorder = Recorder(
            self._progress,
            backend=spec.backend,
            cluster=cluster_location(spec.client),
            meter=self._meter,
            report=self._send_figures,
        )
        self._driver = Driver(spec, leases, self.events, self._recorder)
        self._telemetry = telemetry(spec.client, self._driver.topic, self.results)
        self.events.subscribe(self._progress.listen)
        self.events.subscribe(self._recorder.listen)
        self._summary: Summary | None = None
        self._error: BaseException | None = None
        # Not joined: Python considers a thread ended if Ctrl-C interrupts the join.
        self._ended = threading.Event()
        self._cancelled = False
        _going.append(self)
        threading.Thread(target=self._drive, name="paninifs-run", daemon=True).start()

    def result(self, timeout: float | None = None) -> Summary:
        """Wait until the store is complete; return its summary.

        Raises
        ------
        TimeoutError
            `timeout` seconds have passed; the run continues.
        PaniniError
            The run did not finish; the error says why. Submitting again resumes it where it
            stopped.
        """
        if timeout is not None and not 0 <= timeout <= threading.TIMEOUT_MAX:
            raise UsageError(f"timeout must be a non-negative number of seconds, not {timeout!r}")
        if not self._ended.wait(timeout):
            raise TimeoutError(f"the run has not finished after {timeout} s")
        if self._error is not None:
            raise self._error
        assert self._summary is not None  # the thread ends with one or the other
        return self._summary

    def cancel(self) -> None:
        """Stop the run, and keep all finished shards; submitting again resumes it."""
        self._cancelled = True
        self._driver.cancel()

    def abandon(self) -> None:
        """Release the store of a run that was cancelled and has not stopped within a while.

        Only for a process that ends next, so that another one can go on at once.
        """
        self._driver.abandon()

    def release_runtime(self) -> None:
        """Wait for the end, then give the Colab runtime back if the results outlive it.

        They do if the store or its mirror is complete, and is behind a URL or on a mounted Drive.
        A Drive is flushed and unmounted first. An idle runtime keeps using compute units.

        Raises
        ------
        UsageError
            This is not a Colab runtime; or the results would be lost with the runtime, so it is
            kept. The message says why, and what to do.
        """
        from .colab import release

        release(self.result, self._targets)

    def status(self) -> Progress:
        """Return the current progress."""
        return self._progress.snapshot()

    @property
    def figures(self) -> Figures:
        """The figures that displays show: those of `status`, and the cost so far."""
        return self._figures(self._progress.snapshot())

    @property
    def timeline(self) -> Timeline:
        """The progress over time, from when the work was planned."""
        return self._recorder.timeline

    @property
    def record(self) -> RunRecord | None:
        """The record kept in the store: how busy the machine was, what limited the run, its cost.

        None until every shard is done; also None if there was nothing to do.
        """
        return self._recorder.record

    @property
    def done(self) -> bool:
        """Whether the run has ended, successfully or not."""
        return self._ended.is_set()

    @property
    def bill(self) -> Bill | None:
        """What the run cost, and what it would have cost elsewhere; None until it ends."""
        return self._bill

    @property
    def dashboard_link(self) -> str:
        """URL of dask's dashboard, for a browser such as the one that shows this notebook."""
        return self._link.url

    def __repr__(self) -> str:
        return f"<Run {self.results}: {self._progress.snapshot().line()}>"

    def _repr_html_(self) -> str:
        from ..monitoring.display.card import card

        return card(self.figures, self.timeline, self.results, self._link)

    def _send_figures(self, now: Progress, sample: Sample) -> None:
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
            try:
                self._recorder.close()
                self._telemetry.close(self.figures, self._recorder.sample())
            finally:
                self._ended.set()
                _going.remove(self)

    def _billed(self, seconds: float) -> Bill | None:
        """Return what the run cost; if that cannot be computed, publish why."""
        try:
            self._bill = self._bill_for(seconds)
        except Exception as error:  # noqa: BLE001 (the store is complete, whatever it cost)
            self.events.publish(Notice(f"the cost of the run is not known: {error}"))
        return self._bill

    def _bill_for(self, seconds: float) -> Bill | None:
        from ..costs.bill import bill
        from ..costs.work import Work

        done = self._progress.snapshot()
        rows = done.rows_done - done.rows_before
        if not rows:
            return None
        work = Work(rows, done.text_bytes / rows, format=self._format)
        return bill(work if self._is_default else None, seconds, self._remote)

    def _work(self) -> Summary:
        """Run the driver; translate the loss of the cluster into the user's terms."""
        from distributed.comm.core import CommClosedError

        try:
            return self._driver.work()
        except CommClosedError as error:  # from any request to the scheduler
            raise RunFailed(f"the cluster went away ({error}); submit again to resume") from error
