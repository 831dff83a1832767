"""The history of a store: a `RunRecord` and a `Timeline` of each run, and a `Summary`.

Records and the summary are kept in the `manifest`, timelines in objects of their own. Nothing is
measured here: `engine.monitoring` fills these in during a run, and the notebook, dask's dashboard
and the report display them.
"""

from __future__ import annotations

import html
import json
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Generic, Protocol, TypeVar

from ..cleaning.normal_forms import NormalForms
from ..targets.target import Target
from .keys import timeline_key

MOST_SAMPLES = 600
"""Maximum number of samples in a series. Beyond it, every second one is dropped, so that the
series of a week is no longer than that of an hour."""

WINDOW_SECONDS = 5.0
"""Seconds over which rates are averaged, because texts are reported one whole shard at a time."""


def _table(rows: Mapping[str, Any]) -> str:
    """Return a table for notebooks; values that are empty or zero have no row."""
    lines = (
        f'<tr><th scope="row" style="text-align:left">{name}</th>'
        f'<td style="text-align:left">{html.escape(str(value))}</td></tr>'
        for name, value in rows.items()
        if value
    )
    return f"<table>{''.join(lines)}</table>"


@dataclass(frozen=True, kw_only=True, repr=False)
class Summary:
    """The contents of a finished store, counted. ``rows == done + quarantined``."""

    results: str
    rows: int  # of the corpus
    done: int
    quarantined: int
    files_unread: int  # whose rows could not even be counted
    null_ids: int  # computed rows without an id
    repeated_ids: int  # computed rows whose id an earlier row has too
    shards: int
    text_bytes: int
    duplicates: int | None = None  # computed rows whose text came before; None: not requested
    not_nfc: int | None = None  # a row whose text NFC would change, if the run found one
    not_nfd: int | None = None
    ran: Mapping[str, int] = field(default_factory=dict)  # texts, by block with a condition
    missing: Mapping[str, int] = field(default_factory=dict)  # texts that a later stage failed for

    def to_json(self) -> dict[str, Any]:
        """Return the counts, without those that this store cannot have."""
        counts = asdict(self)
        del counts["results"]
        return {k: v for k, v in counts.items() if k not in ("ran", "missing") or v}

    def __repr__(self) -> str:
        shards = f"{self.shards:,} shard{'' if self.shards == 1 else 's'}"
        return (
            f"<Summary {self.results}: {self.done:,} of {self.rows:,} texts done, "
            f"{self.quarantined:,} quarantined, {shards}>"
        )

    def _repr_html_(self) -> str:
        """Return a table for notebooks; figures that are zero or not requested have no row."""
        rows = {
            "results": self.results,
            "texts done": f"{self.done:,} of {self.rows:,}, {self.text_bytes:,} bytes",
            "quarantined": self.quarantined and f"{self.quarantined:,}, see quarantine.parquet",
            "unreadable files": self.files_unread and f"{self.files_unread:,}",
            "missing ids": self.null_ids and f"{self.null_ids:,}",
            "repeated ids": self.repeated_ids and f"{self.repeated_ids:,}",
            "duplicate texts": self.duplicates and f"{self.duplicates:,}",
            **{f"{block} ran for": f"{texts:,} texts" for block, texts in self.ran.items()},
            **{f"{stage} lacks": f"{texts:,} texts" for stage, texts in self.missing.items()},
            "note": NormalForms(self.not_nfc, self.not_nfd).warning,
        }
        return _table(rows)


