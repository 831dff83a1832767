"""The speed and the result of climbs, side by side with plain ones: ``make bench-climbing``.

    PYTHONPATH=tests/support python tests/benchmarks/climbing.py [--evaluations 20000] [--rounds 3]
        [--out DIR]

For both objectives that come with the engine, from one start: the plain sequential hill climb of a
user's own script, in Python and with one vectorised candidate at a time, and a climb on two worker
processes, in turn. Then batches that sleep for 50 ms, on 1, 2 and 8 workers, beside a bare loop
over dask's `as_completed` with as many in flight. Writes DIR/climbing.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from measure import Table, as_json, machine
from plain_objectives import plain_climb, plain_score

import paninifs as pf

WORKERS = (1, 2, 8)
BATCHES_PER_WORKER = 40

SLEEP = 0.05
"""Seconds that a batch sleeps."""


# --- plain climbs ---------------------------------------------------------------------------------


def changes(objective, seed):
    """Return a function that changes a state as the engine's own neighbourhoods do."""
    rng, space = np.random.default_rng(seed), objective.space
    step = np.array([space.first_step])
    return lambda state: space.neighbours(rng, state, step)[0]


def plain(objective, score, evaluations, seed):
    return plain_climb(score, changes(objective, seed), objective.start, evaluations)


def vectorised(objective):
    """Return the objective's own score of one candidate."""
    space = objective.space
    return lambda state: float(objective.function(space.argument(state[None]))[0])


def climbed(objective, evaluations, seed, client):
    with tempfile.TemporaryDirectory() as results:
        began = time.perf_counter()
        options = {"evaluations": evaluations, "seed": seed, "client": client, "progress": False}
        summit = pf.climb(objective, results=results, **options).result()
        return summit.score, summit.evaluations / (time.perf_counter() - began)


def compared(objective, evaluations, rounds):
    """Return a table of the contenders' best scores and evaluations per second."""
    found = {"plain Python": [], "one vectorised candidate": [], "climb": []}
    with pf.connect("cpu", workers=2, quiet=True) as client:
        climbed(objective, 4_000, 0, client)  # the workers have imported what they need
        for seed in range(rounds):
            few = (
                evaluations // 100
                if objective.name == "signature_separation"
                else evaluations // 20
            )
            _, rate = plain(objective, plain_score(objective), few, seed)
            one = plain(objective, vectorised(objective), evaluations, seed)
            found["plain Python"].append((one[0], rate))  # the same states, sooner
            found["one vectorised candidate"].append(one)
            found["climb"].append(climbed(objective, evaluations, seed, client))
    table = Table(objective.name, f"{evaluations:,} evaluations from one start, {rounds} seeds.")
    ours = statistics.median(rate for _, rate in found["climb"])
    for name, pairs in found.items():
        rate = statistics.median(rate for _, rate in pairs)
        table.rows.append(
            {
                "contender": name,
                "scores": " ".join(f"{score:.4f}" for score, _ in pairs),
                "per second": rate,
                "range": f"{min(r for _, r in pairs):,.0f} to {max(r for _, r in pairs):,.0f}",
                "climb is faster by": ours / rate,
            }
        )
    return table


# --- batches that sleep ---------------------------------------------------------------------------


@pf.objective(vectorized=True)
def sleeping(masks):
    time.sleep(SLEEP)
    return masks.sum(axis=1)


def bare(client, batches, in_flight):
    """Return the batches per second of a bare loop over dask's `as_completed`."""
    from distributed import as_completed

    states = np.zeros((8, 16), np.uint8)
    began = time.perf_counter()
    waiting = as_completed(
        [client.submit(sleeping.function, states, pure=False) for _ in range(in_flight)]
    )
    left = batches - in_flight
    for done in waiting:
        done.result()
        if left > 0:
            waiting.add(client.submit(sleeping.function, states, pure=False))
            left -= 1
    return batches / (time.perf_counter() - began)


def climbing(client, batches, in_flight):
    """Return the batches per second of a climb with as many in flight."""
    with tempfile.TemporaryDirectory() as results:
        began = time.perf_counter()
        pf.climb(
            sleeping,
            pf.Masks(16),
            results,
            evaluations=8 * batches,
            climbers=in_flight,
            neighbours=8,
            batch=8,
            client=client,
            progress=False,
        ).result()
        return batches / (time.perf_counter() - began)


def asleep(workers, rounds):
    """Return a row: a climb over a bare loop, in turn, on some workers."""
    batches, in_flight = BATCHES_PER_WORKER * workers, 4 * workers
    with pf.connect("cpu", workers=workers, threads=1, memory="600 MB", quiet=True) as client:
        client.wait_for_workers(workers)
        climbing(client, 4 * workers, in_flight), bare(client, 4 * workers, in_flight)
        pairs = [
            (climbing(client, batches, in_flight), bare(client, batches, in_flight))
            for _ in range(rounds)
        ]
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratios = [one / other for one, other in pairs]
    return {
        "workers": workers,
        "in flight": in_flight,
        "climb, batches per second": ours,
        "bare loop": theirs,
        "ratio": statistics.median(ratios),
        "range": f"{min(ratios):.2f} to {max(ratios):.2f}",
        "ideal": workers / SLEEP,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--evaluations", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    tables = [
        compared(objective, options.evaluations, options.rounds)
        for objective in (pf.dictionary_ambiguity(), pf.signature_separation())
    ]
    slept = Table("batches that sleep 50 ms", f"In turn with a bare loop, {options.rounds} rounds.")
    slept.rows = [asleep(workers, options.rounds) for workers in WORKERS]
    tables.append(slept)
    for table in tables:
        print(table.markdown(), flush=True)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "climbing.json").write_text(json.dumps(as_json(machine(), tables), indent=1))


if __name__ == "__main__":
    main()
