"""What the GPU kernels cost, read from their machine code: for machines without a GPU."""

from __future__ import annotations

import sass
from measure import Table

from paninifs.graphs.inventories import DHATUS, PRIMES
from paninifs.graphs.kernels.cuda.source import Specification

DEFAULT = Specification(DHATUS, digest=True, primes=PRIMES)
LANES = 64  # of the integer ALU, a clock and multiprocessor

# Multiprocessors and boost clock in GHz, as their makers give them.
DEVICES = {
    "T4": (75, 40, 1.59),
    "A100": (80, 108, 1.41),
    "L4": (89, 58, 2.04),
    "H100 SXM": (90, 132, 1.98),
    "H200": (90, 132, 1.98),
}


def run(quick: bool) -> list[Table]:
    """Count; the same for a quick run, but for fewer architectures."""
    counted = Table(
        "GPU: instructions of a hashed block, counted",
        f"Default graph, compiled by {sass.compiler()}; the loop over a text's blocks behind its "
        "first, every branch of it counted. The nine dhātus are hashed in groups of 2, 3 and 4 "
        "that share a schedule; the digest is a group of its own and not in the mean.",
    )
    means = {}
    for architecture in (75, 90) if quick else sass.ARCHITECTURES[1:]:  # nvdisasm knows no sm_70
        made = sass.compiled(DEFAULT, architecture)
        loops = sass.steady_loops(DEFAULT, architecture)[1:]
        means[architecture] = sass.weighted(loops)
        hashes = sum(loop.chains for loop in loops)
        counted.rows.append(
            {
                "architecture": f"sm_{architecture}",
                "ALU": round(means[architecture]),
                **{f"ALU, group of {loop.chains}": round(loop.alu) for loop in loops},
                "multiplier": round(sum(loop.pipes["multiplier"] for loop in loops) / hashes),
                "registers": made.registers["compute_texts"],
                "spilled (bytes)": made.spilled["compute_texts"],
            }
        )
    bounds = Table(
        "GPU: what the integer ALU allows",
        f"Multiprocessors x {LANES} lanes x boost clock / instructions of the ALU a hashed block; "
        "a text of 100 bytes is 2.28 blocks behind each of nine prefixes. Computed, not measured.",
    )
    for name, (architecture, processors, clock) in DEVICES.items():
        if architecture in means:
            blocks = processors * LANES * clock / means[architecture]
            bounds.rows.append(
                {
                    "device": name,
                    "G blocks/s": round(blocks, 1),
                    "M texts of 100 bytes/s": round(blocks * 1000 / (9 * 2.28)),
                }
            )
    return [counted, bounds]
