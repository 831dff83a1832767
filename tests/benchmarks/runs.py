"""Whole runs, from a file to a finished store, on a warm cluster and from a cold shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import corpora
from measure import Spread, Table

import paninifs as pf

HERE = Path(__file__).parent
BASELINES = {
    "DuckDB script": HERE / "baselines" / "duckdb_script.py",
    "multiprocessing hashlib script": HERE / "baselines" / "hashlib_script.py",
}
TITLES = {"parquet": "Parquet", "jsonl": "JSON Lines"}


class Workplace:
    """A folder for corpora and stores; each store is a new one, for deleting has its own costs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stores = 0

    def corpus(self, count: int, mean_bytes: int, kind: str = "parquet") -> Path:
        path = self.folder / f"{count}x{mean_bytes}.parquet"
        if not path.exists():
            corpora.parquet(path, count, mean_bytes)
        if kind == "jsonl" and not path.with_suffix(".jsonl").exists():
            corpora.jsonl(path.with_suffix(".jsonl"), path)
        return path.with_suffix(f".{kind}")

    @contextmanager
    def store(self) -> Iterator[Path]:
        self._stores += 1
        path = self.folder / f"{self._stores}.zarr"
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


def run_once(client: Any, corpus: Path, store: Path, **options: Any) -> float:
    """Seconds of one run on a cluster that is up."""
    began = time.perf_counter()
    pf.submit(
        pf.default_graph(), pf.open_corpus(corpus), store, client=client, progress=False, **options
    ).result()
    return time.perf_counter() - began


def script_once(script: Path, corpus: Path, store: Path) -> float:
    """Seconds of a baseline, the start of its process included."""
    began = time.perf_counter()
    subprocess.run([sys.executable, script, corpus, store], check=True, capture_output=True)
    return time.perf_counter() - began


def against_baselines(place: Workplace, quick: bool) -> Iterator[Table]:
    """Marginal rates: what the rows beyond the first so many cost, so that no start-up counts."""
    few, many = (100_000, 600_000) if quick else (1_000_000, 5_000_000)
    rounds = 1 if quick else 3
    parquet_rate = None
    with pf.connect(workers=2, quiet=True) as client:
        for kind, title in TITLES.items():
            sizes = [place.corpus(count, 100, kind) for count in (few, many)]
            contenders: dict[str, Callable[[Path, Path], float]] = {
                "paninifs, 2 workers": lambda corpus, store: run_once(client, corpus, store)
            }
            for name, script in BASELINES.items():
                contenders[name] = lambda c, s, script=script: script_once(script, c, s)
            seen = _marginal(place, contenders, sizes, rounds)
            table = Table(
                f"Whole run, {title}, texts of ~100 bytes",
                f"From file to store, on two cores. Marginal: the rate of the {many - few:,} texts "
                f"after the first {few:,}.",
            )
            for name, (small, large) in seen.items():
                marginal = (many - few) / (large.median - small.median)
                if name.startswith("paninifs"):
                    ours = marginal
                row = {"what": name, f"{few:,} (s)": small.median, f"{many:,} (s)": large.median}
                row["whole, texts per second"] = many / large.median
                row["marginal, texts per second"] = marginal
                row["paninifs ×"] = ours / marginal
                table.rows.append(row)
            if kind == "parquet":
                parquet_rate = ours
            else:
                share = ours / parquet_rate
                table.note += f" The marginal rate is {share:.0%} of that from Parquet."
            yield table


def _marginal(
    place: Workplace,
    contenders: dict[str, Callable[[Path, Path], float]],
    sizes: list[Path],
    rounds: int,
) -> dict[str, tuple[Spread, ...]]:
    times: dict[tuple[str, int], list[float]] = {}
    with place.store() as store:
        next(iter(contenders.values()))(sizes[-1], store)  # the cluster is to be warm
    for _ in range(rounds):
        for name, contender in contenders.items():
            for at, corpus in enumerate(sizes):
                with place.store() as store:
                    seconds = contender(corpus, store)
                times.setdefault((name, at), []).append(seconds)
    return {
        name: tuple(Spread(tuple(times[name, at])) for at in range(len(sizes)))
        for name in contenders
    }


