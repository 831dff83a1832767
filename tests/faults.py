"""Targets and blocks that log and kill, for the tests of resuming. Imported by workers too.

The log lies outside the store: one line an event, appended atomically by any process.
"""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import paninifs as pf
from paninifs.storage.errors import PaniniError
from paninifs.storage.local_target import LocalTarget
from paninifs.storage.shards import DONE

KILL_MODES = ("before", "torn", "after")


def log_line(log: str, line: str) -> int:
    """Append a line; return how many bytes the log has up to and with it."""
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, f"{line}\n".encode())
        return os.lseek(handle, 0, os.SEEK_CUR)
    finally:
        os.close(handle)


class LoggingTarget(LocalTarget):
    """Logs ``done SHARD PROCESS`` once a marker is written; may be slow at every array.

    The process is the one that made the target: the client of the run.
    """

    def __init__(self, path: str, log: str, seconds: float = 0.0) -> None:
        super().__init__(path)
        self.log, self.seconds, self.run = log, seconds, os.getpid()

    def put(self, key: str, data: bytes) -> None:
        if "/c/" in key:
            time.sleep(self.seconds)
        super().put(key, data)
        if key.startswith(f"{DONE}/"):
            log_line(self.log, f"done {int(Path(key).stem)} {self.run}")


class KillingTarget(LoggingTarget):
    """Sends a process a signal, SIGKILL as a rule, at the n-th write, counted over all processes.

    The victim is the process that writes, or the `client`. Where a `client` is given its own
    writes do not count: those of the workers do. The kill comes ``before`` the write, ``after``
    it, or in its middle: ``torn`` leaves half of the object under its final name, as a store
    without atomic writes would.
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

    def put(self, key: str, data: bytes) -> None:
        self._write(key, data, super().put)

    def create(self, key: str, data: bytes) -> bool:
        return self._write(key, data, super().create)

    def _write(self, key, data, write):
        if os.getpid() == self.client:
            return write(key, data)
        number = log_line(f"{self.log}.writes", "w") // 2
        if number == self.at and self.mode == "torn":
            path = self._root / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data[: len(data) // 2])
        if number == self.at and self.mode != "after":
            self._kill()
        written = write(key, data)
        if number == self.at and self.mode == "after":
            self._kill()
        return written

    def _kill(self) -> None:
        os.kill(self.client if self.victim == "client" else os.getpid(), self.signal)


class FullTarget(LoggingTarget):
    """A disk that is full after so many writes, of all processes, until ``LOG.room`` is there."""

    def __init__(self, path: str, log: str, writes: int) -> None:
        super().__init__(path, log)
        self.writes = writes

    def put(self, key: str, data: bytes) -> None:
        number = log_line(f"{self.log}.writes", "w") // 2
        if number > self.writes and not Path(f"{self.log}.room").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().put(key, data)


def logged_length(log: str) -> pf.MapBlock:
    """Return a block that logs ``computed DIGEST`` of the first text of every batch."""

    @pf.map_block(fields=[pf.Field("n_bytes", "int32")], name="logged_length", version="1")
    def block(text):
        first = bytes(next(iter(text)))
        log_line(log, f"computed {hashlib.sha256(first).hexdigest()}")
        return np.diff(text.offsets).astype("int32")

    return block


@dataclass(frozen=True)
class Attempt:
    """One run in a process of its own, as far as it gets."""

    corpus: str
    results: str
    log: str
    shard_rows: int
    kill_at: int = 0  # 0: nobody is killed
    mode: str = "before"
    victim: str = "writer"  # or "client"
    scheduler: str | None = None  # None: a cluster of its own
    processes: bool = False  # of its own cluster: worker processes, or threads of this one
    seconds: float = 0.0  # that every array's write takes longer
    extend: bool = False
    mirror: str | None = None
    signal: int = int(signal.SIGKILL)  # that the victim gets
    full_after: int | None = None  # writes: see FullTarget

    def __call__(self) -> None:
        os.setpgid(0, 0)  # so that a test can kill it with all its workers
        graph = pf.default_graph() + logged_length(self.log)
        corpus = pf.open_corpus(self.corpus)
        log_line(self.log, f"begun {os.getpid()}")
        with self._client() as client:
            options = {"shard_rows": self.shard_rows, "progress": False, "extend": self.extend}
            options["mirror"] = self.mirror
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

        if self.scheduler:
            return Client(self.scheduler)
        size = {"n_workers": 2, "threads_per_worker": 1} if self.processes else {"n_workers": 1}
        return Client(processes=self.processes, dashboard_address="127.0.0.1:0", **size)
