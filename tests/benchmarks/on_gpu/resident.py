"""Kernels over texts that are on the device already: rates, small calls, long texts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from measure import Table, in_turn

from paninifs.graphs.inventories import DHATUS, PRIMES
from paninifs.graphs.kernels import load, reference
from paninifs.storage.text import PackedText

from . import bounds
from .machine import PREFIXES, Amount, device, on_device
from .timing import by_events, clock_while

SIZES = ((100, 4_000_000), (5000, 100_000))
"""Mean bytes per text, and number of texts."""

CALLS = (8192, 65_536, 131_072)
CLOCK_UNITS = (("clock", "MHz"), ("power", "W"))
LONG = (1 << 20, 8 << 20)


def rates(amount: Amount) -> Iterator[Table]:
    """Measure each kernel at both sizes, beside its bounds and one core with hashlib."""
    for mean, count in SIZES:
        yield _rates(amount.texts(count, mean), mean, amount)


def _rates(text: PackedText, mean: int, amount: Amount) -> Table:
    cuda, there, lengths = load("cuda"), on_device(text), np.diff(text.offsets)
    shares = cuda.dhatu(there, dhatus=DHATUS)

    def whole() -> Any:
        return cuda.default_graph(there, dhatus=DHATUS, primes=PRIMES)

    contenders: dict[str, Callable[[], Any]] = {
        "nine hashes and weights": lambda: cuda.dhatu(there, dhatus=DHATUS),
        "digest": lambda: cuda.digest(there),
        "statistics": lambda: cuda.ambiguity(shares, primes=PRIMES),
        "whole default graph": whole,
        **_by_cudf(text),
    }
    seen = by_events(contenders, amount.rounds)
    measured = clock_while(whole, max(0.1, 0.5 * amount.factor))
    here = device(measured.get("clock"))
    nine, one = bounds.hashing(lengths, PREFIXES), bounds.digesting(lengths)
    alu = {
        "nine hashes and weights": here.alu(nine),
        "digest": here.alu(one),
        "whole default graph": here.alu(nine + one),
    }
    statistics = here.float64(bounds.FLOAT64 * len(text))
    float64 = {"statistics": statistics, "whole default graph": statistics}
    few = text[: max(64, len(text) // 500)]
    raw = few.to_bytes()
    one_core = in_turn({"hashlib": lambda: _hashlib(raw)}, 3)["hashlib"].median / len(few)
    blocks = bounds.hashed_blocks(lengths, PREFIXES)
    table = Table(
        f"GPU: texts of ~{mean} bytes, on the device",
        f"{len(text):,} texts, {blocks / len(text) / 9:.2f} blocks per hash; by events. "
        f"{_clock_in_words(measured)} Shares are of what the integer ALU and the float64 units "
        f"allow at that clock: {here.processors} x {bounds.ALU_LANES} and {here.float64_lanes} "
        "instructions per clock.",
    )
    for name, spread in seen.items():
        row = {"what": name, **spread.rate(len(text))}
        if name.startswith("nine"):
            row["G blocks/s"] = blocks / spread.median / 1e9
        for unit, seconds in (("of the ALU", alu), ("of float64", float64)):
            if name in seconds:
                row[unit] = seconds[name] / spread.median
        row["x hashlib, one core"] = len(text) / spread.median * one_core
        if name == "whole default graph":
            row["bits that differ"] = _differing(few)
            row |= {f"{name} ({unit})": measured.get(name, "") for name, unit in CLOCK_UNITS}
        table.rows.append(row)
    return table


def _clock_in_words(measured: dict[str, float]) -> str:
    highest = device().clock / 1e9
    if "clock" not in measured:
        return f"The clock was not measured; it is at most {highest:.2f} GHz."
    power = f", {measured['power']:.0f} W" if "power" in measured else ""
    return f"Clock while it ran: {measured['clock'] / 1e3:.2f} of {highest:.2f} GHz{power}."


def _by_cudf(text: PackedText) -> dict[str, Callable[[], Any]]:
    """Return cuDF's own hash of the same texts, if cuDF is installed."""
    try:
        import cudf
    except ImportError:
        return {}
    series = cudf.Series([bytes(one).decode() for one in text])
    prefixed = [prefix.decode() + series for prefix in PREFIXES]
    return {"cuDF hash_values, nine": lambda: [one.hash_values("sha256") for one in prefixed]}


def _hashlib(texts: list[bytes]) -> None:
    states = [hashlib.sha256(prefix) for prefix in PREFIXES]
    for text in texts:
        for state in states:
            one = state.copy()
            one.update(text)
            one.digest()


def _differing(text: PackedText) -> int:
    """Count the bits in which the device's default graph differs from the reference."""
    cuda = load("cuda")
    made = cuda.default_graph(on_device(text), dhatus=DHATUS, primes=PRIMES)
    exact = reference.default_graph(text, dhatus=DHATUS, primes=PRIMES)
    pairs = [(one.get().tobytes(), other.tobytes()) for one, other in zip(made, exact, strict=True)]
    return sum(bits_apart(*pair) for pair in pairs)


def bits_apart(one: bytes, other: bytes) -> int:
    """Count the bits that differ; all bits of the longer one if the lengths differ.

    >>> bits_apart(b"ab", b"ac")
    1
    """
    if len(one) != len(other):
        return 8 * max(len(one), len(other))
    differing = np.frombuffer(one, np.uint8) ^ np.frombuffer(other, np.uint8)
    return int(np.unpackbits(differing).sum())


def calls(amount: Amount) -> Iterator[Table]:
    """Measure the default graph with few texts per call."""
    text = amount.texts(max(CALLS), 100)
    counts = [amount.of(count) for count in CALLS]
    parts = {f"{count:,} texts": text[:count] for count in counts}
    there = {name: on_device(part) for name, part in parts.items()}
    seen = by_events({name: _default_graph(part) for name, part in there.items()}, amount.rounds)
    best = max(len(parts[name]) / spread.median for name, spread in seen.items())
    table = Table("GPU: small calls", "Texts of ~100 bytes on the device; by events.")
    for name, spread in seen.items():
        rate = spread.rate(len(parts[name]))
        share = rate["per second"] / best
        table.rows.append({"what": name, "us": spread.median * 1e6, **rate, "of the best": share})
    yield table


def long_texts(amount: Amount) -> Iterator[Table]:
    """Measure single long texts, each hashed by two threads, and one among many short ones."""
    table = Table("GPU: long texts", "Texts on the device, hashed there; by events.")
    for size in LONG:
        size = amount.of(size, least=4096)  # noqa: PLW2901 (the size that is measured)
        alone = on_device(PackedText.from_strings([b"x" * size]))
        spread = by_events({"alone": _default_graph(alone)}, 3)["alone"]
        table.rows.append(
            {
                "what": f"one of {size / 2**20:.3g} MiB",
                "ms": spread.median * 1e3,
                "MB/s": size / spread.median / 1e6,
            }
        )
    short = amount.texts(65_535, 100).to_bytes()
    mixed = on_device(PackedText.from_strings([*short, b"x" * amount.of(1 << 20, least=4096)]))
    spread = by_events({"mixed": _default_graph(mixed)}, 3)["mixed"]
    name = f"{len(short):,} of ~100 bytes and one of the first size"
    table.rows.append({"what": name, "ms": spread.median * 1e3, "MB/s": ""})
    yield table


def _default_graph(text: PackedText) -> Callable[[], Any]:
    return lambda: load("cuda").default_graph(text, dhatus=DHATUS, primes=PRIMES)