def growth(place: Workplace, quick: bool) -> Iterator[Table]:
    """By the number of texts, by their length, by the number of workers; memory beside it."""
    counts = [10_000, 100_000] if quick else [10_000, 100_000, 1_000_000, 10_000_000]
    table = Table(
        "Growth with the corpus",
        "Parquet, texts of ~100 bytes, 2 workers of 1 GiB. The second of two runs. Peak memory: of "
        "the largest worker, since the cluster started.",
    )
    with pf.connect(workers=2, memory="1GiB", quiet=True) as client:
        for count in counts:
            corpus = place.corpus(count, 100)
            seconds = _last_of(place, client, corpus, 2)
            table.rows.append(
                {
                    "texts": count,
                    "seconds": seconds,
                    "texts per second": count / seconds,
                    "peak memory of a worker (MiB)": max(client.run(_peak_mib).values()),
                }
            )
    yield table
    lengths = [10, 1000] if quick else [10, 100, 1000, 10_000, 100_000, 1_000_000]
    table = Table("Growth with the text", "Parquet, 2 workers. The second of two runs.")
    with pf.connect(workers=2, quiet=True) as client:
        for length in lengths:
            count = min(1_000_000, (20 if quick else 1000) * 1_000_000 // max(length, 100))
            corpus = place.corpus(count, length)
            seconds = _last_of(place, client, corpus, 2)
            row = {"mean bytes": length, "texts": count, "texts per second": count / seconds}
            row["MB of text per second"] = count * length / seconds / 1e6
            table.rows.append(row)
    yield table
    count = 100_000 if quick else 2_000_000
    table = Table("Growth with the workers", f"Parquet, {count:,} texts of ~100 bytes.")
    rates = {}
    for workers in (1, 2):
        with pf.connect(workers=workers, quiet=True) as client:
            rates[workers] = count / _last_of(place, client, place.corpus(count, 100), 3)
        ratio = rates[workers] / rates[1]
        table.rows.append({"workers": workers, "texts per second": rates[workers], "× one": ratio})
    yield table


def _last_of(place: Workplace, client: Any, corpus: Path, times: int) -> float:
    seconds = 0.0
    for _ in range(times):
        with place.store() as store:
            seconds = run_once(client, corpus, store)
    return seconds


def _peak_mib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmHWM"))


PLAN = {  # on a V100, from the planning documents
    "texts per second": 25_000.0,
    "prime bases per second": 20_000.0,
    "papers per second": 19.0,
    "hours for 100,000 documents": 1.5,
}


def papers(place: Workplace, quick: bool) -> Table:
    """Documents of 30 kB, the size of a paper, beside the plan's table of aims."""
    count = 2000 if quick else 100_000
    with pf.connect(workers=2, quiet=True) as client:
        text_rate = 1 / _marginal_second(place, client, quick)
        seconds = _last_of(place, client, place.corpus(count, 30_000), 1 if quick else 2)
    hours = seconds / 3600 * 100_000 / count
    ours = (text_rate, text_rate, count / seconds, hours)
    table = Table(
        "The targets of the plan for a V100, on these two cores",
        f"From file to store. Texts of ~100 bytes and their prime bases: the marginal rate from "
        f"Parquet. (Every text has ten prime bases; here they count as one.) Papers: {count:,} "
        f"documents of ~30 kB in {seconds:.0f} s.",
    )
    for (what, target), value in zip(PLAN.items(), ours, strict=True):
        ratio = target / value if what.startswith("hours") else value / target
        table.rows.append({"target": what, "plan": target, "paninifs": value, "ratio": ratio})
    return table


def _marginal_second(place: Workplace, client: Any, quick: bool) -> float:
    few, many = (100_000, 600_000) if quick else (1_000_000, 5_000_000)
    seconds = [_last_of(place, client, place.corpus(count, 100), 2) for count in (few, many)]
    return (seconds[1] - seconds[0]) / (many - few)


def overheads(place: Workplace, quick: bool) -> Table:
    """What a partition, a finished store and a half-finished one cost."""
    count = 200_000
    corpus = place.corpus(count, 100)
    table = Table("Overheads", f"{count:,} texts of ~100 bytes, 2 workers.")
    with pf.connect(workers=2, quiet=True) as client:
        _last_of(place, client, corpus, 2)
        with place.store() as store:
            whole = run_once(client, corpus, store)
            again = run_once(client, corpus, store)
            markers = sorted((store / "_run" / "done").iterdir())
            for marker in markers[::2]:
                marker.unlink()
            half = run_once(client, corpus, store)
        many = place.folder / "partitions"
        if not many.exists():
            many.mkdir()
            text = corpora.texts(4096, 20)
            for number in range(64):
                lines = b"\n".join(one.replace(b"\n", b" ") for one in text.to_bytes())
                (many / f"{number:03}.txt").write_bytes(lines + b"\n")
        _last_of(place, client, many, 1)
        with place.store() as store:
            apart = run_once(client, many, store, shard_rows=4096)
        one = place.folder / "one.txt"
        one.write_bytes(b"".join(path.read_bytes() for path in sorted(many.iterdir())))
        with place.store() as store:
            together = run_once(client, one, store, shard_rows=4096 * 64)
    table.rows = [
        {"what": "whole run (s)", "value": whole},
        {"what": "the same again, nothing left to do (s)", "value": again},
        {"what": "with every other marker gone (s)", "value": half},
        {
            "what": "a partition of 4,096 short texts, over a 64th of one partition (ms)",
            "value": (apart - together) / 64 * 1e3,
        },
    ]
    return table


def cold(place: Workplace, quick: bool) -> Table:
    """`paninifs run` from a shell to its prompt, beside the bare cluster that it starts."""
    corpus = place.folder / "small.jsonl"
    if not corpus.exists():
        corpora.jsonl(corpus, place.corpus(117_659, 75))
    bare = (
        "from dask.distributed import LocalCluster\n"
        "from dask.system import CPU_COUNT\n"
        "LocalCluster(n_workers=1, threads_per_worker=CPU_COUNT, processes=False,\n"
        "    protocol='tcp://', host='127.0.0.1', dashboard_address='127.0.0.1:0').close()\n"
    )
    command = "import sys; from paninifs.engine.cli import main; main()"
    seen: dict[str, list[float]] = {"bare": [], "run": []}
    # ext4 looks long for a file's place where others were deleted seconds ago: the stores are kept.
    with ExitStack() as kept:
        for _ in range(2 if quick else 9):
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", bare], check=True, capture_output=True)
            seen["bare"].append(time.perf_counter() - began)
            store = kept.enter_context(place.store())
            began = time.perf_counter()
            subprocess.run(
                [sys.executable, "-c", command, "run", corpus, store],
                check=True,
                capture_output=True,
            )
            seen["run"].append(time.perf_counter() - began)
    spreads = {name: Spread(tuple(seconds[1:])) for name, seconds in seen.items()}
    table = Table(
        "From a cold shell",
        "117,659 texts of ~75 bytes in JSON Lines, with a warm kernel cache, compared with a "
        "script that only imports dask.distributed and starts and closes the same cluster.",
    )
    ratio = spreads["run"].median / spreads["bare"].median
    table.rows = [
        {"what": "bare cluster (s)", "median": spreads["bare"].median},
        {"what": "paninifs run (s)", "median": spreads["run"].median, "× bare": ratio},
    ]
    return table


def run(quick: bool, folder: Path | None) -> Iterator[Table]:
    with tempfile.TemporaryDirectory(dir=folder) as name:
        place = Workplace(Path(name))
        yield cold(place, quick)
        yield from against_baselines(place, quick)
        yield from growth(place, quick)
        yield papers(place, quick)
        yield overheads(place, quick)


assert os.name == "posix", "peaks are read from /proc"
