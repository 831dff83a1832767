"""`ExtractionProcess`: the pool's side of one of its processes; `pool` decides what it works on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psutil

from .extracted import Extracted
from .messages import Messages, packed

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from importlib import import_module; import_module(sys.argv[2]).main()"
)
_MODULE = f"{__package__}.extraction_worker"
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "SYSTEMROOT", "TZ")
"""Environment variables that a process inherits: none that hold tokens or keys."""

_PIECE_BYTES = 1 << 18


@dataclass(eq=False)
class Job:
    """A document that is waiting or being extracted."""

    header: dict[str, Any]
    content: bytes
    future: Future[Extracted] = field(default_factory=Future)
    begun: bool = False
    """Whether it was given to a process."""
    deaths: int = 0
    """Number of processes that ended for no known reason while extracting it."""


class ExtractionProcess:
    """One process, its jobs, and the messages that are being sent to it.

    Parameters
    ----------
    memory_bytes
        Memory that it may use for documents.
    """

    def __init__(self, memory_bytes: int) -> None:
        self.jobs: deque[Job] = deque()
        """Its jobs; it works on the first."""
        self.ready = False
        """Whether it has started."""
        self.answers = 0
        """Number of documents that it has answered."""
        self.worn = False
        """Whether it gets no more jobs, and is ended after its present ones."""
        self.leaving = False
        """Whether it was ended."""
        self.verdict: tuple[Job, str, str] | None = None
        """The job for which it was ended, with a reason and a detail."""
        self._cpu, self._rss = 0.0, 0
        self._since = time.monotonic()
        self._unsent: deque[memoryview] = deque()
        self._messages = Messages()
        paths = json.dumps([path or os.getcwd() for path in sys.path])  # noqa: PTH109
        arguments = (str(os.getpid()), str(memory_bytes))
        self._process = subprocess.Popen(  # noqa: S603 (our own program)
            [sys.executable, "-P", "-B", "-c", _START, paths, _MODULE, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self.requests, self.answered = self._process.stdin, self._process.stdout
        self._said = self._process.stderr
        for stream in (self.requests, self.answered):
            os.set_blocking(stream.fileno(), False)

    @property
    def pid(self) -> int:
        """The process ID."""
        return self._process.pid

    @property
    def sending(self) -> bool:
        """Whether a message is still being sent to it."""
        return bool(self._unsent)

    def give(self, job: Job) -> None:
        """Queue a job; `send` sends it."""
        if not self.jobs:
            self._since = time.monotonic()
        self.jobs.append(job)
        self._unsent += [memoryview(packed(job.header, job.content)), memoryview(job.content)]

    def send(self) -> None:
        """Send as much as fits into the pipe."""
        try:
            while self._unsent:
                piece = self._unsent[0]
                sent = os.write(self.requests.fileno(), piece[:_PIECE_BYTES]) if piece else 0
                if sent == len(piece):
                    self._unsent.popleft()
                else:
                    self._unsent[0] = piece[sent:]
        except BlockingIOError:
            pass
        except BrokenPipeError:  # it has ended, as reading will show
            self._unsent.clear()

    def received(self) -> Iterator[tuple[dict[str, Any], bytes]] | None:
        """Return the messages that have arrived; None once the process has ended."""
        try:
            piece = os.read(self.answered.fileno(), _PIECE_BYTES)
        except BlockingIOError:
            return iter(())
        return self._messages.arrived(piece) if piece else None

    def note(self, cpu: float, rss: int) -> None:
        """Begin to measure the next job: the process has used `cpu` seconds and `rss` bytes."""
        self._cpu, self._rss, self._since = cpu, rss, time.monotonic()

    def used(self) -> tuple[float, float, int]:
        """Return the job's seconds of processor time and of the clock, and bytes of memory."""
        waited = time.monotonic() - self._since
        try:
            process = psutil.Process(self.pid)
            times = process.cpu_times()
            return (
                times.user + times.system - self._cpu,
                waited,
                process.memory_info().rss - self._rss,
            )
        except psutil.Error:  # it has just ended
            return 0.0, 0.0, 0

    def kill_for(self, reason: str, detail: str) -> None:
        """Kill it because of the job that it works on."""
        self.verdict = (self.jobs[0], reason, detail)
        self.kill()

    def kill(self) -> None:
        """End it."""
        self.leaving = True
        self._process.kill()

    def ended(self) -> tuple[int, str]:
        """Wait for its end, and return its exit status and the last lines that it printed."""
        status = self._process.wait()
        said = self._said.read().decode("utf-8", "replace").strip()[-2000:]
        for stream in (self.requests, self.answered, self._said):
            with suppress(BrokenPipeError):
                stream.close()
        return status, said
