"""Runs in which a process is killed at a chosen write, or the disk is full from then on.

Imported by workers too. The log of a run is read in `witness`.
"""

from __future__ import annotations

import errno
import os
import signal
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from inline import InlineClient
from witness import WitnessTarget, log_line, witness_block

import paninifs as pf
from paninifs.storage.errors import PaniniError
from paninifs.storage.store.leases import lease

KILL_MODES = ("before", "torn", "after")


class KillingTarget(WitnessTarget):
    """Sends a process a signal, usually SIGKILL, at the n-th write, counted over all processes.

    The victim is the process that writes, or the `client`. If a `client` is given, only the writes
    of the workers count. The kill comes ``before`` the write, ``after`` it, or in its middle:
    ``torn`` leaves half of the object under its final name, as a store without atomic writes would.
    A write is a renaming: the data of all objects that are written together are in temporary files
    before the first.
    """

    def __init__(
        self,
        path: str,
        log: str,
        seconds: float,
        at: int,
        mode: str,
        victim: str,
        client: int | None,
        number: int,
    ) -> None:
        super().__init__(path, log, seconds)
        self.at, self.mode, self.victim, self.client = at, mode, victim, client
        self.signal = number

    def _rename(self, temporary: Path, path: Path) -> None:
        rename = partial(super()._rename, temporary, path)
        self._at_a_write(path, temporary.read_bytes, rename)

    def create(self, key: str, data: bytes) -> bool:
        return self._at_a_write(self._path(key), lambda: data, partial(super().create, key, data))

    def _at_a_write(self, path, data, write):
        if os.getpid() == self.client:
            return write()
        if log_line(f"{self.log}.writes", "w") // 2 != self.at:
            return write()
        if self.mode == "torn":
            whole = data()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(whole[: len(whole) // 2])
        if self.mode in ("before", "torn"):
            self._kill()
        written = write()
        if self.mode == "after":
            self._kill()
        return written

    def _kill(self) -> None:
        os.kill(self.client if self.victim == "client" else os.getpid(), self.signal)


class FullTarget(WitnessTarget):
    """A disk that is full after `writes` writes by all processes, until ``LOG.room`` exists."""

    def __init__(self, path: str, log: str, writes: int) -> None:
        super().__init__(path, log)
        self.writes = writes

    def _write_file(self, path: Path, data: bytes) -> None:
        number = log_line(f"{self.log}.writes", "w") // 2
        if number > self.writes and not Path(f"{self.log}.room").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super()._write_file(path, data)


@pf.reduce_block
def mean_of_dhatus(results):
    return results.dhatu.mean("text")


@pf.map_block(fields=[pf.Field("distance", "float32")])
def distance_to_mean(dhatu, mean_of_dhatus):
    return abs(dhatu - mean_of_dhatus).max(axis=1)


@pf.reduce_block
def largest_distance(results):
    return results.distance.max("text")


@dataclass(frozen=True)
class Attempt:
    """A run in its own process, which may be killed."""

    corpus: str
    results: str
    log: str
    shard_rows: int
    kill_at: int = 0  # number of the write; 0: no process is killed
    mode: str = "before"
    victim: str = "writer"  # or "client"
    scheduler: str | None = None  # its address; None: the run starts its own cluster
    processes: bool = False  # whether its own cluster has worker processes instead of threads
    inline: bool = False  # without a cluster: see the module `inline`
    seconds: float = 0.0  # delay of every write of an array's object
    extend: bool = False
    mirror: str | None = None
    signal: int = int(signal.SIGKILL)  # sent to the victim
    full_after: int | None = None  # number of writes before the disk is full: see FullTarget
    dead_after: float | None = None  # seconds of silence after which an owner is dead
    five_stages: bool = False
    backend: str | None = None

    def __call__(self) -> None:
        os.setpgid(0, 0)  # so that a test can kill it with all its workers
        if self.dead_after is not None:
            lease.DEAD_AFTER_SECONDS = self.dead_after
        graph = pf.default_graph() + witness_block(self.log)
        if self.five_stages:
            graph = graph + mean_of_dhatus + distance_to_mean + largest_distance
        corpus = pf.open_corpus(self.corpus)
        with self._client() as client:
            options = {"shard_rows": self.shard_rows, "progress": False, "extend": self.extend}
            options["mirror"] = self.mirror
            options["backend"] = self.backend
            try:
                pf.submit(graph, corpus, self._target(), client=client, **options).result()
            except PaniniError as error:
                Path(f"{self.log}.error").write_text(f"{type(error).__name__}: {error}")
                raise

    def _target(self):
        if self.full_after is not None:
            return FullTarget(self.results, self.log, self.full_after)
        return KillingTarget(
            self.results,
            self.log,
            self.seconds,
            self.kill_at,
            self.mode,
            self.victim,
            os.getpid() if self.scheduler else None,
            self.signal,
        )

    def _client(self):
        from distributed import Client

        if self.inline:
            return InlineClient()
        if self.scheduler:
            return Client(self.scheduler)
        size = {"n_workers": 2, "threads_per_worker": 1} if self.processes else {"n_workers": 1}
        return Client(processes=self.processes, dashboard_address="127.0.0.1:0", **size)
