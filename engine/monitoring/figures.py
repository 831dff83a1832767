"""`Figures`: what is shown of a run while it goes on, wherever it is shown.

Made where the run's client is, sent to dask's scheduler, drawn by the notebook, the dashboard and
Prometheus: so all of them say the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

from dask.utils import format_bytes

from ..rendering.quantities import duration
from .load import Load

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from .progress import Progress

T = TypeVar("T", bound="DataclassInstance")


def known(kind: type[T], message: Mapping[str, Any]) -> T:
    """Return what was sent, without figures that only another version of the engine has."""
    names = {one.name for one in fields(kind)}
    return kind(**{name: value for name, value in message.items() if name in names})


@dataclass(frozen=True)
class Figures:
    """A run at a moment. What nobody has told by then is None."""

    state: str  # see `Progress`
    rows: int
    rows_done: int  # by this run and earlier ones
    rows_before: int  # by earlier ones
    shards: int
    shards_done: int
    quarantined: int  # rows that this run has set aside
    text_bytes: int  # that this run has computed
    retries: int  # tasks that had to be begun again
    elapsed: float  # seconds since the work was cut up
    texts_per_second: float  # of this run, on average
    bytes_per_second: float  # likewise
    seconds_left: float | None
    block_seconds: Mapping[str, float]  # of all threads: by block, "read" and "write"
    micro_batch: tuple[int, int] | None = None  # texts, and bytes of them, that a block is given
    load: Load | None = None
    cost: str | None = None  # so far, in words

    @classmethod
    def of(cls, now: Progress, cost: str | None = None) -> Figures:
        """Return the figures of a run's progress."""
        return cls(
            now.state,
            now.rows,
            now.rows_done,
            now.rows_before,
            now.shards,
            now.shards_done,
            now.quarantined,
            now.text_bytes,
            now.retries,
            now.elapsed,
            now.texts_per_second,
            now.bytes_per_second,
            now.seconds_left,
            dict(now.seconds),
            now.micro_batch,
            now.load,
            cost,
        )

    def to_message(self) -> dict[str, Any]:
        """Return it as what can be sent."""
        return asdict(self)

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> Figures:
        """Return what `to_message` made."""
        load = message["load"] and known(Load, message["load"])
        batch = message["micro_batch"] and tuple(message["micro_batch"])
        return known(cls, {**message, "load": load, "micro_batch": batch})

    @property
    def micro_batch_texts(self) -> int | None:
        """Texts that a block is given at once at most."""
        return self.micro_batch[0] if self.micro_batch else None

    @property
    def share(self) -> float:
        """Of the texts that are done, 0 to 1.

        >>> from .progress import Progress
        >>> Figures.of(Progress(rows=8, rows_done=2)).share
        0.25
        """
        return self.rows_done / self.rows if self.rows else 0.0

    def in_words(self) -> Iterator[tuple[str, str]]:
        """Yield what each figure is called, and itself, for people."""
        done = f"{self.rows_done:,} of {self.rows:,} ({100 * self.share:.0f} %)"
        before = f", {self.rows_before:,} of them earlier" if self.rows_before else ""
        yield "texts", done + before
        if self.state == "running":
            left = self.seconds_left
            yield "time left", "not known yet" if left is None else duration(left)
        yield "time", duration(self.elapsed)
        yield (
            "rate",
            f"{self.texts_per_second:,.0f} texts/s, {format_bytes(int(self.bytes_per_second))}/s",
        )
        if self.micro_batch:
            texts, nbytes = self.micro_batch
            yield "micro-batch", f"{texts:,} texts, or {format_bytes(nbytes)}"
        if self.load:
            yield from self._load_in_words(self.load)
        yield "tasks begun again", f"{self.retries:,}"
        yield "set aside", f"{self.quarantined:,}"
        yield "cost so far", self.cost or "no price is known"

    def _load_in_words(self, load: Load) -> Iterator[tuple[str, str]]:
        of = f" of {format_bytes(load.memory_limit)}" if load.memory_limit else ""
        workers = "1 worker" if load.workers == 1 else f"{load.workers:,} workers"
        yield "processor", f"{load.cpu:.1f} of {load.threads:,} threads, {workers}"
        yield "memory", f"{format_bytes(load.memory)}{of}"
        yield "spilled to disk", format_bytes(load.spilled)
        if load.device is not None:
            taken = f"{format_bytes(load.device_memory or 0)}"
            total = f" of {format_bytes(load.device_memory_total or 0)}"
            yield "device", f"{100 * load.device:.0f} % busy, {taken}{total} taken"
