"""How the benchmarks time, and what they write: contenders in turn, medians, the machine."""

from __future__ import annotations

import datetime as dt
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np

PACKAGES = (
    "dask",
    "distributed",
    "duckdb",
    "llvmlite",
    "numba",
    "numpy",
    "polars",
    "polars-hash",
    "pyarrow",
    "zarr",
)


@dataclass
class Table:
    """One measurement: a row a contender, numbers by column."""

    name: str
    note: str
    rows: list[dict[str, Any]] = field(default_factory=list)

    def markdown(self) -> str:
        columns = list(dict.fromkeys(key for row in self.rows for key in row))
        lines = [f"### {self.name}", "", self.note, ""] if self.note else [f"### {self.name}", ""]
        lines += ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
        for row in self.rows:
            lines.append("| " + " | ".join(_text(row.get(key, "")) for key in columns) + " |")
        return "\n".join(lines) + "\n"


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


@dataclass(frozen=True)
class Spread:
    """Seconds of several rounds."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def rate(self, count: float) -> dict[str, Any]:
        """Return the median and the range of a count per second."""
        rates = sorted(count / one for one in self.seconds)
        return {
            "per second": float(count / self.median),
            "range": f"{_text(float(rates[0]))} to {_text(float(rates[-1]))}",
        }


def in_turn(contenders: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, Spread]:
    """Time every contender once a round, so that a slow spell of the machine meets all of them."""
    for contender in contenders.values():
        contender()  # warm
    seen: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            began = time.perf_counter()
            contender()
            seen[name].append(time.perf_counter() - began)
    return {name: Spread(tuple(seconds)) for name, seconds in seen.items()}


def clock_ghz() -> float:
    """Cycles a nanosecond, by a chain of multiplications whose latency is known: 4 cycles a turn.

    The processor's nominal clock says little on a shared machine.
    """
    import numba

    @numba.njit(nogil=True)
    def dependent_multiplications(count: int) -> int:
        value = np.uint64(1)
        for i in range(count):
            value = value * value + np.uint64(i)  # 3 cycles and 1, each waiting for the one before
        return value

    count = 20_000_000
    dependent_multiplications(10)
    best = min(_seconds(lambda: dependent_multiplications(count)) for _ in range(5))
    return 4 * count / best / 1e9


def _seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    import llvmlite.binding

    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "cpu": llvmlite.binding.get_host_cpu_name(),
        "cores": os.cpu_count(),
        "clock, measured (GHz)": round(clock_ghz(), 2),
        "python": platform.python_version(),
        "system": platform.system(),
        **{name: version(name) for name in PACKAGES},
    }


def as_json(facts: Mapping[str, Any], tables: list[Table]) -> dict[str, Any]:
    return {"machine": dict(facts), "tables": [asdict(table) for table in tables]}
