"""What it costs a run to be watched: ``make bench-watching``.

    python watching.py [--quick] [--out DIR]

One warm cluster of two workers, one Parquet corpus of short texts, the default graph. In every
round each of these has its turn, and what it took is compared with the first in it: seconds, and
seconds of the processors that client, scheduler and workers used, which a busy machine disturbs
less. What workers tell of themselves by the way, with every shard, is on both sides.

- no display, and no events
- as a run is by default: dask's scheduler is told of it, for the tab and for Prometheus
- the same with the tab open (a visitor's session in a process of its own, which follows every
  change; a visitor is elsewhere as a rule, so theirs gets what the others leave of the processors)
- the same with the live card of a notebook, replaced as often as there

Writes DIR/watching.json.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import corpora
import numpy as np
import psutil
from measure import machine

import paninifs as pf
from paninifs.engine.monitoring.dashboard import telemetry
from paninifs.engine.monitoring.display.notebook import Notebook
from paninifs.engine.monitoring.display.notes import notes_of
from paninifs.engine.monitoring.recorder import Recorder

NOBODY = "no display"


@contextmanager
def untold() -> Iterator[None]:
    """Nobody is told of a run."""
    with mock.patch.object(Recorder, "_record"), mock.patch.object(telemetry.Telemetry, "send"):
        yield


def visitor(url: str, there: Any, gone: Any) -> None:
    """Have the tab open until told to go."""
    from bokeh.client import pull_session

    os.nice(19)
    with pull_session(url=url) as session:
        there.set()
        while not gone.wait(0.5):
            session.force_roundtrip()


@contextmanager
def tab_open(url: str) -> Iterator[None]:
    context = multiprocessing.get_context("spawn")
    there, gone = context.Event(), context.Event()
    process = context.Process(target=visitor, args=(url, there, gone), daemon=True)
    process.start()
    if not there.wait(60):
        raise SystemExit(f"nobody could open {url}")
    try:
        yield
    finally:
        gone.set()
        process.join()


@contextmanager
def card_shown(_: str) -> Iterator[None]:
    """A notebook shows the run; what its front end does with it is not counted."""
    from IPython import display

    submit = pf.submit

    def shown(*arguments: Any, **options: Any) -> pf.Run:
        run = submit(*arguments, **options)
        run.events.subscribe(Notebook(run._repr_html_, notes_of).listen)
        return run

    with (
        mock.patch.object(display.DisplayHandle, "display"),
        mock.patch.object(display.DisplayHandle, "update"),
        mock.patch.object(pf, "submit", shown),
    ):
        yield


WAYS: dict[str, Any] = {
    NOBODY: lambda _: untold(),
    "default settings": lambda _: nullcontext(),
    "tab open": tab_open,
    "notebook's card": card_shown,
}


def processors(pids: list[int]) -> float:
    """Seconds that processes have used of processors."""
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids)


def measure(rounds: int, texts: int) -> dict[str, list[tuple[float, float]]]:
    """Return what every run took, by how it was watched: seconds, and seconds of processors."""
    taken: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder, pf.connect(workers=2, quiet=True) as client:
        corpus = pf.open_corpus(corpora.parquet(Path(folder) / "c.parquet", texts, 100))
        store, tab = Path(folder) / "r.zarr", client.dashboard_link.replace("/status", "/paninifs")
        pids = [os.getpid(), *client.run(os.getpid).values()]
        for turn in range(rounds + 1):
            # In another order each time: a machine is not the same after a second's work.
            for way, watched in random.Random(turn).sample(list(WAYS.items()), len(WAYS)):
                shutil.rmtree(store, ignore_errors=True)
                with watched(tab):
                    began, used = time.perf_counter(), processors(pids)
                    pf.submit(
                        pf.default_graph(), corpus, store, client=client, progress=False
                    ).result()
                    took = time.perf_counter() - began, processors(pids) - used
                    if turn:  # the first is to warm up
                        taken[way].append(took)
    return taken


def against(each: Sequence[float], first: Sequence[float]) -> dict[str, float]:
    """Return how many times the first something took, by rounds, and between what that lies.

    So it does with 95 % of the samples that may be drawn of the rounds, with replacement.
    """
    ratios = np.array(each) / np.array(first)
    again = np.random.default_rng(0).choice(ratios, (10_000, len(ratios)))
    low, high = np.percentile(np.median(again, axis=1), [2.5, 97.5])
    return {"median": float(np.median(ratios)), "from": float(low), "to": float(high)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    given = parser.parse_args()
    rounds, texts = (5, 1_000_000) if given.quick else (14, 3_000_000)
    taken = measure(rounds, texts)
    first = list(zip(*taken[NOBODY], strict=True))
    found = {}
    for way, rows in taken.items():
        seconds, used = zip(*rows, strict=True)
        found[way] = {
            "texts per second": texts / statistics.median(seconds),
            "seconds, times the first": against(seconds, first[0]),
            "seconds of processors, times the first": against(used, first[1]),
        }
        print(f"{way:16} {texts / statistics.median(seconds):12,.0f} texts/s", end="")
        for name in ("seconds", "seconds of processors"):
            one = found[way][f"{name}, times the first"]
            print(f"   {name} × {one['median']:.3f} ({one['from']:.3f} to {one['to']:.3f})", end="")
        print()
    given.out.mkdir(parents=True, exist_ok=True)
    document = {"machine": machine(), "texts": texts, "rounds": rounds, "ways": found}
    (given.out / "watching.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
