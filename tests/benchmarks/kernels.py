"""Texts per second of the CPU kernels, beside a plain hashlib loop over the same texts.

Both run in this process, one thread, in turn; medians and the range are printed. Run it with
``make bench``.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import platform
import statistics
import time
from pathlib import Path

import numpy as np

import paninifs as pf
from paninifs.graphs.block import TEXT
from paninifs.graphs.dhatu import DHATUS

ROUNDS = 7
SHORT = 40_000  # texts
LONG = 1_000  # texts of about 5 kB


def glosses() -> list[bytes]:
    path = Path(__file__).parents[1] / "data" / "wordnet-2000.jsonl.gz"
    with gzip.open(path, "rt") as lines:
        return [json.loads(line)["text"].encode() for line in lines]


def hashlib_loop(texts: list[bytes]) -> np.ndarray:
    """The nine dhātu hashes as one would first write them."""
    prefixes = [name.encode() + b"::" for name in DHATUS]
    shares = np.zeros((len(texts), len(prefixes)), np.float32)
    for row, text in enumerate(texts):
        weights = []
        for prefix in prefixes:
            b = hashlib.sha256(prefix + text).digest()
            weights.append(b[0] + b[5] + b[13] + b[21] + b[29])
        total = sum(weights)
        if total:
            shares[row] = [weight / total for weight in weights]
    return shares


def default_graph(text: pf.PackedText) -> np.ndarray:
    """Every block of the default graph."""
    values = {TEXT: text}
    for block in pf.default_graph().blocks:
        returned = block.bind("cpu")(*(values[name] for name in block.inputs), **block.params)
        values |= block.outputs(returned, len(text))
    return values["dhatu"]


def main() -> None:
    source = glosses()
    rng = np.random.default_rng(0)
    short = [source[i] for i in rng.integers(0, len(source), SHORT)]
    long = [b" ".join(short[40 * i : 40 * i + 70])[:5000] for i in range(LONG)]
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
    print("| texts | mean bytes | what | texts/s, median (range) | against the loop |")
    print("|---|---|---|---|---|")
    for name, texts in (("short", short), ("long", long)):
        packed = pf.PackedText.from_strings(texts)
        contenders = {
            "hashlib loop, dhātus only": lambda: hashlib_loop(texts),  # noqa: B023
            "cpu, whole default graph": lambda: default_graph(packed),  # noqa: B023
        }
        results = [contender() for contender in contenders.values()]  # also the warm-up
        assert np.array_equal(results[0].view(np.uint32), results[1].view(np.uint32))
        rates: dict[str, list[float]] = {what: [] for what in contenders}
        for _ in range(ROUNDS):
            for what, contender in contenders.items():
                began = time.perf_counter()
                contender()
                rates[what].append(len(texts) / (time.perf_counter() - began))
        loop = statistics.median(rates["hashlib loop, dhātus only"])
        mean = packed.nbytes // len(texts)
        for what, seen in rates.items():
            middle = statistics.median(seen)
            spread = f"{middle:,.0f} ({min(seen):,.0f} to {max(seen):,.0f})"
            print(f"| {name} | {mean} | {what} | {spread} | {middle / loop:.2f} × |")


if __name__ == "__main__":
    main()
