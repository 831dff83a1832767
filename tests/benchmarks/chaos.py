"""A real corpus on a real cluster whose processes are killed all the time: ``make soak``.

    PYTHONPATH=tests/support python tests/benchmarks/chaos.py [--minutes 30] [--seed 0]
        [--corpus FILE] [--folder DIR] [--out DIR]

Scheduler, workers, nannies and client are killed with SIGKILL, or stopped with SIGSTOP for a
while, at random moments, and started again. Whenever a run has finished, its store has to be equal,
byte by byte, to that of a run that nobody disturbed, and a new one begins; the last store is
verified in full. It ends, with an exit code that is not zero, at the first difference, at the
first shard that was done and is computed again, and when nothing has come to an end for some
minutes. Writes DIR/chaos.json. Takes Linux.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import math
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from chaos_cast import Attempt, Cast, strike
from measure import Table, as_json, machine
from witness import Testimony, testimony

import paninifs as pf
from paninifs.storage.store.keys import DONE, RUN_FOLDER
from paninifs.storage.targets.local import LocalTarget

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "corpora" / "wordnet-glosses.jsonl.gz"
SAMPLE = ROOT / "tests" / "data" / "wordnet-2000.jsonl.gz"

SHARD_ROWS = 512
FILE_ROWS = 9_000  # every other file is a gzip: a task of many shards
DAMAGED_EVERY = 2_048  # rows; the damaged ones are quarantined
SHARD_SECONDS = 1.0  # that a shard's block takes: what is killed has to be found at work
WRITE_SECONDS = 0.02  # an object
SAMPLED = 4_096  # texts that are verified after every run

KILLS_A_MINUTE = 100 / 30  # at the least, with shards both done and pending
STALLED_SECONDS = 240
ROLES = {"worker": 5, "client": 4, "nanny": 2, "scheduler": 2, "everything": 1}
STOPPED_ROLES = {"worker": 2, "client": 1, "scheduler": 1}
STOPS = 0.2  # of all strikes; the others kill
AT_ONCE = 0.25  # of all strikes: they do not wait until the one before is mended


class Failure(Exception):
    """Something was lost, differs, or does not come to an end."""


def write_corpus(source: Path, folder: Path) -> int:
    """Write the corpus as several files, some compressed, some rows damaged; return its rows."""
    with gzip.open(source, "rt") as lines:
        records = [json.loads(line) for line in lines]
    if source.resolve() == SAMPLE.resolve():
        records = [
            {"id": f"{record['id']}-{turn}", "text": f"{record['text']} ({turn})"}
            for turn in range(60)
            for record in records
        ]
    lines_of = [json.dumps({"id": r["id"], "text": r["text"]}) + "\n" for r in records]
    for row in range(100, len(records), DAMAGED_EVERY):
        lines_of[row] = lines_of[row][:-3] + "\n"
    folder.mkdir()
    for number, start in enumerate(range(0, len(records), FILE_ROWS)):
        part = "".join(lines_of[start : start + FILE_ROWS]).encode()
        name = f"{number:03d}.jsonl"
        if number % 2:
            (folder / f"{name}.gz").write_bytes(gzip.compress(part, 1))
        else:
            (folder / name).write_bytes(part)
    return len(records)


def contents(store: Path) -> dict[str, str]:
    """Return the digest of every object that has to be the same whatever happened on the way."""
    target = LocalTarget(store)
    # The manifest, the index and the markers name the run, whose graph names its log.
    return {
        key: hashlib.sha256(target.get(key) or b"").hexdigest()
        for key in target.sizes()
        if not key.startswith(f"{RUN_FOLDER}/") and key != "zarr.json"
    }


@dataclass
class Strike:
    """What was sent to whom, and whether shards were both done and pending then."""

    role: str
    signal: str
    landed: bool


class Director:
    """Runs the corpus again and again and strikes meanwhile."""

    def __init__(self, cast: Cast, folder: Path, rows: int, chance: random.Random) -> None:
        self._cast, self._folder, self._rows, self._chance = cast, folder, rows, chance
        self.shards = -(-rows // SHARD_ROWS)
        self.strikes: list[Strike] = []
        self.runs = 0
        self.total = Testimony()
        self._stopped: list[tuple[float, psutil.Process]] = []
        self._store = folder / "none"
        self._first_texts: dict[str, int] = {}
        self._expected: dict[str, str] = {}
        self._expected_summary: dict[str, int] = {}

    @property
    def landed(self) -> int:
        return sum(s.landed and s.signal == "SIGKILL" for s in self.strikes)

    def attempt(self, name: str, scheduler: str | None, slow: float) -> Attempt:
        self._store = self._folder / f"{name}.zarr"
        log, said = (str(self._folder / f"{name}.{end}") for end in ("log", "txt"))
        return Attempt(
            str(self._folder / "corpus" / "*"),
            str(self._store),
            log,
            said,
            SHARD_ROWS,
            scheduler,
            slow * SHARD_SECONDS / SHARD_ROWS,
            slow * WRITE_SECONDS,
        )

    def rehearse(self) -> None:
        """Run once undisturbed, to know what every store has to be."""
        process = self.attempt("undisturbed", None, 0.0).start()
        process.join()
        if process.exitcode:
            raise Failure("the undisturbed run failed")
        results = pf.open_results(self._store)
        first = np.arange(0, self._rows, SHARD_ROWS)
        digests = np.asarray(results.digest)[first]
        self._first_texts = {row.tobytes().hex(): n for n, row in enumerate(digests)}
        if len(self._first_texts) < self.shards:
            raise Failure("two shards begin with the same text: the log could not tell them apart")
        self._expected, self._expected_summary = contents(self._store), self._counts()
        if self._expected_summary["rows"] != self._rows:
            raise Failure(f"{self._expected_summary} of {self._rows} rows")

    def _counts(self) -> dict[str, int]:
        return dict(json.loads((self._store / "zarr.json").read_text())["attributes"]["summary"])

    def run(self, until: float, kills: int) -> None:
        """Run the corpus once, striking until that time and until so many kills have landed."""
        attempt = self.attempt(f"run-{self.runs}", self._cast.address, 1.0)
        self._cast.perform(attempt)
        try:
            for _ in self._turns():
                self._heard(Path(attempt.log))
                if time.monotonic() < until or self.landed < kills:
                    self._strike()
        finally:
            self._wake(float("inf"))  # one whose nanny is dead would be left stopped for ever
        self.runs += 1
        self._check(Path(attempt.log))
        if self.runs > 1:
            shutil.rmtree(self._folder / f"run-{self.runs - 2}.zarr")

    def _turns(self) -> Iterator[None]:
        """Yield when the next strike is due, until the run has finished."""
        alive = time.monotonic()
        done, wanted = 0, 1
        due = alive + self._chance.uniform(0, 8)
        while not self._cast.tend():
            now = time.monotonic()
            self._wake(now)
            if self._done() > done:
                alive, done = now, self._done()
            if now - alive > STALLED_SECONDS:
                raise Failure(
                    f"no shard was finished for {STALLED_SECONDS} s, {done} are done; clients "
                    f"ended by themselves: {dict(self._cast.ends)}"
                )
            if done < wanted:
                due = max(due, now + 0.1)
            if now >= due:
                yield
                at_once = self._chance.random() < AT_ONCE
                wanted = 0 if at_once else self._done() + 1
                due = now + self._chance.uniform(0, 2 if at_once else 8)
            time.sleep(0.02)

    def _done(self) -> int:
        folder = self._store / DONE
        return sum(1 for _ in folder.glob("[0-9]*.json")) if folder.exists() else 0

    def _strike(self) -> None:
        stop = self._chance.random() < STOPS
        roles = STOPPED_ROLES if stop else ROLES
        (role,) = self._chance.choices([*roles], [*roles.values()])
        number = signal.SIGSTOP if stop else signal.SIGKILL
        before = self._done()
        struck = [p for p in self._cast.find(role, self._chance) if strike(p, number)]
        if not struck:
            return
        if stop:
            wake = time.monotonic() + self._chance.uniform(1, 25)
            self._stopped += [(wake, process) for process in struck]
        landed = 0 < before <= self._done() < self.shards
        self.strikes.append(Strike(role, number.name, landed))
        print(f"{number.name} {role}: {before} of {self.shards} shards done", flush=True)

    def _wake(self, now: float) -> None:
        for wake, process in self._stopped:
            if wake <= now:
                strike(process, signal.SIGCONT)
        self._stopped = [(wake, process) for wake, process in self._stopped if wake > now]

    def _check(self, log: Path) -> None:
        """Raise `Failure` unless the store is what it has to be, and nothing was done twice."""
        counts, found = self._counts(), contents(self._store)
        if counts != self._expected_summary:
            raise Failure(f"{self._store}: {counts}, undisturbed: {self._expected_summary}")
        if found != self._expected:
            different = {key for key, _ in found.items() ^ self._expected.items()}
            raise Failure(f"{self._store} differs from the undisturbed one: {sorted(different)}")
        seen = self._heard(log)
        self.total += seen
        self.verify(SAMPLED)
        print(f"run {self.runs}: equal and verified; {seen}", flush=True)

    def _heard(self, log: Path) -> Testimony:
        seen = testimony(log, self._first_texts) if log.exists() else Testimony()
        if seen.problems:
            raise Failure(f"{log}: {'; '.join(seen.problems)}")
        return seen

    def verify(self, sample: int | None) -> int:
        """Check the last store with the reference; return how many texts were computed again."""
        verification = pf.verify(self._store, sample=sample)
        if not verification.passed:
            raise Failure("; ".join(verification.problems))
        return verification.rows

    def tables(self, seconds: float, verified: int) -> list[Table]:
        """Return what was done to whom, and what came of it."""
        kills = Table("Kills", "Landed: with shards both done and pending.")
        for role, name in sorted({(s.role, s.signal) for s in self.strikes}):
            sent = [s.landed for s in self.strikes if (s.role, s.signal) == (role, name)]
            kills.rows.append({"signal": name, "to": role, "sent": len(sent), "landed": sum(sent)})
        cast = self._cast
        figures = {
            "kills (SIGKILL)": sum(s.signal == "SIGKILL" for s in self.strikes),
            "of them with shards both done and pending": self.landed,
            "stops (SIGSTOP, 1 to 25 s)": sum(s.signal == "SIGSTOP" for s in self.strikes),
            **{f"{role} started again": n for role, n in sorted(cast.restarts.items())},
            **{f"client ended by {name}": n for name, n in sorted(cast.ends.items())},
            "runs finished": self.runs,
            "rows a run": self._rows,
            "of them quarantined": self._expected_summary["quarantined"],
            "shards a run": self.shards,
            "rows in all": self._rows * self.runs,
            "shards begun": self.total.computed,
            "of them again, for they were in flight when something died": self.total.again,
            "of them again, though they were done": len(self.total.problems),
            "finished by a dead driver's task too late to count": self.total.swept,
            "stores equal to an undisturbed one": self.runs,
            "rows verified in the last store": verified,
            "seconds": round(seconds),
        }
        rows = [{"what": what, "figure": figure} for what, figure in figures.items()]
        return [kills, Table("Chaos", "", rows)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--corpus", type=Path, default=REAL if REAL.exists() else SAMPLE)
    parser.add_argument("--folder", type=Path, help="where stores may lie for a while")
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="chaos-", dir=options.folder))
    kills = math.ceil(options.minutes * KILLS_A_MINUTE)
    print(f"{options.corpus.name}, seed {options.seed}, {kills} kills have to land; {folder}")
    rows = write_corpus(options.corpus, folder / "corpus")
    cast = Cast(folder)
    director = Director(cast, folder, rows, random.Random(options.seed))
    try:
        director.rehearse()
        began = time.monotonic()
        until = began + 60 * options.minutes
        while time.monotonic() < until or director.landed < kills:
            director.run(until, kills)
        verified = director.verify(None)
        seconds = time.monotonic() - began
    except Failure as failure:
        sys.exit(f"{failure}\neverything is kept in {folder}")
    finally:
        cast.close()
    tables = director.tables(seconds, verified)
    print("\n".join(table.markdown() for table in tables))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "chaos.json").write_text(json.dumps(as_json(machine(), tables), indent=1) + "\n")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
