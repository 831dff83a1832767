"""The processes of a chaos run: scheduler, nannies with a worker each, client; all can be killed.

Each is a process of its own, started again when it has ended, as a service manager or a user would.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
from witness import WitnessTarget, witness_block

import paninifs as pf

WORKERS = 2
WORKER_TTL = "15 s"  # a worker that is silent for longer is replaced
_HOST = "127.0.0.1"
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["witness", "prepared"])


@dataclass(frozen=True)
class Attempt:
    """One client's run, as far as it gets."""

    corpus: str
    results: str
    log: str
    said: str  # a file for what it prints
    shard_rows: int
    scheduler: str | None  # address; None: threads of its own
    text_seconds: float  # that the block takes over every text
    write_seconds: float  # over every array's object

    def __call__(self) -> None:
        with Path(self.said).open("ab") as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
        graph = pf.default_graph() + witness_block(self.log, self.text_seconds)
        target = WitnessTarget(self.results, self.log, self.write_seconds)
        with pf.connect(self.scheduler or "threads", quiet=True) as client:
            corpus = pf.open_corpus(self.corpus)
            options = {"shard_rows": self.shard_rows, "progress": False}
            pf.submit(graph, corpus, target, client=client, **options).result()

    def start(self) -> BaseProcess:
        process = _CONTEXT.Process(target=self)
        process.start()
        return process

    def last_words(self) -> str:
        """Return the name of the error that the last client ended with."""
        lines = Path(self.said).read_text(errors="replace").splitlines()
        errors = [line for line in lines if line and not line[0].isspace() and ": " in line]
        return errors[-1].split(":")[0].rsplit(".", 1)[-1] if errors else "nothing said"


class Cast:
    """Scheduler, nannies and client, of which some are alive.

    Attributes
    ----------
    restarts : Counter
        How often each was started again.
    ends : Counter
        Errors that clients ended with by themselves, by name.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as probe:
            probe.bind((_HOST, 0))
            self._port = probe.getsockname()[1]
        self.address = f"tcp://{_HOST}:{self._port}"
        self.restarts: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self._services: dict[str, subprocess.Popen[bytes]] = {}
        self._attempt: Attempt | None = None
        self._client: BaseProcess | None = None

    def perform(self, attempt: Attempt) -> None:
        """Let a client do this from now on."""
        self._attempt, self._client = attempt, attempt.start()

    def tend(self) -> bool:
        """Start again whatever has ended; return whether the client has finished its run."""
        for name in ("scheduler", *(f"nanny {number}" for number in range(WORKERS))):
            process = self._services.get(name)
            if process is None or process.poll() is not None:
                self.restarts[name.split()[0]] += process is not None
                self._services[name] = self._started(name)
        assert self._attempt
        assert self._client
        if self._client.exitcode is None:
            return False
        self._client.join()
        if self._client.exitcode == 0:
            return True
        if self._client.exitcode != -signal.SIGKILL:
            self.ends[self._attempt.last_words()] += 1
        self.restarts["client"] += 1
        self._client = self._attempt.start()
        return False

    def _started(self, name: str) -> subprocess.Popen[bytes]:
        dashboard = ["--no-dashboard", "--dashboard-address", f"{_HOST}:0"]
        if name == "scheduler":
            what = ["scheduler", "--host", _HOST, "--port", str(self._port)]
        else:
            what = ["worker", self.address, "--host", _HOST, "--nthreads", "1"]
            what += ["--memory-limit", "2GiB", "--local-directory", str(self._folder / "scratch")]
        with (self._folder / f"{name}.txt").open("ab") as said:
            return subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{what[0]}", *what[1:], *dashboard],
                stdout=said,
                stderr=said,
                env=os.environ
                | {
                    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                    # Python can stop for good in dask's profiler: see `engine.local_cluster`.
                    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
                    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": WORKER_TTL,
                },
            )

    def find(self, role: str, chance: random.Random) -> list[psutil.Process]:
        """Return the living processes to strike for a role; none where it is down just now."""
        nannies = [p for name, p in self._services.items() if name != "scheduler"]
        if role == "everything":
            roles = ("scheduler", "client", "nanny", "worker")
            return [found for one in roles for found in self._all(one, nannies)]
        found = self._all(role, nannies)
        return [chance.choice(found)] if found else []

    def _all(self, role: str, nannies: list[subprocess.Popen[bytes]]) -> list[psutil.Process]:
        if role == "worker":
            return [worker for nanny in nannies for worker in _workers(nanny.pid)]
        if role == "nanny":
            pids = [nanny.pid for nanny in nannies if nanny.poll() is None]
        elif role == "client":
            client = self._client
            pids = [client.pid] if client and client.pid and client.exitcode is None else []
        else:
            process = self._services.get(role)
            pids = [process.pid] if process and process.poll() is None else []
        return [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]

    def close(self) -> None:
        """Kill whatever is alive."""
        for process in self.find("everything", random.Random(0)):
            strike(process, signal.SIGKILL)
        for service in self._services.values():
            service.wait()
        if self._client:
            self._client.join()


def _workers(nanny: int) -> list[psutil.Process]:
    try:
        children = psutil.Process(nanny).children(recursive=True)
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    except psutil.NoSuchProcess:
        return []


def strike(process: psutil.Process, number: signal.Signals) -> bool:
    """Send a signal; return whether there was still a process to get it."""
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return False
    return True
