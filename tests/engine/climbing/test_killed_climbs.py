"""Climbs whose client, workers and scheduler are killed, compared with undisturbed ones."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import climbing_attempt
import psutil
import pytest
import xarray as xr
from paths import SUPPORT

import paninifs as pf

KILLS = 30
TIMED = ("order", "worker", "seconds", "at")


class Cast:
    """A scheduler, two nannies with a worker each, and a client; `mend` starts what has ended."""

    def __init__(self, results, log):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"
        dask = [sys.executable, "-m", "distributed.cli.dask_worker"]
        worker = [*dask, self.address, "--nthreads", "1", "--no-dashboard", "--death-timeout", "20"]
        self.commands = {
            "scheduler": [
                sys.executable,
                "-m",
                "distributed.cli.dask_scheduler",
                *("--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard"),
            ],
            "worker 1": worker,
            "worker 2": worker,
            "client": [
                sys.executable,
                str(Path(SUPPORT) / "climbing_attempt.py"),
                str(results),
                self.address,
            ],
        }
        self.log = log.open("ab")
        self.running = {}

    def mend(self):
        """Start what has ended; return whether the client ended without an error."""
        for role, command in self.commands.items():
            process = self.running.get(role)
            if process is None or process.poll() is not None:
                if role == "client" and process is not None and process.returncode == 0:
                    return True
                environment = {**os.environ, "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "20s"}
                self.running[role] = subprocess.Popen(
                    command, stdout=self.log, stderr=self.log, env=environment
                )
        return False

    def kill(self, role):
        """Kill a process; of a nanny and its worker, the worker."""
        process = self.running[role]
        with suppress(psutil.Error):
            children = psutil.Process(process.pid).children(recursive=True)
            workers = [one for one in children if "spawn_main" in " ".join(one.cmdline())]
            (workers[0] if role.startswith("worker") and workers else process).send_signal(
                signal.SIGKILL
            )

    def end(self):
        for process in self.running.values():
            with suppress(psutil.Error):
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
            process.kill()
            process.wait()
        self.log.close()


@pytest.mark.soak("thirty kills take minutes")
@pytest.mark.timeout(1_200)
def test_thirty_kills_change_nothing(tmp_path):
    drawn = random.Random(22)
    cast = Cast(tmp_path / "killed", tmp_path / "log")
    killed, done = [], False
    try:
        until = time.monotonic() + 1_100
        while not done and time.monotonic() < until:
            done = cast.mend()
            pause = drawn.uniform(1.5, 6.0) if len(killed) < KILLS else 0.5
            time.sleep(pause)
            if len(killed) < KILLS and not done:
                role = drawn.choices([*cast.commands], weights=[1, 2, 2, 4])[0]
                cast.kill(role)
                killed.append(role)
    finally:
        cast.end()
    assert done, (tmp_path / "log").read_text()[-3_000:]
    assert len(killed) == KILLS, f"it was done after {len(killed)} kills"
    with pf.connect("threads", threads=2, quiet=True) as client:
        climbing_attempt.climb(tmp_path / "undisturbed", client)
    for table in ("accepted", "candidates", "failed"):
        one, other = (
            pf.open_climb(tmp_path / name, "trap", table).load()
            for name in ("killed", "undisturbed")
        )
        assert one.sizes[table] or table == "failed"
        drop = [name for name in TIMED if name in one]
        xr.testing.assert_identical(
            one.drop_vars(drop).drop_attrs(), other.drop_vars(drop).drop_attrs()
        )
    assert one.attrs["best"] == other.attrs["best"]
