"""`CollectFigures`: everything that displays show of a collection in progress.

`CollectProgress.snapshot` makes it. To show another figure, declare a field here, and measure it
there. The figures of runs are in `figures`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dask.utils import format_bytes

from ...rendering.quantities import duration
from ..figure_declaration import FigureHolder, Metric, Words, figure
from .host_activity import HostActivity

SHOWN_HOSTS = 3
"""Maximum number of hosts that are named in words."""


@dataclass(frozen=True, kw_only=True)
class CollectSample:
    """The state of a collection at one moment."""

    seconds: float  # of this session
    decided: int  # items, also by earlier sessions
    received_bytes: int  # by this session


def _items(now: CollectFigures) -> str:
    return now.counted


def _rate(now: CollectFigures) -> str:
    return f"{now.items_per_second:,.3g} items/s, {format_bytes(round(now.bytes_per_second))}/s"


def _time_left(now: CollectFigures) -> str | None:
    if now.state != "collecting":
        return None
    return "unknown" if now.seconds_left is None else duration(now.seconds_left)


def _hosts(now: CollectFigures) -> str | None:
    if not now.host_count:
        return None
    busiest = sorted(now.hosts, key=lambda one: (-one.requests, one.host))[:SHOWN_HOSTS]
    each = [
        f"{one.host} {one.requests:,} requests, {format_bytes(one.received_bytes)}"
        for one in busiest
    ]
    more = now.host_count - len(busiest)
    return "; ".join(each) + (f"; {more:,} more" if more else "")


def _errors(now: CollectFigures) -> str | None:
    seen = [f"{one.host}: {one.last_error}" for one in now.hosts if one.last_error]
    return "; ".join(seen[:SHOWN_HOSTS]) or None


@dataclass(frozen=True, kw_only=True)
class CollectFigures(FigureHolder):
    """The figures of a collection at one moment. Unknown figures are None."""

    state: str  # "collecting", "finished", "limited", "stopped" or "failed"
    reason: str = figure(  # why it was limited, stopped or failed
        default="", words=Words("reason", lambda now: now.reason or None)
    )
    total: int | None = figure(  # items that the source says it has, or has listed in all
        default=None, metric=Metric("items_expected", "Items that the source has in all")
    )
    listed: int = figure(  # items, also by earlier sessions; likewise those below
        default=0, metric=Metric("items_listed", "Items listed by the source", counter=True)
    )
    kept: int = figure(
        default=0,
        words=Words("items", _items),
        metric=Metric("items_kept", "Items that became rows", counter=True),
    )
    skipped: int = figure(
        default=0, metric=Metric("items_skipped", "Items that were skipped", counter=True)
    )
    failed: int = figure(
        default=0, metric=Metric("items_failed", "Items that have failed", counter=True)
    )
    decided_before: int = 0  # items that earlier sessions decided
    reasons: Mapping[str, int] = field(default_factory=dict)  # items not kept, by reason
    rows_committed: int = figure(
        default=0, metric=Metric("rows_committed", "Rows in committed parts", counter=True)
    )
    bytes_committed: int = figure(
        default=0, metric=Metric("committed_bytes", "Bytes of committed parts", counter=True)
    )
    received_bytes: int = figure(
        default=0, metric=Metric("received_bytes", "Bytes received by this session", counter=True)
    )
    items_per_second: float = figure(  # over the last half minute
        default=0.0,
        words=Words("rate", _rate),
        metric=Metric("items_per_second", "Items decided per second, over half a minute"),
    )
    bytes_per_second: float = figure(
        default=0.0,
        metric=Metric("received_bytes_per_second", "Bytes received per second, likewise"),
    )
    waiting: str = figure(  # for whom, in words; empty if hosts are not waited for
        default="", words=Words("waiting for", lambda now: now.waiting or None)
    )
    host_count: int = figure(
        default=0,
        words=Words("hosts", _hosts),
        metric=Metric("hosts", "Hosts that were asked by this session"),
    )
    hosts: tuple[HostActivity, ...] = figure(  # the busiest, and those that wait
        default=(), words=Words("last errors", _errors)
    )
    share: float | None = figure(  # 0 to 1, of the items or of a limit; None if unknown
        default=None, metric=Metric("done_ratio", "Share of the items, or of a limit, 0 to 1")
    )
    seconds_left: float | None = figure(
        default=None,
        words=Words("time left", _time_left),
        metric=Metric("left_seconds", "Seconds until the end, at the present rate"),
    )
    elapsed: float = figure(  # seconds of this session
        default=0.0,
        words=Words("time", lambda now: duration(now.elapsed)),
        metric=Metric("elapsed_seconds", "Seconds of this session"),
    )

    @property
    def decided(self) -> int:
        """Items that were kept, skipped or have failed."""
        return self.kept + self.skipped + self.failed

    @property
    def pending(self) -> int:
        """Items that were listed and are not decided."""
        return max(0, self.listed - self.decided)

    @property
    def counted(self) -> str:
        """The items in words.

        >>> CollectFigures(state="collecting", listed=9, total=40, kept=5, failed=1).counted
        '6 of 40 items: 5 kept, 1 failed'
        """
        of = "" if self.total is None else f" of {self.total:,}"
        items = "item" if self.decided == 1 and self.total is None else "items"
        return f"{self.decided:,}{of} {items}{': ' if self.decided else ''}{self.outcomes}"

    @property
    def outcomes(self) -> str:
        """Numbers of items that were kept, skipped or have failed, in words."""
        parts = [
            f"{count:,} {name}"
            for name, count in (
                ("kept", self.kept),
                ("skipped", self.skipped),
                ("failed", self.failed),
            )
            if count
        ]
        return ", ".join(parts)

    def line(self) -> str:
        """Return the figures in one line.

        >>> CollectFigures(state="stopped", reason="Ctrl-C", listed=9, kept=5).line()
        'stopped, 5 items: 5 kept: Ctrl-C'
        """
        if self.state != "collecting":
            return f"{self.state}, {self.counted}{': ' if self.reason else ''}{self.reason}"
        waits = f", waiting for {self.waiting}" if self.waiting else ""
        rate = f", {_rate(self)}" if self.decided > self.decided_before else ""
        return f"{self.state}, {self.counted}{rate}{waits}"

    def sample(self) -> CollectSample:
        """Return the figures that the series of samples keeps."""
        return CollectSample(
            seconds=self.elapsed, decided=self.decided, received_bytes=self.received_bytes
        )
