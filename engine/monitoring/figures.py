"""`Figures`: everything that displays show of a run in progress; `climb_figures` has a climb's.

It is made on the client from `Progress` and sent to dask's scheduler. The notebook's card, the
dashboard's tab and Prometheus all show it, so they agree. To show another figure, declare a field
here and measure it in `progress`; a figure of the workers is declared and measured in `load`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from dask.utils import format_bytes

from ...storage.store.history import Sample
from ..rendering.palette import BLUE, PURPLE
from ..rendering.quantities import duration
from .figure_declaration import Chart, FigureHolder, Line, Metric, Words, figure, from_fields
from .load import Load

if TYPE_CHECKING:
    from .progress import Progress


def _texts(now: Figures) -> str:
    computed = f"{now.rows_computed:,} of {now.rows:,} ({100 * now.share:.0f} %)"
    earlier = f", {now.rows_before:,} of them earlier" if now.rows_before else ""
    return (
        computed + earlier + (f", {now.rows_unwritten:,} unwritten" if now.rows_unwritten else "")
    )


def _time_left(now: Figures) -> str | None:
    if now.state != "running":
        return None
    return "not known yet" if now.seconds_left is None else duration(now.seconds_left)


def _rate(now: Figures) -> str:
    return f"{now.texts_per_second:,.0f} texts/s, {format_bytes(int(now.bytes_per_second))}/s"


def _micro_batch(now: Figures) -> str | None:
    if now.micro_batch is None:
        return None
    texts, nbytes = now.micro_batch
    return f"{texts:,} texts, or {format_bytes(nbytes)}"


@dataclass(frozen=True, kw_only=True)
class Figures(FigureHolder):
    """The figures of a run at one moment. A figure that is not known yet is None."""

    state: str  # see `Progress`
    reason: str | None = figure(  # why the run failed or was stopped
        default=None, words=Words("reason", lambda now: now.reason)
    )
    rows: int = figure(metric=Metric("texts", "Texts of the corpus"))
    rows_done: int = figure(  # by this run and earlier runs
        words=Words("texts", _texts),
        metric=Metric("texts_done", "Texts done, including earlier runs", counter=True),
        column="rows_done",
    )
    rows_unwritten: int = figure(  # in shards that are not done
        default=0,
        metric=Metric("texts_unwritten", "Texts computed, in shards that are not done"),
    )
    rows_before: int  # done by earlier runs
    shards: int = figure(metric=Metric("shards", "Shards of the store"))
    shards_done: int = figure(
        metric=Metric("shards_done", "Shards done, including earlier runs", counter=True)
    )
    seconds_left: float | None = figure(
        words=Words("time left", _time_left),
        metric=Metric("left_seconds", "Seconds until the run ends, at this rate"),
    )
    elapsed: float = figure(  # seconds since the run was planned
        words=Words("time", lambda now: duration(now.elapsed)),
        metric=Metric("elapsed_seconds", "Seconds since the run was planned"),
        column="seconds",
        digits=3,
    )
    texts_per_second: float = figure(  # of this run, on average
        words=Words("rate", _rate),
        metric=Metric("texts_per_second", "Texts per second, on average"),
        line=Line(Chart.TEXTS, "texts/s", BLUE, column="rows_done", rate=True),
    )
    bytes_per_second: float = figure(  # of this run, on average
        metric=Metric("text_bytes_per_second", "Bytes of text per second, on average"),
        line=Line(Chart.BYTES, "bytes/s", BLUE, column="text_bytes", rate=True),
    )
    text_bytes: int = figure(  # computed by this run
        metric=Metric("text_bytes", "Bytes of text that the run has computed", counter=True),
        column="text_bytes",
    )
    micro_batch: tuple[int, int] | None = figure(  # most texts, and bytes of text, per kernel call
        default=None,
        words=Words("micro-batch", _micro_batch),
        number=lambda batch: batch[0],
        metric=Metric("micro_batch_texts", "Maximum number of texts per call of a block"),
        column="micro_batch",
        line=Line(Chart.MICRO_BATCH, "micro_batch", PURPLE, column="micro_batch"),
    )
    load: Load | None = figure(default=None, holder=Load)  # noqa: RUF009 (it makes a field)
    retries: int = figure(  # tasks that were restarted
        words=Words("tasks restarted", lambda now: f"{now.retries:,}"),
        metric=Metric("tasks_begun_again", "Tasks that were restarted", counter=True),
        column="retries",
    )
    quarantined: int = figure(  # rows, by this run
        words=Words("quarantined", lambda now: f"{now.quarantined:,}"),
        metric=Metric("texts_quarantined", "Texts that the run has quarantined", counter=True),
        column="quarantined",
    )
    cost: str | None = figure(  # so far, in words
        default=None,
        words=Words("cost so far", lambda now: now.cost or "no price is known"),
    )
    block_seconds: Mapping[str, float]  # of all threads: by block, "read" and "write"

    @classmethod
    def of(cls, now: Progress, cost: str | None = None) -> Figures:
        """Return the figures of a run's progress."""
        names = [one.name for one in fields(cls) if one.name not in ("cost", "block_seconds")]
        measured = {name: getattr(now, name) for name in names}
        return cls(**measured, block_seconds=dict(now.seconds), cost=cost)

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> Figures:
        """Decode what `to_message` made."""
        load = message["load"] and from_fields(Load, message["load"])
        batch = message["micro_batch"] and tuple(message["micro_batch"])
        return from_fields(cls, {**message, "load": load, "micro_batch": batch})

    def sample(self) -> Sample:
        """Return the figures that the timeline keeps."""
        return Sample(**self.columns())

    @property
    def share(self) -> float:
        """Share of the texts that are computed, 0 to 1.

        >>> from .progress import Progress
        >>> Figures.of(Progress(rows=8, rows_done=2)).share
        0.25
        """
        return self.rows_computed / self.rows if self.rows else 0.0

    @property
    def rows_computed(self) -> int:
        """Texts that are done or unwritten."""
        return self.rows_done + self.rows_unwritten
