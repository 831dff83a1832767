"""`Run`: the handle on a run that is in progress or has ended.

`submit` creates it; what the run does is in `driver`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...graphs.fusion import is_default
from ...storage.errors import PaniniError, RunFailed
from ...storage.store.history import RunRecord, Sample, Summary, Timeline
from ..cluster.location import cluster_location, remote_location
from ..costs.meter import Meter
from ..monitoring.dashboard.link import DashboardLink
from ..monitoring.dashboard.telemetry import Telemetry
from ..monitoring.environment import models_of
from ..monitoring.events import Finished, Notice
from ..monitoring.figures import Figures
from ..monitoring.progress import Progress
from ..monitoring.recorder import Recorder
from ..staged.part_files import STAGED_FORMAT
from .background.active import CLOSED, going, is_closed
from .background.in_background import Background
from .driver import Driver
from .spec import RunSpec
from .target_leases import Leases

if TYPE_CHECKING:
    from ..costs.bill import Bill


class Run(Background[Summary]):
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
        super().__init__(spec.client, spec.target.url)
        self._targets = spec.targets
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
        self._begin()

    def cancel(self) -> None:
        """Stop the run, and keep all finished shards; submitting again resumes it."""
        self.cancelled = True
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

    def _succeeded(self, seconds: float) -> None:
        self.events.publish(Finished(seconds, self._billed(seconds), self.record))

    def _close(self) -> None:
        self._recorder.close()
        self._telemetry.close(self.figures, self._recorder.sample())

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


def running() -> list[Background[Any]]:
    """Return the runs and climbs of this process that have not ended yet, the oldest first.

    Examples
    --------
    >>> running()
    []
    """
    return [one for one in going() if isinstance(one, Background)]
