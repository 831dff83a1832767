"""`Run`: the handle on a run that is in progress or has ended.

`submit` creates it; what the run does is in `driver`.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from ...graphs.fusion import is_default
from ...storage.errors import PaniniError, RunFailed, UsageError
from ...storage.store.history import RunRecord, Sample, Summary, Timeline
from ..cluster.location import cluster_location, remote_location
from ..costs.meter import Meter
from ..monitoring.dashboard.link import DashboardLink
from ..monitoring.dashboard.telemetry import Telemetry
from ..monitoring.environment import models_of
from ..monitoring.events import EventStream, Failed, Finished, Notice
from ..monitoring.figures import Figures
from ..monitoring.progress import Progress
from ..monitoring.recorder import Recorder
from ..staged.part_files import STAGED_FORMAT
from .active import CLOSED, began, ended, going, heard, is_closed, is_interactive
from .driver import Driver
from .spec import RunSpec
from .target_leases import Leases

if TYPE_CHECKING:
    from distributed import Client

    from ..costs.bill import Bill

WAKE_SECONDS = 0.5
"""Seconds after which a thread that waits for a run looks for signals."""


class Run:
    """A run that is in progress or has ended. Created by `submit`.

    Attributes
    ----------
    events : EventStream
        The events of the run, as they happen; listen with `EventStream.subscribe`.
    results : str
        URL of the store.
    cancelled : bool
        Whether `cancel` was called.
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
        self._client = spec.client
        self._link = link
        largest = max(spec.corpus.files, key=lambda file: file.size, default=None)
        is_file = largest is not None and not largest.in_frame
        self._format = largest.format if largest and is_file else STAGED_FORMAT
        self._is_default = is_default(spec.graph)
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
            models=models_of(spec.graph, here=self._remote is None),
        )
        self._driver = Driver(spec, leases, self.events, self._recorder)
        self._telemetry = telemetry(spec.client, self._driver.topic, self.results)
        self.events.subscribe(self._progress.listen)
        self.events.subscribe(self._recorder.listen)
        self.cancelled = False
        self._summary: Summary | None = None
        self._error: BaseException | None = None
        # Not joined: Python considers a thread ended if Ctrl-C interrupts the join.
        self._ended = threading.Event()
        began(self)
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
        KeyboardInterrupt
            Waiting was interrupted; the run continues, unless the program ends.
        """
        error = self.exception(timeout)
        if error is None:
            assert self._summary is not None  # the thread ends with one or the other
            return self._summary
        if isinstance(error, PaniniError):  # the frames of the run's thread say nothing more
            raise error.with_traceback(None)
        raise error

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait until the run has ended; return the error that `result` raises, or None.

        As of `concurrent.futures.Future`, except that a run that was cancelled returns its
        `RunCancelled`.

        Raises
        ------
        TimeoutError
            `timeout` seconds have passed; the run continues.
        """
        if timeout is not None and not 0 <= timeout <= threading.TIMEOUT_MAX:
            raise UsageError(f"timeout must be a non-negative number of seconds, not {timeout!r}")
        try:
            over = self.wait(timeout)
        except KeyboardInterrupt:
            if self.done or not is_interactive():
                raise
            raise KeyboardInterrupt(
                "only the waiting was interrupted: the run goes on in the background. "
                "run.cancel() stops it, run.result() waits for it again; pf.running() finds it"
            ) from None
        if not over:
            raise TimeoutError(f"the run has not finished after {timeout} s")
        heard(self)
        return self._error

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the run has ended, in whatever way; return False if it has not by then."""
        until = float("inf") if timeout is None else time.monotonic() + timeout
        # Python handles a Ctrl-C that another thread received only once this one runs again.
        while not self._ended.wait(min(WAKE_SECONDS, max(0.0, until - time.monotonic()))):
            if time.monotonic() >= until:
                return False
        return True

    def cancel(self) -> None:
        """Stop the run, and keep all finished shards; submitting again resumes it."""
        self.cancelled = True
        self._driver.cancel()

    def abandon(self) -> None:
        """Release the store of a run that was cancelled and has not stopped within a while.

        Only for a process that ends next, so that another one can go on at once.
        """
        self._driver.abandon()

    def is_on(self, client: Client) -> bool:
        """Return whether the run uses a client."""
        return self._client is client

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

    def _ipython_display_(self) -> None:
        """Show the run's card as the value of a cell, and keep it up to date until the run ends."""
        from ..monitoring.display import display

        display(self.events, self._repr_html_, repr(self), live=not self.done)

    def _send_figures(self, now: Progress, sample: Sample) -> None:
        self._telemetry.send(self._figures(now), sample)

    def _figures(self, now: Progress) -> Figures:
        cost = self._meter.cost(self._recorder.seconds)
        return Figures.of(now, str(cost) if cost else None)

    def _drive(self) -> None:
        began_at = time.perf_counter()
        try:
            self._summary = self._work()
        except BaseException as error:  # noqa: BLE001 (raised again by result)
            self._error = error
            self.events.publish(Failed(error))
        else:
            seconds = time.perf_counter() - began_at
            self.events.publish(Finished(seconds, self._billed(seconds), self.record))
        finally:
            try:
                self._recorder.close()
                self._telemetry.close(self.figures, self._recorder.sample())
            finally:
                ended(self, self._error)
                self._ended.set()

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
        rows = done.rows_by_run
        if not rows:
            return None
        work = Work(rows, done.text_bytes / rows, format=self._format)
        return bill(work if self._is_default else None, seconds, self._remote)

    def _work(self) -> Summary:
        """Run the driver; translate the loss of the cluster into the user's terms."""
        from distributed.client import ClosedClientError
        from distributed.comm.core import CommClosedError

        try:
            return self._driver.work()
        except PaniniError:
            raise
        except Exception as error:  # whatever a request to the scheduler raises
            if is_closed(self._client):
                raise RunFailed(CLOSED) from None
            if isinstance(error, CommClosedError | ClosedClientError):
                raise RunFailed(
                    f"the cluster went away ({error}); submit again to resume"
                ) from error
            raise


def running() -> list[Run]:
    """Return the runs of this process that have not ended yet, the oldest first.

    Examples
    --------
    >>> running()
    []
    """
    return [run for run in going() if isinstance(run, Run)]
