"""`calibrate`: measures this machine by running the engine on generated texts.

The texts are short and long, in every measured format. Runs take turns, so that a slow spell of a
shared machine affects all of them; medians are kept. `costs.calibration` stores the measurements,
`costs.prediction` predicts run times from them.
"""

from __future__ import annotations

import datetime as dt
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from .. import __version__
from ..graphs.graph import default_graph
from ..graphs.inventories import DHATUS, PRIMES
from ..graphs.kernels import load
from ..graphs.kernels.chains import chains_of
from ..graphs.kernels.cpu import moments, sha_paths
from ..storage.corpus.open_corpus import open_corpus
from ..storage.errors import RunFailed
from ..storage.text import PackedText
from .cluster.connect import connect
from .costs.calibration import CLUSTERS, FORMATS, Calibration, Rate
from .costs.this_machine import usable_gpus
from .costs.work import Work, busy_cores
from .hardware.cpu import processor
from .run.submit import submit
from .worker.block_execution import Blocks
from .worker.values.inputs import Inputs

if TYPE_CHECKING:
    from distributed import Client

SHORT, LONG = 90, 5_000  # mean bytes per text
CORPUS_BYTES = {SHORT: 60 << 20, LONG: 160 << 20}  # enough for every core to have several tasks
WORDS, LONGEST_WORD, STREAM_WORDS = 5_000, 12, 1_000_000
KERNEL_BYTES, DEVICE_BYTES = 4 << 20, 64 << 20
FEW = 64  # texts in a corpus so small that only fixed costs remain
MANY_SHARDS, FEW_SHARDS = 1024, 65_536  # rows per shard
ROUNDS = 3
_GROUP_BYTES = 4 << 20


@dataclass(frozen=True, kw_only=True)
class MadeCorpus:
    """A corpus generated for measurements, and its size."""

    path: Path
    rows: int
    nbytes: int  # of its records, as counted by an index
    shards: int
    tasks: int
    few_tasks: int  # number of tasks with shards of `FEW_SHARDS` rows


