"""`Timeline`: how far a run had come, and what it held, moment by moment; kept in its store.

Whoever shows a run draws from one: the notebook, dask's dashboard while it goes on, the report.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, fields

from ..targets.target import Target
from .keys import timeline_key

MOST_SAMPLES = 600
"""Beyond them every second one goes, so that a week's timeline is no longer than an hour's."""

WINDOW_SECONDS = 5.0
"""Over which a rate is taken: texts come a shard at a time."""


@dataclass(frozen=True)
class Sample:
    """A run at a moment. What nobody has told by then is None."""

    seconds: float  # since the work was cut up
    rows_done: int  # in the store: what an earlier run has done, and what was set aside, included
    text_bytes: int  # computed by this run
    quarantined: int  # rows that this run has set aside
    retries: int  # tasks that had to be begun again
    micro_batch: int | None = None  # texts that a block is given at once
    memory: int | None = None  # bytes that all workers hold
    spilled: int | None = None  # bytes that they have put on disk
    cpu: float | None = None  # cores that they keep busy
    threads: int | None = None  # of all workers
    device: float | None = None  # share of the time in which their devices compute
    device_memory: int | None = None  # bytes of the devices' memory that are taken


class Timeline:
    """Samples of a run, in order.

    Examples
    --------
    >>> line = Timeline([Sample(0, 0, 0, 0, 0), Sample(2, 100, 5000, 0, 0)])
    >>> line.rates("rows_done")
    [0.0, 50.0]
    >>> Timeline.from_json(line.to_json()) == line
    True
    """

    def __init__(self, samples: Iterable[Sample] = ()) -> None:
        self.samples = list(samples)
        self._every, self._passed = 1, 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timeline) and self.samples == other.samples

    __hash__ = None  # type: ignore[assignment]  # it grows

    def add(self, sample: Sample) -> None:
        """Append a sample, if its turn has come."""
        self._passed += 1
        if self._passed % self._every:
            return
        self.samples.append(sample)
        if len(self.samples) > MOST_SAMPLES:
            self.samples = self.samples[::2]
            self._every *= 2

    def close(self, sample: Sample) -> None:
        """Append the last sample, whatever its turn."""
        self.samples.append(sample)

    def column(self, name: str) -> list[float | None]:
        """Return one figure of every sample."""
        return [getattr(sample, name) for sample in self.samples]

    def rates(self, name: str, window: float = WINDOW_SECONDS) -> list[float]:
        """Return, for every sample, how much a figure grew a second over the seconds before it."""
        times = [sample.seconds for sample in self.samples]
        values = [getattr(sample, name) or 0 for sample in self.samples]
        found = []
        for at, now in enumerate(times):
            first = min(bisect_left(times, now - window), max(at - 1, 0))
            passed = now - times[first]
            found.append((values[at] - values[first]) / passed if passed > 0 else 0.0)
        return found

    def to_json(self) -> bytes:
        """Encode it: a list a figure."""
        columns = {one.name: self.column(one.name) for one in fields(Sample)}
        return json.dumps(columns).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Timeline:
        """Decode what `to_json` wrote."""
        columns = json.loads(data)
        rows = zip(*columns.values(), strict=True)
        return cls(Sample(**dict(zip(columns, row, strict=True))) for row in rows)


def read_timeline(target: Target, run: int) -> Timeline | None:
    """Return the timeline of a store's run, or None where there is none that can be read."""
    try:
        return Timeline.from_json(target.get(timeline_key(run)) or b"")
    except (ValueError, TypeError, AttributeError):
        return None
