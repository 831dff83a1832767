"""What was predicted of an H200 before any kernel had run on a device, and where facts are found.

Made on 29 November 2026 by arithmetic, from the machine code and from runs with a device that costs
nothing. The predictions stay as they were when facts differ: that is what the page is for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Rows = Mapping[str, list[dict[str, Any]]]
"""Rows of the tables, by the tables' names."""

INFINITE = float("inf")


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A fact with the range in which it was expected; `find` returns it, or None if unknown."""

    fact: str
    low: float = -INFINITE
    high: float = INFINITE
    unit: str = ""
    find: Callable[[Rows], Any]
    exactly: str = ""  # for a fact that is a word

    @property
    def expected(self) -> str:
        """The expected range in words."""
        if self.exactly:
            return self.exactly
        if self.low == self.high:
            return _in_words(self.low, self.unit)
        if self.low == -INFINITE:
            return "unknown" if self.high == INFINITE else f"≤ {_in_words(self.high, self.unit)}"
        if self.high == INFINITE:
            return f"≥ {_in_words(self.low, self.unit)}"
        return f"{self.low:g} to {_in_words(self.high, self.unit)}"

    def compare(self, rows: Rows) -> tuple[str, str]:
        """Return what was measured, and how it compares, both in words."""
        found = self.find(rows)
        if found is None or found == "":
            return "", "not measured"
        if self.exactly:
            same = self.exactly in str(found)
            return str(found), "as predicted" if same else "**differs**"
        if self.low == -INFINITE and self.high == INFINITE:
            return _in_words(found, self.unit), "no prediction"
        verdict = "as predicted"
        if not self.low <= found <= self.high:
            verdict = "**lower**" if found < self.low else "**higher**"
        return _in_words(found, self.unit), verdict


def _in_words(value: float, unit: str) -> str:
    number = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{number} {unit}".rstrip()


def _value(table: str, column: str, **wanted: Any) -> Callable[[Rows], Any]:
    """Return what finds a column of the row that has all the wanted values."""

    def find(rows: Rows) -> Any:
        matching = [
            row
            for row in rows.get(table, [])
            if all(row.get(name) == value for name, value in wanted.items())
        ]
        return matching[0].get(column) if matching else None

    return find


def _scaled(find: Callable[[Rows], Any], factor: float) -> Callable[[Rows], Any]:
    def scaled(rows: Rows) -> Any:
        found = find(rows)
        return None if found in (None, "") else found * factor

    return scaled


def _sum(column: str, *tables: str) -> Callable[[Rows], Any]:
    """Return what adds up a column of tables, all of which must be there."""

    def find(rows: Rows) -> Any:
        found = [
            [row[column] for row in rows.get(t, []) if row.get(column, "") != ""] for t in tables
        ]
        return sum(map(sum, found)) if all(found) else None

    return find


def _of_runs(texts: str, most_threads: bool, backend: str, column: str) -> Callable[[Rows], Any]:
    """Return what finds a column of the run with one thread, or with the most."""

    def find(rows: Rows) -> Any:
        runs = [
            row for row in rows.get(RUNS, []) if (row["texts"], row["backend"]) == (texts, backend)
        ]
        ordered = sorted(runs, key=lambda row: row["threads"])
        if not ordered or (most_threads and len(ordered) < 2):
            return None
        return ordered[-1 if most_threads else 0].get(column)

    return find


def _gain(texts: str, most_threads: bool) -> Callable[[Rows], Any]:
    def find(rows: Rows) -> Any:
        rates = [_of_runs(texts, most_threads, one, "per second")(rows) for one in ("cuda", "cpu")]
        return rates[0] / rates[1] if all(rates) else None

    return find


RATES = {mean: f"GPU: texts of ~{mean} bytes, on the device" for mean in (100, 5000)}
OVERLAP = {mean: f"GPU: texts of ~{mean} bytes, host to host" for mean in (100, 5000)}
TESTS = "Tests on the device"
RUNS = "GPU: whole runs in one process"
CLUSTER = "GPU: LocalCUDACluster with RMM under CuPy"
LOST = "GPU: an illegal address in a user's kernel"
START, BUS, STAGING = "GPU: a worker's start", "GPU: bus", "GPU: staging"
CALLS, LONG, ROLLED = "GPU: small calls", "GPU: long texts", "GPU: first blocks by a loop"
COLD = "nothing compiled before"


def _bits() -> Iterator[Prediction]:
    none = {"low": 0, "high": 0}
    for column, expected in (("failed", none), ("passed", {"low": 77})):
        find = _value(TESTS, column, what="all")
        yield Prediction(fact=f"tests on the device: {column}", **expected, find=find)
    yield Prediction(
        fact="bits that differ: kernels", **none, find=_sum("bits that differ", *RATES.values())
    )
    find = _sum("objects that differ", RUNS)
    yield Prediction(fact="objects that differ: whole runs", **none, find=find)
    find = _value(CLUSTER, "result", what="objects that differ")
    yield Prediction(fact="objects that differ: cluster", **none, find=find)


def _start_and_bus() -> Iterator[Prediction]:
    for fact, column, low in (
        ("prepare(), nothing compiled before", "prepare()", 2),
        ("the first texts with 32-bit offsets after it (near 0: one program)", "32-bit offsets", 0),
    ):
        find = _value(START, column, what=COLD)
        yield Prediction(fact=fact, low=low, high=4, unit="s", find=find)
    for what, low, high in (
        ("to the device", 50, 55),
        ("to the host", 50, 55),
        ("both ways at once, each", 40, 50),
    ):
        find = _value(BUS, "GB/s", what=what)
        yield Prediction(fact=f"bus, {what}", low=low, high=high, unit="GB/s", find=find)
    for threads, low, high in ((3, 20, 30), (12, 40, INFINITE)):
        find = _value(STAGING, "GB/s", what=f"{threads} threads")
        fact = f"copies into pinned memory, {threads} threads"
        yield Prediction(fact=fact, low=low, high=high, unit="GB/s", find=find)


def _kernels() -> Iterator[Prediction]:
    nine, whole = "nine hashes and weights", "whole default graph"
    for mean, low, high in ((5000, 15, 18), (100, 10, 14)):
        find = _value(RATES[mean], "G blocks/s", what=nine)
        fact = f"nine hashes, ~{mean} bytes"
        yield Prediction(fact=fact, low=low, high=high, unit="G blocks/s", find=find)
    # The rates above, of what executed instructions allow at 1.98 GHz: 22.3 and 19.2 G blocks/s.
    for mean, low, high in ((5000, 67, 81), (100, 52, 73)):
        find = _scaled(_value(RATES[mean], "of the ALU", what=nine), 100)
        fact = f"nine hashes, ~{mean} bytes, of the ALU"
        yield Prediction(fact=fact, low=low, high=high, unit="%", find=find)
    for unit, low, high in (("the ALU", 50, 75), ("float64", 0, 10)):
        find = _scaled(_value(RATES[100], f"of {unit}", what=whole), 100)
        fact = f"default graph, ~100 bytes, of {unit}"
        yield Prediction(fact=fact, low=low, high=high, unit="%", find=find)
    for mean, table in RATES.items():
        find = _value(table, "clock (MHz)", what=whole)
        yield Prediction(fact=f"clock meanwhile, ~{mean} bytes", unit="MHz", find=find)
    find = _scaled(_value(RATES[100], "per second", what="statistics"), 1e-6)
    yield Prediction(fact="statistics alone", low=2000, unit="M texts/s", find=find)
    find = _scaled(_value(CALLS, "of the best", what="8,192 texts"), 100)
    yield Prediction(fact="8,192 texts per call", high=25, unit="% of the best", find=find)
    find = _value(LONG, "MB/s", what="one of 8 MiB")
    yield Prediction(fact="one text of 8 MiB", low=10, high=14, unit="MB/s", find=find)
    for mean, table in OVERLAP.items():
        for flight, low, high in ((3, 45, 60), (6, -INFINITE, INFINITE), (12, 80, INFINITE)):
            find = _scaled(_value(table, "of the slower", what=f"{flight} in flight"), 100)
            fact = f"host to host, ~{mean} bytes, {flight} in flight"
            yield Prediction(fact=fact, low=low, high=high, unit="% of the slower", find=find)
    find = _value(ROLLED, "x unrolled", texts="~100 bytes", what="loop")
    yield Prediction(fact="first blocks by a loop, ~100 bytes", unit="x unrolled", find=find)
    find = _sum("bits that differ", ROLLED)
    yield Prediction(fact="the same: bits that differ", low=0, high=0, find=find)


def _failures_and_runs() -> Iterator[Prediction]:
    for what in ("the call", "the next call"):
        fact, find = f"an illegal address: {what}", _value(LOST, "result", what=what)
        yield Prediction(fact=fact, exactly="DeviceLost", find=find)
    what = "the process ends with"
    find = _value(LOST, "result", what=what)
    yield Prediction(fact=f"an illegal address: {what}", low=0, high=0, find=find)
    for what, expected in (
        ("allocator", "rmm.allocators.cupy"),
        ("resource", "PoolMemoryResource"),
    ):
        find = _value(CLUSTER, "result", what=what)
        yield Prediction(fact=f"cluster with RMM: {what}", exactly=expected, find=find)
    what = "free memory, share of the device"
    find = _scaled(_value(CLUSTER, "result", what=what), 100)
    yield Prediction(fact=f"cluster with RMM: {what}", low=45, high=55, unit="%", find=find)
    for most, low, high in ((False, 2, 3), (True, 10, 18)):
        threads = "the most threads" if most else "one thread"
        find = _scaled(_of_runs("~100 bytes", most, "cuda", "per second"), 1e-6)
        fact = f"whole run, ~100 bytes, {threads}"
        yield Prediction(fact=fact, low=low, high=high, unit="M texts/s", find=find)
        fact, find = f"the same, {threads}, beside the CPU", _gain("~100 bytes", most)
        yield Prediction(fact=fact, high=1.7, unit="x", find=find)
    find = _of_runs("~100 bytes", True, "cuda", "GPU, median")
    yield Prediction(fact="GPU busy meanwhile, median by NVML", high=3, unit="%", find=find)


PREDICTIONS = (*_bits(), *_start_and_bus(), *_kernels(), *_failures_and_runs())
