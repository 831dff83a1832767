"""Is the advisor right about this machine? Calibrates it, then runs corpora that it has not seen.

`make bench-advice`. The corpora are short texts (WordNet's glosses, over and over, in JSON Lines),
long ones (documents of 12 kB, in Parquet) and a mixture (log-normal, 20 bytes to 200 kB, in CSV).
Each is predicted from what counting it finds, then run by the command from a shell; the commands
take turns, medians are kept.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import corpora
import measure
import numpy as np
import pyarrow as pa
import pyarrow.csv

import paninifs as pf
from paninifs.engine.calibrate import calibrate
from paninifs.engine.costs.catalogue_files import open_catalogue
from paninifs.engine.costs.prediction import predict
from paninifs.engine.costs.this_machine import describe_this_machine
from paninifs.engine.costs.work import Work

GLOSSES = Path(__file__).parents[1] / "data" / "wordnet-2000.jsonl.gz"
ALLOWED = 0.25


def short(folder: Path) -> Path:
    """Glosses, as they are in their file."""
    with gzip.open(GLOSSES, "rb") as lines:
        once = lines.read()
    path = folder / "glosses.jsonl"
    with path.open("wb") as out:
        for _ in range(1500):
            out.write(once)
    return path


def long(folder: Path) -> Path:
    """Documents of 12 kB."""
    return corpora.parquet(folder / "documents.parquet", 80_000, 12_000)


def mixed(folder: Path) -> Path:
    """Lengths from 20 bytes to 200 kB."""
    path = folder / "mixed.csv"
    rng = np.random.default_rng(11)
    lengths = np.clip(rng.lognormal(np.log(250), 1.6, 400_000), 20, 200_000).astype(int)
    stream = corpora.texts(1, 4_000_000).to_strings()[0]
    starts = rng.integers(0, len(stream) - 200_000, len(lengths))
    texts = [stream[a : a + n] for a, n in zip(starts.tolist(), lengths.tolist(), strict=True)]
    table = pa.table({"id": np.arange(len(texts)), "text": texts})
    pa.csv.write_csv(table, path)
    return path


def timed(path: Path, folder: Path) -> float:
    """Seconds of the command, from the shell and back."""
    with tempfile.TemporaryDirectory(dir=folder) as results:
        program = "from paninifs.engine.cli import main; main()"
        words = ["run", str(path), str(Path(results) / "results.zarr")]
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", program, *words], check=True, capture_output=True)
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    calibration = calibrate(report=print)
    here = describe_this_machine(open_catalogue())
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paths = {made.__name__: made(folder) for made in (short, long, mixed)}
        timed(paths["short"], folder)  # warm
        seen: dict[str, list[float]] = {name: [] for name in paths}
        for _ in range(arguments.rounds):
            for name, path in paths.items():
                seen[name].append(timed(path, folder))
        for name, path in paths.items():
            work = Work.on(pf.open_corpus(path))
            prediction = predict(here, work, calibration)
            real = statistics.median(seen[name])
            rows.append(
                {
                    "corpus": name,
                    "format": work.format,
                    "texts": work.texts,
                    "mean bytes": round(work.mean_bytes),
                    "predicted (s)": prediction.seconds,
                    "took (s)": real,
                    "range": f"{min(seen[name]):.2f} to {max(seen[name]):.2f}",
                    "predicted / took": prediction.seconds / real,
                    "bound": prediction.bound,
                }
            )
    table = measure.Table(
        "Predicted and real runs of this machine",
        f"The whole command, from the shell and back, {arguments.rounds} rounds in turn, medians.",
        rows,
    )
    print(table.markdown())
    arguments.out.mkdir(parents=True, exist_ok=True)
    document = measure.as_json(measure.machine(), [table]) | {"calibration": asdict(calibration)}
    (arguments.out / "advice.json").write_text(json.dumps(document, indent=1) + "\n")
    wrong = [
        row["corpus"] for row in rows if not 1 - ALLOWED <= row["predicted / took"] <= 1 + ALLOWED
    ]
    if wrong:
        raise SystemExit(f"predicted wrongly by more than {ALLOWED:.0%}: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