@dataclass(frozen=True, kw_only=True, repr=False)
class RunRecord:
    """Where a run took place, what it used, and how fast it was. None: unknown."""

    began: str  # ISO 8601, UTC
    seconds: float  # from the submission until every shard was done
    rows: int  # that this run has done, including those that it quarantined
    rows_before: int  # that earlier runs had done, in the first stage
    quarantined: int  # rows that this run quarantined
    text_bytes: int  # that this run has computed
    backend: str
    cluster: str  # in words
    workers: int
    threads: int  # of all workers together
    machine: str  # of the client, and of the workers of a local cluster: in words
    platform: str  # in words: "Colab", ...
    versions: Mapping[str, str]  # of packages, and of Python
    block_seconds: Mapping[str, float]  # by block, "read" and "write": the sum over all threads
    retries: int  # tasks that had to be started again
    peak_memory: int | None = None  # bytes: the maximum that all workers held together
    memory_limit: int | None = None  # bytes that all workers may hold together
    spilled: int | None = None  # bytes: the maximum that was on disk
    cpu_busy: float | None = None  # share of the workers' threads, on average, 0 to 1
    device_busy: float | None = None  # share of the time, on average, 0 to 1
    bound: str | None = None  # the bottleneck, in words
    limit_texts_per_second: float | None = None  # if only the kernels took any time
    limit_basis: str | None = None  # where that figure is from: "calibrated", "scaled", ...
    cost: str | None = None  # in words
    units: float | None = None  # compute units
    usd: float | None = None  # US dollars
    notes: tuple[str, ...] = field(default=())  # that the user was shown during the run
    rows_of_first: int | None = None  # of `rows`, those of the first stage; None: all
    stages: tuple[str, ...] = ()  # later stages that the run carried out
    # The folder and the device of every embedding model, by the digest of its files.
    models: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def texts_per_second(self) -> float:
        """Texts that the run has done per second, from its submission on."""
        return self.rows / self.seconds if self.seconds else 0.0

    def __repr__(self) -> str:
        return (
            f"<RunRecord {self.began}: {self.rows:,} texts in {self.seconds:.1f} s "
            f"on {self.backend}, {self.quarantined:,} quarantined>"
        )

    def _repr_html_(self) -> str:
        """Return a table for notebooks; figures that are zero or unknown have no row."""
        return _table(
            {
                "began": self.began,
                "texts": f"{self.rows:,} in {self.seconds:,.1f} s",
                "texts per second": f"{self.texts_per_second:,.0f}",
                "done earlier": self.rows_before and f"{self.rows_before:,}",
                "quarantined": self.quarantined and f"{self.quarantined:,}",
                "backend": self.backend,
                "cluster": self.cluster,
                "machine": self.machine,
                "platform": self.platform,
                "limited by": self.bound,
                "tasks restarted": self.retries and f"{self.retries:,}",
                "cost": self.cost,
                "notes": "; ".join(self.notes),
            }
        )

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> RunRecord:
        """Read what `to_json` wrote, ignoring figures that only other versions of the engine have.

        >>> record = RunRecord(
        ...     began="2026-01-01T00:00:00+00:00",
        ...     seconds=2.0,
        ...     rows=10,
        ...     rows_before=0,
        ...     quarantined=0,
        ...     text_bytes=50,
        ...     backend="cpu",
        ...     cluster="",
        ...     workers=1,
        ...     threads=1,
        ...     machine="",
        ...     platform="",
        ...     versions={},
        ...     block_seconds={},
        ...     retries=0,
        ... )
        >>> RunRecord.from_json({**record.to_json(), "of another version": 1}) == record
        True
        """
        known = {name: document[name] for name in cls.__dataclass_fields__ if name in document}
        lists = {name: tuple(known.get(name, ())) for name in ("notes", "stages")}
        return cls(**known | lists)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The state of a run at one moment. None: not reported by then."""

    seconds: float  # since the work was planned
    rows_done: int  # in the store, including those of earlier runs and quarantined ones
    text_bytes: int  # computed by this run
    quarantined: int  # rows that this run quarantined
    retries: int  # tasks that had to be started again
    micro_batch: int | None = None  # texts per call of a block
    memory: int | None = None  # bytes that all workers hold
    spilled: int | None = None  # bytes that they have on disk
    cpu: float | None = None  # cores that they keep busy
    threads: int | None = None  # of all workers
    device: float | None = None  # share of the time in which their devices compute
    device_memory: int | None = None  # bytes of the devices' memory in use


class Moment(Protocol):
    """A sample of figures: numbers by attribute, None if unknown."""

    @property
    def seconds(self) -> float:
        """When it was taken, since the work began."""


S = TypeVar("S", bound=Moment)


class Series(Generic[S]):
    """Samples of the same figures, in order.

    Attributes
    ----------
    samples : list
        At most `MOST_SAMPLES`, and the last one.
    """

    def __init__(self, samples: Iterable[S] = ()) -> None:
        self.samples = list(samples)
        self._every, self._offered = 1, 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Series) and self.samples == other.samples

    __hash__ = None  # type: ignore[assignment]  # it grows

    def add(self, sample: S) -> None:
        """Append a sample, unless the series is thinned out and skips this one."""
        self._offered += 1
        if self._offered % self._every:
            return
        self.samples.append(sample)
        if len(self.samples) > MOST_SAMPLES:
            self.samples = self.samples[::2]
            self._every *= 2

    def close(self, sample: S) -> None:
        """Append the last sample, which is never skipped."""
        self.samples.append(sample)

    def column(self, name: str) -> list[float | None]:
        """Return one figure of every sample."""
        return [getattr(sample, name) for sample in self.samples]

    def rates(self, name: str, window: float = WINDOW_SECONDS) -> list[float]:
        """Return a figure's growth per second before each sample, over `window` seconds."""
        times = [sample.seconds for sample in self.samples]
        values = [getattr(sample, name) or 0 for sample in self.samples]
        rates = []
        for at, now in enumerate(times):
            first = min(bisect_left(times, now - window), max(at - 1, 0))
            passed = now - times[first]
            rates.append((values[at] - values[first]) / passed if passed > 0 else 0.0)
        return rates


class Timeline(Series[Sample]):
    """Samples of a run, as its store keeps them.

    Examples
    --------
    >>> common = {"quarantined": 0, "retries": 0}
    >>> first = Sample(seconds=0, rows_done=0, text_bytes=0, **common)
    >>> line = Timeline([first, Sample(seconds=2, rows_done=100, text_bytes=5000, **common)])
    >>> line.rates("rows_done")
    [0.0, 50.0]
    >>> Timeline.from_json(line.to_json()) == line
    True
    """

    def to_json(self) -> bytes:
        """Encode the timeline: one list per figure."""
        columns = {figure.name: self.column(figure.name) for figure in fields(Sample)}
        return json.dumps(columns).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Timeline:
        """Decode what `to_json` wrote."""
        columns = json.loads(data)
        rows = zip(*columns.values(), strict=True)
        return cls(Sample(**dict(zip(columns, row, strict=True))) for row in rows)


def read_timeline(target: Target, run: int) -> Timeline | None:
    """Return the timeline of a store's run, or None if it is missing or cannot be read."""
    try:
        return Timeline.from_json(target.get(timeline_key(run)) or b"")
    except (ValueError, TypeError, AttributeError):
        return None
