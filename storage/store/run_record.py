"""`RunRecord`: what a finished run tells of itself; the store's manifest keeps one for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class RunRecord:
    """Where a run was, what it took, and how fast it was. None: nobody knows."""

    began: str  # ISO 8601, UTC
    seconds: float  # from the submission until every shard was done
    rows: int  # that it has done, those that it set aside included
    rows_before: int  # that earlier runs had done
    quarantined: int  # rows that it set aside
    text_bytes: int  # that it has computed
    backend: str
    cluster: str  # in words
    workers: int
    threads: int  # of all workers together
    machine: str  # of the client, and of the workers of a local cluster: in words
    platform: str  # in words: "Colab", ...
    versions: Mapping[str, str]  # of packages, and of Python
    block_seconds: Mapping[str, float]  # of all threads together: by block, "read" and "write"
    retries: int  # tasks that had to be begun again
    peak_memory: int | None = None  # bytes: the most that all workers held together
    memory_limit: int | None = None  # bytes that all workers may hold together
    spilled: int | None = None  # bytes: the most that lay on disk
    cpu_busy: float | None = None  # share of the workers' threads, on average, 0 to 1
    device_busy: float | None = None  # share of the time, on average, 0 to 1
    bound: str | None = None  # what the rest waited for, in words
    limit_texts_per_second: float | None = None  # if nothing but the kernels took any time
    limit_basis: str | None = None  # where that figure is from: "calibrated", "scaled", ...
    cost: str | None = None  # in words
    units: float | None = None  # compute units
    usd: float | None = None  # US dollars
    notes: tuple[str, ...] = field(default=())  # what the user was told meanwhile

    @property
    def texts_per_second(self) -> float:
        """Texts that the run has done a second, from its submission on."""
        return self.rows / self.seconds if self.seconds else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> RunRecord:
        """Return what `to_json` made, without figures that another version of the engine has.

        >>> record = RunRecord(
        ...     "2026-01-01T00:00:00+00:00", 2.0, 10, 0, 0, 50, "cpu", "", 1, 1, "", "", {}, {}, 0
        ... )
        >>> RunRecord.from_json({**record.to_json(), "of another version": 1}) == record
        True
        """
        known = {name: document[name] for name in cls.__dataclass_fields__ if name in document}
        return cls(**known | {"notes": tuple(known.get("notes", ()))})
