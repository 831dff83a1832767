"""The kernels, on one thread unless noted: texts per second, baselines, the processor's limit."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import corpora
import numpy as np
import polars as pl
import pyarrow as pa
from baselines import hashing
from measure import Table, clock_ghz, in_turn

from paninifs.graphs.inventories import DHATUS, PRIMES
from paninifs.graphs.kernels import load
from paninifs.graphs.kernels.chains import Chain
from paninifs.graphs.kernels.cpu import sha_paths
from paninifs.storage.text import PackedText

NINE = tuple(Chain(f"{name}::".encode(), k) for k, name in enumerate(DHATUS))
TWELVE = ("RELATE", "MODAL", "EXIST", "EVAL", "COMM", "CAUSE", "ITER", "DECIDE", "FEEL")
TWELVE = (*TWELVE, "MOVE", "POSSESS", "KNOW")
LESSER = {
    "avx512": ("skylake-avx512", "+sse4.2,+avx,+avx2,+bmi2,+fma,+avx512f,+avx512bw,+avx512vl"),
    "avx2": ("haswell", "+sse4.2,+avx,+avx2,+bmi,+bmi2,+fma"),
}


def weigh(text: PackedText, path: str, chains: Sequence[Chain] = NINE) -> np.ndarray:
    """The nine hashes of every text, summed to weights."""
    weights = np.empty((len(text), len(chains)), np.int32)
    sha_paths.PATHS[path].hash_texts(text, chains, weights, np.empty((0, 32), np.uint8))
    return weights


def run(quick: bool) -> list[Table]:
    sizes = [("~100 bytes", 100, 20_000 if quick else 80_000)]
    sizes += [("~5 kB", 5000, 800 if quick else 3000)]
    rounds = 3 if quick else 9
    tables = [_baselines(name, corpora.texts(n, size), rounds) for name, size, n in sizes]
    return [*tables, _threads(quick, rounds), _inventory(quick, rounds), *_lesser(quick)]


def _baselines(name: str, text: PackedText, rounds: int) -> Table:
    raw, table = text.to_bytes(), pa.table({"text": corpora.arrow(text)})
    frame = pl.from_arrow(table)
    ours = sha_paths.selected().name
    contenders: dict[str, Callable[[], Any]] = {
        "hashlib, plain": lambda: hashing.hashlib_plain(raw),
        "hashlib, .copy()": lambda: hashing.hashlib_copy(raw),
        "DuckDB sha256() + NumPy": lambda: hashing.duckdb_sql(table),
        "polars-hash + NumPy": lambda: hashing.polars_expressions(frame),
    }
    wanted = hashing.hashlib_copy(raw)
    for path in sha_paths.usable()[:-1]:
        assert np.array_equal(weigh(text, path), wanted)
        contenders[f"paninifs {path}"] = lambda path=path: weigh(text, path)
    load("cpu").prepare()
    contenders["paninifs, whole default graph"] = lambda: load("cpu").default_graph(
        text, dhatus=DHATUS, primes=PRIMES
    )
    clock = clock_ghz()
    seen = in_turn(contenders, rounds)
    lengths = np.diff(text.offsets)
    blocks = sum(((len(chain.prefix) + lengths + 72) >> 6).sum() for chain in NINE)
    # One instruction of two rounds a cycle, 32 a block: what the processor can do at most.
    limit = clock * 1e9 * len(text) / (32 * blocks)
    result = Table(
        f"Kernel, one thread, texts of {name}",
        f"Nine hashes per text and their weights. Texts have {lengths.mean():.0f} bytes on "
        f"average, {blocks / len(text) / 9:.2f} blocks per hash. Limit: one sha256rnds2 "
        f"instruction per cycle at {clock:.2f} GHz (the clock, measured by a chain of "
        f"dependent multiplications): {limit:,.0f} texts per second. The last row computes ten "
        "hashes and all statistics.",
    )
    for what, spread in seen.items():
        row = {"what": what, **spread.rate(len(text))}
        row["GB/s hashed"] = 9 * text.nbytes / spread.median / 1e9
        row["× hashlib .copy()"] = seen["hashlib, .copy()"].median / spread.median
        row["× DuckDB"] = seen["DuckDB sha256() + NumPy"].median / spread.median
        if what == f"paninifs {ours}" and ours == "sha-ni":
            row["of the limit"] = f"{len(text) / spread.median / limit:.0%}"
        result.rows.append(row)
    return result


def _threads(quick: bool, rounds: int) -> Table:
    table = Table("Kernel, two threads against one", "Each thread hashes its own texts.")
    path = sha_paths.selected().name
    for name, size, count in (("~100 bytes", 100, 80_000), ("~5 kB", 5000, 3000)):
        halves = [corpora.texts(count // (4 if quick else 1), size, seed) for seed in (1, 2)]
        with ThreadPoolExecutor(2) as pool:
            seen = in_turn(
                {
                    "one": lambda: [weigh(half, path) for half in halves],  # noqa: B023
                    "two": lambda: list(pool.map(lambda h: weigh(h, path), halves)),  # noqa: B023
                },
                rounds,
            )
        ratio = seen["one"].median / seen["two"].median
        table.rows.append({"texts": name, "two threads × one": round(ratio, 2)})
    return table


def _inventory(quick: bool, rounds: int) -> Table:
    table = Table("Kernel, another inventory", "Twelve dhātus, with names of 4 to 7 letters.")
    chains = [Chain(f"{name}::".encode(), k) for k, name in enumerate(TWELVE)]
    path = sha_paths.selected().name
    for name, size, count in (("~100 bytes", 100, 80_000), ("~5 kB", 5000, 3000)):
        text = corpora.texts(count // (4 if quick else 1), size)
        seen = in_turn(
            {
                "nine": lambda: weigh(text, path),  # noqa: B023
                "twelve": lambda: weigh(text, path, chains),  # noqa: B023
            },
            rounds,
        )
        ratio = 12 / seen["twelve"].median / (9 / seen["nine"].median)
        table.rows.append({"texts": name, "rate per hash, twelve × nine": round(ratio, 2)})
    return table


def _lesser(quick: bool) -> list[Table]:
    """Processors that lack what this one has: Numba's target restricted, in its own process."""
    table = Table(
        "Kernel on older processors, one thread",
        "LLVM is restricted to the instructions of the named processor. hashlib, in the same "
        "process, still uses the SHA instructions of this one.",
    )
    for path, (name, features) in LESSER.items():
        if path not in sha_paths.usable():
            continue
        ran = subprocess.run(
            [sys.executable, __file__, path, "quick" if quick else "full"],
            env={**os.environ, "NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features},
            capture_output=True,
            text=True,
            check=True,
        )
        for line in ran.stdout.splitlines():
            texts, rate, ratio = line.split("\t")
            table.rows.append(
                {
                    "path": path,
                    "target": name,
                    "texts": texts,
                    "per second": float(rate),
                    "× hashlib .copy()": float(ratio),
                }
            )
    return [table]


def _main(path: str, quick: bool) -> None:
    assert sha_paths.selected().name == path
    for name, size, count in (("~100 bytes", 100, 40_000), ("~5 kB", 5000, 2000)):
        text = corpora.texts(count // (4 if quick else 1), size)
        raw = text.to_bytes()
        assert np.array_equal(weigh(text, path), hashing.hashlib_copy(raw))
        seen = in_turn(
            {
                "hashlib": lambda: hashing.hashlib_copy(raw),  # noqa: B023
                "ours": lambda: weigh(text, path),  # noqa: B023
            },
            3 if quick else 9,
        )
        ratio = seen["hashlib"].median / seen["ours"].median
        print(f"{name}\t{len(text) / seen['ours'].median}\t{ratio}")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    _main(sys.argv[1], sys.argv[2] == "quick")
