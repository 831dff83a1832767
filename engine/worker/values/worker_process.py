"""`WorkerProcess`: the process of a worker that runs tasks, and whether it is still of use.

A process that has lost its GPU fails every task. What the client does then is in
`run.failures.lost_workers`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from distributed.core import Status
from distributed.worker import get_worker

from ....storage.errors import DeviceLost, PaniniError, UnfitWorker

UNFIT_SECONDS, LOST_SECONDS = 1.0, 10.0
"""Delays before a process reports once more that it is unfit for a run, or that it has lost its
device: dask would give most tasks to a worker that ends each at once. In the second case, the
client restarts or retires the worker meanwhile, which ends the delay."""

_POLL_SECONDS = 0.05

_reported: set[str] = set()  # topics of the runs to which this process has reported it


@dataclass(frozen=True)
class WorkerProcess:
    """The process of a worker.

    Examples
    --------
    >>> WorkerProcess("tcp://127.0.0.1:4001", "Worker-1", "tcp://127.0.0.1:4000").place
    'tcp://127.0.0.1:4000'
    """

    worker: str  # its address
    id: str  # differs after a restart, when the address may be the same
    nanny: str | None = None  # address of the nanny, which can restart the process

    @property
    def place(self) -> str:
        """What a restart does not change: the nanny, or without one the worker."""
        return self.nanny or self.worker


def this_process() -> WorkerProcess:
    """Return the process that runs this task."""
    worker = get_worker()
    nanny: Any = worker.nanny  # its address, although its annotation says otherwise
    return WorkerProcess(worker.address, worker.id, nanny)


def delay_if_useless(error: PaniniError, topic: str) -> None:
    """Wait if every task fails in this process, and the run knows it already."""
    if not isinstance(error, DeviceLost | UnfitWorker):
        return
    if topic in _reported:
        worker = get_worker()
        seconds = LOST_SECONDS if isinstance(error, DeviceLost) else UNFIT_SECONDS
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and worker.status == Status.running:
            time.sleep(_POLL_SECONDS)
    _reported.add(topic)
