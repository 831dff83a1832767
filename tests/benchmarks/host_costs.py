"""What the host spends on a text, however fast its device: whole runs on a device without cost.

CPU time of this process, per text, with the backend ``cpu`` and with a stand-in for an infinitely
fast GPU, in turn. A second stand-in takes 20 ms for each micro-batch, which shows how many are in
flight.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from measure import Table
from runs import Workplace

import paninifs as pf

sys.path.append(str(Path(__file__).parents[1] / "support"))
import instant_device

ROUNDS = 5
TEXTS = {100: 1_000_000, 5_000: 60_000}  # by mean length in bytes
MEMORY_DISK = Path("/dev/shm")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=MEMORY_DISK)
    options = parser.parse_args()
    table = Table("CPU time per text of a whole run, in µs", f"{options.threads} threads, Parquet")
    with (
        tempfile.TemporaryDirectory(dir=options.folder) as folder,
        pf.connect("threads", threads=options.threads, quiet=True) as client,
    ):
        place = Workplace(Path(folder))
        for nbytes, texts in TEXTS.items():
            count = texts // 10 if options.quick else texts
            corpus = place.corpus(count, nbytes)
            spent: dict[str, list[float]] = {"cpu": [], "instant": []}
            for _ in range(1 if options.quick else ROUNDS):
                with instant_device.watched() as instant:
                    for backend, seconds in spent.items():
                        seconds.append(_cpu_seconds(client, corpus, place, backend))
            with instant_device.watched(latency=0.02) as slow:
                _cpu_seconds(client, corpus, place, "instant")
            cpu, device = (statistics.median(one) * 1e6 / count for one in spent.values())
            table.rows.append(
                {
                    "bytes a text": nbytes,
                    "cpu": cpu,
                    "device without cost": device,
                    "ratio": device / cpu,
                    "texts a launch": int(statistics.median(instant.texts)),
                    "in flight": int(statistics.median(slow.together)),
                }
            )
    print(table.markdown())


def _cpu_seconds(client: object, corpus: Path, place: Workplace, backend: str) -> float:
    with place.store() as store:
        began = time.process_time()
        options = {"client": client, "backend": backend, "progress": False}
        pf.submit(pf.default_graph(), pf.open_corpus(corpus), store, **options).result()
        return time.process_time() - began


if __name__ == "__main__":
    main()
