"""Does a sample say what the whole takes? Rehearses corpora, runs them, and compares.

`make bench-sample`. Short texts (WordNet's glosses, over and over, in JSON Lines), long ones (5 kB,
in Parquet), a few short ones, and those with a slow block of one's own; on two worker processes and
on threads. A rehearsal and a run take turns, for another may have the machine meanwhile; of the
ratios the medians count.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import corpora
import measure

import paninifs as pf

GLOSSES = Path(__file__).parents[1] / "data" / "wordnet-2000.jsonl.gz"
ALLOWED = 0.25
SLOW_TURNS = 2_000  # of a loop: a third of a millisecond a text, about


@pf.map_block(fields=[pf.Field("turns", "int64")], version="1")
def slow(text: pf.PackedText) -> Any:
    """What takes the processor long."""
    found = (text.offsets[1:] - text.offsets[:-1]).astype("int64")
    for row in range(len(text)):
        value = int(found[row])
        for turn in range(SLOW_TURNS):
            value = (value * 31 + turn) % 1_000_003
        found[row] = value
    return found


@dataclass(frozen=True)
class Case:
    """A corpus, and what is computed of it."""

    name: str
    make: Callable[[Path], Path]
    graph: pf.Graph


def glosses(times: int) -> Callable[[Path], Path]:
    """Two thousand glosses, so many times."""

    def make(folder: Path) -> Path:
        path = folder / f"{times}.jsonl"
        once = gzip.decompress(GLOSSES.read_bytes())
        with path.open("wb") as out:
            for _ in range(times):
                out.write(once)
        return path

    return make


def documents(folder: Path) -> Path:
    """Texts of 5 kB."""
    return corpora.parquet(folder / "documents.parquet", 150_000, 5_000)


CASES = (
    Case("1 M glosses", glosses(500), pf.default_graph()),
    Case("3 M glosses", glosses(1500), pf.default_graph()),
    Case("150,000 of 5 kB", documents, pf.default_graph()),
    Case("118,000 glosses", glosses(59), pf.default_graph()),
    Case("60,000 glosses, slow block", glosses(30), pf.default_graph() + slow),
)


def peak_bytes() -> int:
    """The most that this process held so far, on Linux."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def compared(case: Case, folder: Path, cluster: str, rounds: int) -> Iterator[dict[str, float]]:
    """Rehearse and run in turn; yield what was projected over what it was."""
    path, store = case.make(folder), folder / "results.zarr"
    size = {"workers": 2} if cluster == "cpu" else {}
    for _ in range(rounds):
        with pf.connect(cluster, quiet=True, **size) as client:
            found = pf.rehearse(case.graph, pf.open_corpus(path), store, client=client)
            began = time.perf_counter()
            corpus = pf.open_corpus(path)
            pf.submit(case.graph, corpus, store, client=client, progress=False).result()
            took = time.perf_counter() - began
            peak = max(client.run(peak_bytes).values())
        disk = sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
        shutil.rmtree(store)
        yield {
            "sampling (s)": found.took,
            "took (s)": took,
            "time": found.seconds / took,
            "disk": found.disk / disk,
            "memory": found.memory.nbytes / peak,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    rows, wrong = [], []
    for case in (one for one in CASES if arguments.only in one.name):
        for cluster in ("cpu", "threads"):
            with tempfile.TemporaryDirectory() as folder:
                seen = list(compared(case, Path(folder), cluster, arguments.rounds))
            medians = {key: statistics.median(one[key] for one in seen) for key in seen[0]}
            ratios = sorted(one["time"] for one in seen)
            row = {"corpus": case.name, "cluster": cluster, **medians}
            rows.append(row | {"time, range": f"{ratios[0]:.2f} to {ratios[-1]:.2f}"})
            print(rows[-1], flush=True)
            off = [key for key in ("time", "disk", "memory") if abs(medians[key] - 1) > ALLOWED]
            wrong += [f"{key} of {case.name} on {cluster}" for key in off]
    note = f"Projected over real, {arguments.rounds} rounds in turn, medians."
    table = measure.Table("What a sample projects", note, rows)
    print(table.markdown())
    arguments.out.mkdir(parents=True, exist_ok=True)
    document = measure.as_json(measure.machine(), [table])
    (arguments.out / "samples.json").write_text(json.dumps(document, indent=1) + "\n")
    if wrong:
        raise SystemExit(f"projected wrongly by more than {ALLOWED:.0%}: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
