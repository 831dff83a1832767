"""A target and a block that write a log, and a check that the log shows nothing done twice.

Imported by workers and clients too. The log is outside the store. It has one line per event,
appended atomically by any process, so its order is the order of the events.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from distributed import get_worker

import paninifs as pf
from paninifs.storage.store.keys import DONE, LEASES
from paninifs.storage.targets.local import LocalTarget, is_temporary

_SHARD = re.compile(rf"(?:/c/|^{DONE}/)0*(\d+)")


def log_line(log: str, line: str) -> int:
    """Append a line; return the size of the log up to its end, in bytes."""
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, f"{line}\n".encode())
        return os.lseek(handle, 0, os.SEEK_CUR)
    finally:
        os.close(handle)


def say(log: str, event: str, what: str) -> None:
    """Append an event of this process."""
    log_line(log, f"{event} {what} {os.getpid()}")


class WitnessTarget(LocalTarget):
    """Logs what is done to leases and markers; delays every write of an array by `seconds`."""

    def __init__(self, path: str, log: str, seconds: float = 0.0) -> None:
        super().__init__(path)
        self.log, self.seconds = log, seconds

    def get(self, key: str) -> bytes | None:
        if key.startswith(f"{DONE}/"):
            say(self.log, "looked", _shard(key))  # logged before the read
        return super().get(key)

    def _rename(self, temporary: Path, path: Path) -> None:
        key = path.relative_to(self.url).as_posix()
        if "/c/" in key:
            time.sleep(self.seconds)
        super()._rename(temporary, path)
        if key.startswith(f"{DONE}/"):
            say(self.log, "done", _shard(key))

    def create(self, key: str, data: bytes) -> bool:
        created = super().create(key, data)
        if created and key.startswith(f"{LEASES}/"):
            say(self.log, "leased", "-")
        return created

    def delete(self, keys: Iterable[str]) -> None:
        every = list(keys)
        objects = [key for key in every if _SHARD.search(key) and not is_temporary(key)]
        for shard in dict.fromkeys(_shard(key) for key in objects):
            say(self.log, "removed", shard)
        super().delete(every)


def _shard(key: str) -> str:
    found = _SHARD.search(key)
    assert found, key
    return found[1]


def witness_block(log: str, text_seconds: float = 0.0) -> pf.MapBlock:
    """Return a block, slow on demand, that logs the digest of the first text of each call."""

    @pf.map_block(fields=[pf.Field("n_bytes", "int32")], name="witness", version="1")
    def block(text):  # type: ignore[no-untyped-def]
        if not _in_trial():
            say(log, "computed", hashlib.sha256(bytes(next(iter(text)))).hexdigest())
        time.sleep(text_seconds * len(text))
        return np.diff(text.offsets).astype("int32")

    return block


def _in_trial() -> bool:
    """Return whether this is not the task of a run, but the trial before it."""
    task = getattr(get_worker(), "get_current_task", str)
    return str(task()).startswith("paninifs-trial")


@dataclass
class Testimony:
    """What a log shows."""

    computed: int = 0  # starts of shards
    again: int = 0  # repeated starts: of shards in flight when a process died
    swept: int = 0  # shards that a dead driver's task finished after another driver took over
    problems: list[str] = field(default_factory=list)

    def __add__(self, other: Testimony) -> Testimony:
        return Testimony(
            computed=self.computed + other.computed,
            again=self.again + other.again,
            swept=self.swept + other.swept,
            problems=self.problems + other.problems,
        )


def testimony(log: Path, first_texts: Mapping[str, int]) -> Testimony:
    """Read a log; `first_texts` maps the digest of each shard's first text to the shard."""
    court = _Court(first_texts)
    for number, line in enumerate(log.read_text().splitlines(), 1):
        court.hear(number, *line.split())
    return court.findings


class _Court:
    """Checks a log, line by line.

    A computation is wrong if the shard's marker existed when its process last looked for it. A
    removal is wrong if the shard was done before the removing driver took the lease: a shard
    finished after that comes from a task of a dead driver, possibly too late to be seen. A shard
    counts as done only if none of its objects was removed since it was computed: a marker that a
    dead driver's task writes after a removal names objects that are missing.
    """

    def __init__(self, first_texts: Mapping[str, int]) -> None:
        self.findings = Testimony()
        self._first_texts = first_texts
        self._begun: set[int] = set()
        self._leased = 0  # a line number, like the values below
        self._done: dict[int, int] = {}
        self._removed: dict[int, int] = {}
        self._computed: dict[tuple[int, str], int] = {}
        self._looked: dict[tuple[int, str], int] = {}

    def hear(self, number: int, event: str, what: str, process: str) -> None:
        if event == "leased":
            self._leased = number
        elif event == "computed":
            if what in self._first_texts:  # otherwise the call continues a shard
                self._compute(number, self._first_texts[what], process)
        elif event == "removed":
            self._remove(number, int(what))
        elif event == "looked":
            self._looked[int(what), process] = number
        elif self._removed.get(int(what), 0) < self._computed.get((int(what), process), number):
            self._done.setdefault(int(what), number)

    def _compute(self, number: int, shard: int, process: str) -> None:
        self._computed[shard, process] = number
        self.findings.computed += 1
        self.findings.again += shard in self._begun
        self._begun.add(shard)
        if self._done.get(shard, number) < self._looked.get((shard, process), number):
            self.findings.problems.append(f"line {number}: shard {shard} was done, and computed")

    def _remove(self, number: int, shard: int) -> None:
        self._removed[shard] = number
        since = self._done.pop(shard, number)
        if since < self._leased:
            self.findings.problems.append(f"line {number}: shard {shard} was done, and removed")
        elif since < number:
            self.findings.swept += 1
