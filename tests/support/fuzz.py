"""Fuzzing of corpus formats: damaged files, read in a child process, and what must hold of them.

A *target* is a function ``target(chance) -> Case`` that makes one damaged file from a
`random.Random`. A test file ``tests/storage/test_fuzz_*.py`` names its targets in a dict `TARGETS`.
A child process makes and reads one case after the other. When it dies or hangs, that is a finding,
and another child goes on with the next case. Case N of seed S is the same on every machine::

    make fuzz MINUTES=60 SEED=0                                 every target, in turn
    python tests/support/fuzz.py --only parquet --seed 0 --first 1234 --cases 1     one case again

What must hold of every file, whatever its format:

- the process lives, and each case takes seconds and bounded memory;
- nothing but a `PaniniError` is raised;
- every row that was counted is read once: it has a text, or a fault with a reason;
- a file without rows says why it has none;
- a part of the rows reads as it does within the whole.

What a target knows beyond that, such as the texts that must be there, is in its `Case.judge`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import queue
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paths import TESTS

CASE_SECONDS = 60.0
"""Seconds that a case may take before its child is killed as hung. Most take milliseconds."""

MEMORY_BYTES = 2 << 30
"""Bytes by which the peak memory of a child may grow during one case."""

ADDRESS_BYTES = 64 << 30
"""Address space of a child, so that no case takes the whole machine's memory."""

MESSAGE_LENGTH = 8_192
"""Characters of the longest message about one file."""