def calibrate(
    rounds: int = ROUNDS,
    paths: Sequence[str] | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> Calibration:
    """Measure this machine.

    This takes a minute or two, and about half a gigabyte of temporary files.

    Parameters
    ----------
    rounds : int
        Number of measurements of each figure.
    paths : sequence of str, optional
        SHA-256 implementations to measure; by default the one that this machine uses.
    report : callable
        Called with a description of each step.
    """
    own = processor()
    report("measuring the kernels on one thread")
    hashing = {path: _hashing(path, rounds) for path in paths or [own.hashing]}
    device = _device(rounds, report)
    with TemporaryDirectory(prefix="paninifs-bench-") as name:
        report("writing corpora")
        folder = Path(name)
        few = _written(folder, "parquet", made(FEW * SHORT, SHORT))
        corpora = {
            (form, mean): _written(folder, form, made(nbytes, mean))
            for mean, nbytes in CORPUS_BYTES.items()
            for form in FORMATS
        }
        with connect("cpu", quiet=True) as client:
            runs: dict[object, Callable[[], float]] = {"fixed": _run(client, few)}
            runs |= {key: _run(client, corpus) for key, corpus in corpora.items()}
            short = corpora["parquet", SHORT]
            runs |= {kind: partial(_command, few.path, kind) for kind in CLUSTERS}
            runs |= {rows: _run(client, short, rows) for rows in (MANY_SHARDS, FEW_SHARDS)}
            lines = corpora["jsonl", SHORT]
            runs["few tasks"] = _run(client, lines, FEW_SHARDS)
            took = _in_turn(runs, rounds, report)
    extra_shards = -(-short.rows // MANY_SHARDS) - -(-short.rows // FEW_SHARDS)
    shard = max(0.0, took[MANY_SHARDS] - took[FEW_SHARDS]) / extra_shards
    difference = took["jsonl", SHORT] - took["few tasks"]
    difference -= shard * (lines.shards - -(-lines.rows // FEW_SHARDS))
    task = max(0.0, difference) / (lines.tasks - lines.few_tasks)
    used = hashing[own.hashing]
    return Calibration(
        processor=own.name,
        cores=own.cores,
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        version=__version__,
        start={kind: took[kind] for kind in CLUSTERS},
        shard=shard,
        task=task,
        host={
            form: _host(form, corpora, took, each=(shard, task), cores=own.cores, hashing=used)
            for form in FORMATS
        },
        hashing=hashing,
        device=device,
    )


def made(nbytes: int, mean: int, seed: int = 0) -> list[str]:
    """Generate texts of about `nbytes` bytes in total and `mean` bytes each, within a quarter.

    Words are distributed by Zipf's law, as in any language, so that the texts compress about as
    well as natural ones.
    """
    rng = np.random.default_rng((seed, mean))
    lengths = np.maximum(4, rng.normal(mean, mean / 4, max(1, nbytes // mean))).astype(int)
    letters = rng.choice(list("etaoinshrdlucmfwypvbgk"), (WORDS, LONGEST_WORD))
    sizes = rng.integers(2, LONGEST_WORD, WORDS)
    words = ["".join(one[:size]) for one, size in zip(letters, sizes, strict=True)]
    chances = 1 / np.arange(1, WORDS + 1)
    chosen = rng.choice(words, STREAM_WORDS, p=chances / chances.sum())
    stream = " ".join(chosen)
    starts = rng.integers(0, len(stream) - lengths.max(), len(lengths))
    return [stream[a : a + n] for a, n in zip(starts.tolist(), lengths.tolist(), strict=True)]


def _written(folder: Path, form: str, texts: Sequence[str]) -> MadeCorpus:
    path = folder / f"{len(texts)}{FORMATS[form]}"
    table = pa.table({"id": np.arange(len(texts)), "text": pa.array(texts, pa.large_string())})
    match form:
        case "parquet":
            mean = table.nbytes // len(texts)
            pa.parquet.write_table(table, path, row_group_size=max(1, _GROUP_BYTES // mean))
        case "csv":
            pa.csv.write_csv(table, path)
        case "jsonl":
            lines = (json.dumps({"id": str(i), "text": one}) for i, one in enumerate(texts))
            path.write_text("\n".join(lines) + "\n")
        case _:
            path.write_text("\n".join(texts) + "\n")
    corpus = open_corpus(path)
    work, few_tasks = Work.on(corpus), len(corpus.index.partitions(FEW_SHARDS))
    return MadeCorpus(
        path=path,
        rows=work.texts,
        nbytes=work.text_bytes,
        shards=work.shards,
        tasks=work.tasks or 1,
        few_tasks=few_tasks,
    )


def _hashing(path: str, rounds: int) -> Rate:
    """Measure the default graph's kernels with a SHA-256 implementation, on one thread."""
    chains, hash_texts = chains_of(DHATUS, digest=True), sha_paths.PATHS[path].hash_texts

    def seconds(mean: int) -> tuple[int, int, float]:
        text = PackedText.from_strings(made(KERNEL_BYTES, mean))
        weights = np.empty((len(text), len(DHATUS)), np.int32)
        digests = np.empty((len(text), 32), np.uint8)

        def compute() -> None:
            hash_texts(text, chains, weights, digests)
            moments.moments(moments.shares(weights), PRIMES)

        compute()  # compiles
        return len(text), text.nbytes, _median(compute, rounds)

    return _rate(seconds(SHORT), seconds(LONG))


def _device(rounds: int, report: Callable[[str], None]) -> dict[str, Rate]:
    """Measure the default graph on a GPU, from the host's memory and back, by the GPU's name.

    Empty without a usable GPU, and with different ones, because which of them is used is not known.
    """
    names = {gpu.name for gpu in usable_gpus()}
    if len(names) != 1:
        return {}
    (name,) = names
    report(f"measuring the kernels on the {name}")
    load("cuda").prepare()

    def seconds(mean: int) -> tuple[int, int, float]:
        text = PackedText.from_strings(made(DEVICE_BYTES, mean))
        inputs = Inputs.of_text(text)

        def compute() -> None:
            for _ in blocks.run(inputs, "texts {}-{}".format):
                pass

        with Blocks(default_graph(), "cuda") as blocks:
            compute()  # the size of micro-batches adapts
            return len(text), text.nbytes, _median(compute, rounds)

    return {name: _rate(seconds(SHORT), seconds(LONG))}


def _host(
    form: str,
    corpora: Mapping[tuple[str, int], MadeCorpus],
    took: Mapping[object, float],
    *,
    each: tuple[float, float],
    cores: int,
    hashing: Rate,
) -> Rate:
    """Return the time to read a format and write its results, without fixed costs and hashing.

    `each` holds the seconds per shard and the seconds per task.
    """
    samples = []
    for mean in (SHORT, LONG):
        corpus = corpora[form, mean]
        fixed = took["fixed"] + corpus.shards * each[0] + corpus.tasks * each[1]
        seconds = took[form, mean] - fixed
        seconds *= busy_cores(corpus.tasks, cores)
        left = seconds - hashing.seconds(corpus.rows, corpus.nbytes)
        samples.append((corpus.rows, corpus.nbytes, max(0.0, left)))
    return _rate(*samples)


def _rate(short: tuple[int, int, float], long: tuple[int, int, float]) -> Rate:
    """Solve two measurements for the time per text and the time per byte, neither negative."""
    amounts = np.array([short[:2], long[:2]], float)
    row, byte = np.linalg.solve(amounts, np.array([short[2], long[2]]))
    if row < 0:
        return Rate(0.0, (short[2] + long[2]) / (short[1] + long[1]))
    if byte < 0:
        return Rate(short[2] / short[0], 0.0)
    return Rate(float(row), float(byte))


def _run(client: Client, corpus: MadeCorpus, shard_rows: int | None = None) -> Callable[[], float]:
    """Return a function that runs the default graph over a corpus and returns the seconds taken."""

    def run() -> float:
        with TemporaryDirectory(prefix="paninifs-bench-") as folder:
            source = open_corpus(corpus.path)
            began = time.perf_counter()
            submit(
                default_graph(),
                source,
                Path(folder) / "results.zarr",
                client=client,
                shard_rows=shard_rows,
                progress=False,
            ).result()
            return time.perf_counter() - began

    return run


def _in_turn(
    runs: Mapping[object, Callable[[], float]], rounds: int, report: Callable[[str], None]
) -> dict[object, float]:
    """Do every run once per round; return the median seconds of each."""
    next(iter(runs.values()))()  # warm-up
    samples: dict[object, list[float]] = {name: [] for name in runs}
    for number in range(rounds):
        report(f"timing runs, round {number + 1} of {rounds}")
        for name, run in runs.items():
            samples[name].append(run())
    return {name: statistics.median(seconds) for name, seconds in samples.items()}


def _median(call: Callable[[], object], rounds: int) -> float:
    samples = []
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        samples.append(time.perf_counter() - began)
    return statistics.median(samples)


def _command(corpus: Path, cluster: str) -> float:
    """Run the command as from a shell; return the seconds taken, including Python's start."""
    with TemporaryDirectory(prefix="paninifs-bench-") as folder:
        words = ["run", str(corpus), str(Path(folder) / "results.zarr"), "--cluster", cluster]
        program = "from paninifs.engine.cli import main; main()"
        began = time.perf_counter()
        ran = subprocess.run(  # noqa: S603 (Python itself, with known arguments)
            [sys.executable, "-c", program, *words], capture_output=True, text=True, check=False
        )
        took = time.perf_counter() - began
    if ran.returncode:
        last = (ran.stderr.strip().splitlines() or ["no output"])[-1]
        raise RunFailed(f"paninifs {' '.join(words)} exited with code {ran.returncode}: {last}")
    return took
