"""`Climb`: the handle on a climb that is in progress or has ended, and `Summit`, its result.

`climb` creates it; what the climb does is in `climb_driver`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from ...storage.errors import PaniniError, ResultsNotFound, RunFailed
from ...storage.store.history import Series
from ...storage.store.leases.lease import Lease
from ..monitoring.climb_figures import ClimbFigures, ClimbSample
from ..monitoring.climb_progress import ClimbProgress
from ..monitoring.climb_recorder import ClimbRecorder
from ..monitoring.dashboard.link import DashboardLink
from ..monitoring.dashboard.telemetry import Telemetry
from ..monitoring.events import Finished
from ..rendering.html import table
from ..rendering.quantities import duration
from ..run.background.active import CLOSED, is_closed
from ..run.background.in_background import Background
from .climb_driver import Driver
from .climb_spec import ClimbSpec
from .history.open_climb import is_written
from .proposers.proposer import NO_CANDIDATE

if TYPE_CHECKING:
    from .pages.climb_report import ClimbReport


@dataclass(frozen=True, kw_only=True)
class Summit:
    """The best state of a climb.

    Attributes
    ----------
    score : float
    state : ndarray or dict of ndarray
        For a `Product` space an array for each component.
    candidate : int
        Its number.
    evaluations, failed : int
        Candidates that were evaluated, and those of them that have no score.
    seconds : float
        Seconds that the climb took, in all of its sessions.
    results, name : str
        The store, and the climb's name in it; see `open_climb`.
    judgement : tuple of (str, str)
        What the objective says about the state, in words.
    """

    score: float
    state: npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]]
    candidate: int
    evaluations: int
    failed: int
    seconds: float
    results: str
    name: str
    judgement: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        said = "".join(f"\n  {heading}: {words}" for heading, words in self.judgement)
        failed = f", {self.failed:,} failed" if self.failed else ""
        return (
            f"<Summit of {self.name!r}: {self.score:.6g}, candidate {self.candidate:,} of "
            f"{self.evaluations:,}{failed}{said}>"
        )

    def _repr_html_(self) -> str:
        failed = f", {self.failed:,} of them failed" if self.failed else ""
        rows = [
            ("climb", f"{self.name} in {self.results}"),
            ("best score", f"{self.score:.6g}, candidate {self.candidate:,}"),
            ("evaluations", f"{self.evaluations:,}{failed}, in {duration(self.seconds)}"),
            *self.judgement,
            ("page", f"pf.climb_report({self.results!r}, {self.name!r})"),
        ]
        return table(rows)

    def to_json(self) -> dict[str, Any]:
        """Return the summit as JSON."""
        parts = self.state if isinstance(self.state, Mapping) else {"state": self.state}
        return {
            "score": self.score,
            "state": {name: values.tolist() for name, values in parts.items()},
            "candidate": self.candidate,
            "evaluations": self.evaluations,
            "failed": self.failed,
            "seconds": round(self.seconds, 3),
            "results": self.results,
            "name": self.name,
            "judgement": dict(self.judgement),
        }


class Climb(Background[Summit]):
    """A climb that is in progress or has ended. Created by `climb`.

    Attributes
    ----------
    events : EventStream
        The events of the climb, as they happen.
    results : str
        URL of the store.
    name : str
        Name of the climb in the store.
    cancelled : bool
        Whether `cancel` was called.
    """

    noun = "climb"
    again = "Climb again to go on"

    def __init__(self, spec: ClimbSpec, results: str, lease: Lease, link: DashboardLink) -> None:
        super().__init__(spec.client, results)
        self.name = spec.name
        self._spec, self._link = spec, link
        self._driver = Driver(spec, lease, self.events)
        self._telemetry = Telemetry(spec.client, self._driver.topic, spec.target.url, kind="climb")
        self._recorder = ClimbRecorder(self._driver.progress, report=self._telemetry.send)
        self.events.subscribe(self._recorder.listen)
        self._begin()

    @property
    def target_url(self) -> str:
        """URL of the climb's own folder."""
        return self._spec.target.url

    def cancel(self) -> None:
        """Stop the climb, and keep its history; climbing again goes on."""
        self.cancelled = True
        self._driver.cancel()

    def abandon(self) -> None:
        """Release the lease of a climb that was cancelled and has not stopped within a while."""
        self._driver.abandon()

    def page(self, out: str | PathLike[str] | None = None) -> ClimbReport:
        """Write a page about what is in the history so far; see `climb_report`.

        Parameters
        ----------
        out : str or path, optional
            By default ``NAME.html`` in the current folder.

        Raises
        ------
        ResultsNotFound
            Nothing is written yet.
        UsageError
            `out` cannot be written to.
        """
        from .pages.climb_report import written_report

        target = self._spec.target
        if not is_written(target):
            raise ResultsNotFound(
                f"nothing of the climb {self.name!r} is written yet; wait a moment"
            )
        return written_report(self.results, {self.name: target}, out or f"{self.name}.html")

    def status(self) -> ClimbProgress:
        """Return the current progress."""
        return self._recorder.progress

    @property
    def figures(self) -> ClimbFigures:
        """The figures that displays show: those of `status`, and the load of the workers."""
        return self._recorder.figures

    @property
    def timeline(self) -> Series[ClimbSample]:
        """The figures over time, of this session."""
        return self._recorder.series

    @property
    def dashboard_link(self) -> str:
        """URL of dask's dashboard, for a browser such as the one that shows this notebook."""
        return self._link.url

    def __repr__(self) -> str:
        return f"<Climb {self.name!r} in {self.results}: {self.status().line()}>"

    def _repr_html_(self) -> str:
        from ..monitoring.display.climb_card import climb_card

        return climb_card(self.figures, self.timeline, self._spec.target.url, self._link)

    def _ipython_display_(self) -> None:
        """Show the climb's card as the value of a cell, and keep it up to date until its end."""
        from ..monitoring.display import display

        display(self.events, self._repr_html_, repr(self), live=not self.done)

    def _work(self) -> Summit:
        """Run the driver; translate the loss of the cluster into the user's terms."""
        from distributed.client import ClosedClientError
        from distributed.comm.core import CommClosedError

        try:
            self._driver.work()
        except PaniniError:
            raise
        except Exception as error:  # whatever a request to the scheduler raises
            if is_closed(self._client):
                raise RunFailed(CLOSED) from None
            if isinstance(error, CommClosedError | ClosedClientError):
                raise RunFailed(f"the cluster went away ({error}); climb again to go on") from error
            raise
        return self._summit()

    def _summit(self) -> Summit:
        best, now = self._driver.search.best, self._driver.progress
        if best.number == NO_CANDIDATE:
            raise RunFailed("no candidate has a score; a larger budget may find one")
        parts = self._spec.evaluator.space.columns(best.state[None])
        single = set(parts) == {"state"}
        return Summit(
            score=best.score,
            state=parts["state"][0] if single else {name: one[0] for name, one in parts.items()},
            candidate=best.number,
            evaluations=now.evaluations,
            failed=now.failed,
            seconds=now.elapsed,
            results=self.results,
            name=self.name,
            judgement=self._driver.judgement,
        )

    def _succeeded(self, seconds: float) -> None:
        self.events.publish(Finished(seconds))

    def _close(self) -> None:
        figures = self.figures
        self._telemetry.close(figures, figures.sample())