FOLDERS = (TESTS / "support", TESTS / "storage")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What reading a case came to."""

    refused: str | None = None  # the error, if the corpus as a whole was refused
    problem: str | None = None  # of the file, as the index has it
    texts: Sequence[str | None] = ()  # of all rows that were counted
    reasons: Mapping[int, str] = field(default_factory=dict)  # by row, of those without a text
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)  # id and kept columns


@dataclass(frozen=True, kw_only=True)
class Case:
    """One file, how it came about, and how to judge what is read from it."""

    name: str  # of the file, with its ending
    data: bytes
    how: str  # the mutations, for the report
    judge: Callable[[Outcome], str | None] = lambda _: None  # what is wrong, if anything
    options: Mapping[str, Any] = field(default_factory=dict)  # of `open_corpus`


Target = Callable[[random.Random], Case]


@dataclass(frozen=True)
class Finding:
    """A case of which something does not hold."""

    target: str
    seed: int
    number: int
    what: str

    def __str__(self) -> str:
        again = f"--only {self.target} --seed {self.seed} --first {self.number} --cases 1"
        return f"{self.target} {self.seed}/{self.number} ({again}): {self.what}"


# --- mutations of bytes ---------------------------------------------------------------------------


def mutated(data: bytes, chance: random.Random, other: bytes = b"") -> tuple[bytes, str]:
    """Return damaged bytes and what was done to them: one to three mutations.

    Bits are flipped; runs of bytes are overwritten, removed, repeated or moved; the end is cut off;
    pieces of `other` are spliced in.
    """
    done = []
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        mutation = chance.choice(_MUTATIONS)
        if not data:
            break
        data, what = mutation(data, chance, other or data)
        done.append(what)
    return data, ", ".join(done)


def _flip(data: bytes, chance: random.Random, _: bytes) -> tuple[bytes, str]:
    flipped = bytearray(data)
    bits = [chance.randrange(8 * len(data)) for _ in range(chance.choice((1, 1, 2, 8)))]
    for bit in bits:
        flipped[bit // 8] ^= 1 << bit % 8
    return bytes(flipped), f"flipped bits {bits}"


def _span(data: bytes, chance: random.Random) -> tuple[int, int]:
    start = chance.randrange(len(data))
    return start, min(len(data), start + chance.choice((1, 2, 4, 16, 100, 1000)))


def _overwrite(data: bytes, chance: random.Random, _: bytes) -> tuple[bytes, str]:
    start, stop = _span(data, chance)
    kind = chance.choice(("random", "zeros", "ones", "high"))
    run = {
        "random": lambda: chance.randbytes(stop - start),
        "zeros": lambda: bytes(stop - start),
        "ones": lambda: b"\x01" * (stop - start),
        "high": lambda: b"\xff" * (stop - start),
    }[kind]()
    return data[:start] + run + data[stop:], f"{kind} over {start}-{stop}"


def _remove(data: bytes, chance: random.Random, _: bytes) -> tuple[bytes, str]:
    start, stop = _span(data, chance)
    return data[:start] + data[stop:], f"removed {start}-{stop}"


def _repeat(data: bytes, chance: random.Random, _: bytes) -> tuple[bytes, str]:
    start, stop = _span(data, chance)
    return data[:stop] + data[start:stop] + data[stop:], f"repeated {start}-{stop}"


def _truncate(data: bytes, chance: random.Random, _: bytes) -> tuple[bytes, str]:
    stop = chance.randrange(len(data))
    return data[:stop], f"cut at {stop}"


def _splice(data: bytes, chance: random.Random, other: bytes) -> tuple[bytes, str]:
    start, stop = _span(other, chance)
    at = chance.randrange(len(data) + 1)
    over = chance.choice((0, stop - start))
    return data[:at] + other[start:stop] + data[at + over :], f"{start}-{stop} spliced at {at}"


_MUTATIONS = (_flip, _flip, _overwrite, _remove, _repeat, _truncate, _splice)


# --- the child: reading ---------------------------------------------------------------------------


def read(path: Path, options: Mapping[str, Any], span: tuple[int, int] | None = None) -> Outcome:
    """Return what the engine reads from a corpus of one file, or from ``[start, stop)`` of it."""
    import paninifs as pf
    from paninifs.storage.corpus.columns import own_columns
    from paninifs.storage.corpus.reading import read_stretches
    from paninifs.storage.errors import PaniniError

    try:
        corpus = pf.open_corpus(path, **options)
        index = corpus.index
    except PaniniError as error:
        return Outcome(refused=str(error))
    try:
        own_columns(index, corpus.opener)  # as `export` does
        texts: list[str | None] = []
        reasons: dict[int, str] = {}
        columns: dict[str, list[Any]] = {column.name: [] for column in index.selection.others}
        stretches = index.stretches(*(span or (0, index.rows)))
        for _, row, rows in read_stretches(stretches, corpus.opener, index.selection):
            texts += rows.text.to_pylist()
            for name, values in rows.columns.items():
                columns[name] += values.to_pylist()
            for fault in rows.faults:
                first = row + fault.row - rows.start
                reasons |= dict.fromkeys(range(first, first + fault.rows), fault.reason)
    except PaniniError as error:
        return Outcome(refused=str(error))
    return Outcome(problem=index.files[0].problem, texts=texts, reasons=reasons, columns=columns)


def faults_of(case: Case, path: Path, chance: random.Random) -> str | None:
    """Return what is wrong with how a case is read, if anything."""
    before = _peak_bytes()
    outcome = read(path, case.options)
    if _peak_bytes() - before > MEMORY_BYTES:
        return f"took {(_peak_bytes() - before) >> 20:,} MiB"
    return _general(outcome) or case.judge(outcome) or _in_part(outcome, case, path, chance)


def _general(outcome: Outcome) -> str | None:
    if outcome.refused is not None:
        return _about_message(outcome.refused)
    missing = {row for row, text in enumerate(outcome.texts) if text is None}
    if missing != set(outcome.reasons):
        differing = sorted(missing ^ set(outcome.reasons))
        return f"rows {differing[:10]} have no text and no reason, or both"
    for message in {*outcome.reasons.values(), outcome.problem}:
        if message is not None and (wrong := _about_message(message)):
            return wrong
    return None


def _about_message(message: str) -> str | None:
    if not message.strip():
        return "an empty message"
    if len(message) > MESSAGE_LENGTH:
        return f"a message of {len(message):,} characters: {message[:200]!r}"
    return None


def _in_part(outcome: Outcome, case: Case, path: Path, chance: random.Random) -> str | None:
    rows = len(outcome.texts)
    if not rows or chance.random() > 0.3:
        return None
    start = chance.randrange(rows)
    stop = chance.randint(start + 1, rows)
    part = read(path, case.options, (start, stop))
    if list(part.texts) != list(outcome.texts[start:stop]):
        return f"rows {start}-{stop - 1} differ when they are read alone"
    return None


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def chance_of(target: str, seed: int, number: int) -> random.Random:
    """Return the random choices of one case, and its number, for targets that count."""
    chance = random.Random(f"{target}-{seed}-{number}")
    chance.number = number
    return chance


def _child(target: str, seed: int, first: int, most: int, keep: Path | None) -> None:
    """Read cases, saying on standard output which one begins and what is wrong with it."""
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES, ADDRESS_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    make = load(target)
    shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        for number in range(first, first + most):
            _say("begin", number)
            chance = chance_of(target, seed, number)
            # Never one name twice, because nothing else may tell two files of one size apart.
            path = Path(folder, str(number))
            case = make(chance)
            path = path.with_name(f"{number}-{case.name}")
            path.write_bytes(case.data)
            if keep:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{target}-{seed}-{path.name}").write_bytes(case.data)
            try:
                wrong = faults_of(case, path, chance)
            except Exception:  # noqa: BLE001 (that anything is raised is the finding)
                wrong = traceback.format_exc(limit=-6)
            path.unlink()
            if wrong:
                _say("wrong", number, f"{wrong} [{case.how}]")
        _say("end", first + most)


def _say(*report: Any) -> None:
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()


# --- the parent: children, and the time -----------------------------------------------------------


def targets() -> dict[str, Target]:
    """Return all targets of ``tests/storage/test_fuzz_*.py`` by name."""
    found: dict[str, Target] = {}
    for path in sorted((TESTS / "storage").glob("test_fuzz_*.py")):
        found |= importlib.import_module(path.stem).TARGETS
    return found


def load(target: str) -> Target:
    """Return the target of a name."""
    return targets()[target]


def findings(
    target: str,
    *,
    seed: int = 0,
    first: int = 0,
    cases: int = 1 << 40,
    seconds: float = float("inf"),
    keep: Path | None = None,
) -> tuple[list[Finding], int]:
    """Read cases of a target, until they or the time run out.

    Parameters
    ----------
    cases, seconds : int, float
        Whichever ends first.
    keep : Path, optional
        A folder for the files of all these cases.

    Returns
    -------
    list of Finding, int
        What does not hold, and the number of cases that were read.
    """
    ends = time.monotonic() + seconds
    found: list[Finding] = []
    number = first
    while number < first + cases and time.monotonic() < ends:
        for kind, at, *what in _reports(target, seed, number, first + cases - number, ends, keep):
            number = at if kind in ("begin", "end") else at + 1
            if what:
                found.append(Finding(target, seed, at, what[0]))
    return found, number - first


def _reports(
    target: str, seed: int, first: int, most: int, ends: float, keep: Path | None
) -> Iterator[list[Any]]:
    """Yield the reports of one child, and one of its death before its time."""
    command = [sys.executable, "-P", __file__, "--child", "--only", target, "--seed", str(seed)]
    command += ["--first", str(first), "--cases", str(most), *(["--keep", keep] if keep else [])]
    path = os.pathsep.join([*map(str, FOLDERS), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path}
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            list(map(str, command)), stdout=subprocess.PIPE, stderr=errors, env=environment
        )
        lines: queue.Queue[bytes] = queue.Queue()
        assert child.stdout is not None
        reader = threading.Thread(target=_forward, args=(child.stdout, lines), daemon=True)
        reader.start()
        last = None
        try:
            while time.monotonic() < ends:
                try:
                    line = lines.get(timeout=min(CASE_SECONDS, max(0.1, ends - time.monotonic())))
                except queue.Empty:
                    if time.monotonic() < ends:
                        yield ["died", last or first, f"hangs: nothing for {CASE_SECONDS:.0f} s"]
                    return
                if not line:
                    break
                kind, last, *_ = report = json.loads(line)
                yield report
                if kind == "end":
                    return
            else:
                return
            status = child.wait()
            errors.seek(0)
            tail = errors.read()[-2000:].decode(errors="replace").strip()
            if last is None:
                raise RuntimeError(f"no case of {target!r} could be made: {tail}")
            yield ["died", last, f"the process ended with {status}: {tail}"]
        finally:
            child.kill()
            child.wait()
            reader.join()


def _forward(pipe: Any, lines: queue.Queue[bytes]) -> None:
    with pipe:
        for line in pipe:
            lines.put(line)
    lines.put(b"")


def main() -> None:
    """Fuzz every target for an equal share of the time; exit with 1 if there are findings."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60.0, help="for all targets together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="a target")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--cases", type=int, default=1 << 40, help="most cases per target")
    parser.add_argument("--keep", type=Path, help="a folder for the files of all cases")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    sys.path[:0] = map(str, FOLDERS)  # targets import one another, and helpers
    if wanted.child:
        _child(wanted.only, wanted.seed, wanted.first, wanted.cases, wanted.keep)
        return
    names = [wanted.only] if wanted.only else list(targets())
    everything: list[Finding] = []
    for name in names:
        found, read_ = findings(
            name,
            seed=wanted.seed,
            first=wanted.first,
            cases=wanted.cases,
            seconds=60 * wanted.minutes / len(names),
            keep=wanted.keep,
        )
        everything += found
        lines = [f"{name}: {read_:,} cases, {len(found)} findings", *map(str, found)]
        sys.stdout.write("\n\n".join(lines) + "\n")
        sys.stdout.flush()
    sys.exit(1 if everything else 0)


if __name__ == "__main__":
    main()
