"""What the GPU kernels cost, read from their machine code: for machines without a GPU."""

from __future__ import annotations

from typing import Any

import corpora
import numpy as np
import sass
from measure import Table
from on_gpu import bounds

from paninifs.graphs.inventories import DHATUS, PRIMES
from paninifs.graphs.kernels.cuda.source import Specification

DEFAULT = Specification(DHATUS, digest=True, primes=PRIMES)
PREFIXES = [name.encode() + b"::" for name in DHATUS]
BUS = {"T4": 12e9, "A100": 24e9, "L4": 24e9, "H100 SXM": 50e9, "H200": 50e9}
"""Bytes per second each way that PCIe usually gives; not measured here."""

# Multiprocessors, compute capability and boost clock, as their makers give them.
DEVICES = {
    "T4": bounds.Device(processors=40, capability=(7, 5), clock=1.59e9),
    "A100": bounds.Device(processors=108, capability=(8, 0), clock=1.41e9),
    "L4": bounds.Device(processors=58, capability=(8, 9), clock=2.04e9),
    "H100 SXM": bounds.Device(processors=132, capability=(9, 0), clock=1.98e9),
    "H200": bounds.Device(processors=132, capability=(9, 0), clock=1.98e9),
}


def run(quick: bool) -> list[Table]:
    """Count; the same for a quick run, but for fewer architectures."""
    architectures = (75, 90) if quick else sass.ARCHITECTURES[1:]  # nvdisasm knows no sm_70
    return [_counted(architectures), *(_bounds(mean) for mean in (100, 5000))]


def _counted(architectures: tuple[int, ...]) -> Table:
    table = Table(
        "GPU: instructions of a hashed block, counted",
        f"Default graph, compiled by {sass.compiler()}. ALU instructions that are executed per "
        "hashed block: the block in which the text begins, whole blocks, the block in which it "
        "ends. The nine dhātus are hashed in groups of 2, 3 and 4 that share a schedule; the "
        "digest is a group of its own and not in the mean. All branches: of the loop behind the "
        "first block, whether they are taken or not.",
    )
    for architecture in architectures:
        made = sass.compiled(DEFAULT, architecture)
        _, *loops = sass.steady_loops(DEFAULT, architecture)
        digest, *nine = sass.executed(DEFAULT, architecture)
        hashes = sum(loop.chains for loop in loops)

        def mean(part: str, nine: Any = nine) -> int:
            return round(sum(getattr(one, part) * one.chains for one in nine) / len(DHATUS))

        table.rows.append(
            {
                "architecture": f"sm_{architecture}",
                "ALU, first": mean("first"),
                "ALU, whole": mean("middle"),
                "ALU, last": mean("last"),
                "ALU, digest": round(digest.middle),
                "ALU, all branches": round(sass.weighted(loops)),
                "multiplier": round(sum(loop.pipes["multiplier"] for loop in loops) / hashes),
                "float64 per text": sass.float64_per_text(DEFAULT, architecture),
                "registers": made.registers["compute_texts"],
                "spilled (bytes)": made.spilled["compute_texts"],
            }
        )
    return table


def _bounds(mean: int) -> Table:
    lengths = np.diff(corpora.texts(20_000, mean).offsets)
    table = Table(
        f"GPU: what the hardware allows, texts of ~{mean} bytes",
        "M texts per second of the default graph, by the integer ALU, the float64 units and the "
        "bus (texts there, results back). The least of them is the bound. Computed from boost "
        "clocks, not measured.",
    )
    instructions = bounds.hashing(lengths, PREFIXES) + bounds.digesting(lengths)
    for name, device in DEVICES.items():
        units = {
            "integer ALU": device.alu(instructions),
            "float64": device.float64(bounds.FLOAT64 * len(lengths)),
            "bus": bounds.copying(lengths, 8, BUS[name]),
        }
        rates = {unit: len(lengths) / seconds / 1e6 for unit, seconds in units.items()}
        table.rows.append({"device": name, **rates, "bound": min(rates, key=rates.__getitem__)})
    return table
