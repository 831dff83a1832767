"""Whether the program of `looped_source` is faster than the engine's, which only a device can say.

Both programs are built, compared bit for bit, and timed in turn. The engine's kernels stay as they
are.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from looped_source import looped_heads
from measure import Table
from on_gpu.machine import Amount, on_device
from on_gpu.resident import bits_apart
from on_gpu.results import Results
from on_gpu.timing import by_events

from paninifs.graphs.inventories import DHATUS, PRIMES
from paninifs.graphs.kernels import load

SIZES = ((100, 2_000_000), (5000, 50_000))


def compare(amount: Amount) -> Table:
    """Compute the default graph with both programs, at two sizes of texts."""
    cuda = load("cuda")
    table = Table(
        "GPU: first blocks by a loop",
        "The default graph on the device, by both programs in turn, by events.",
    )
    for mean, count in SIZES:
        there = on_device(amount.texts(count, mean))

        def plain(there: Any = there) -> Any:
            return cuda.default_graph(there, dhatus=DHATUS, primes=PRIMES)

        def by_loop(plain: Any = plain) -> Any:
            with looped_heads():
                return plain()

        pairs = zip(plain(), by_loop(), strict=True)
        apart = sum(bits_apart(one.get().tobytes(), other.get().tobytes()) for one, other in pairs)
        seen = by_events({"unrolled": plain, "loop": by_loop}, amount.rounds)
        for name, spread in seen.items():
            row = {"texts": f"~{mean} bytes", "what": name, **spread.rate(len(there))}
            row["x unrolled"] = seen["unrolled"].median / spread.median
            table.rows.append({**row, "bits that differ": apart})
    return table


def main() -> None:
    amount = Amount(float(os.environ.get("KIT_SCALE", "1")))
    Results(Path(os.environ["OUT"], "gpu.json"), add=True).has(compare(amount))


if __name__ == "__main__":
    main()
