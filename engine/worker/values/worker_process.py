"""`WorkerProcess`: the process of a worker that runs tasks, and whether it is still of use.

A process that has lost its GPU fails every task. What the client does then is in
`run.failures.lost_workers`.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

from distributed.worker import get_worker

from ....storage.errors import DeviceLost, PaniniError, UnfitWorker

USELESS_SECONDS = 1.0
"""Delay before a process reports once more that it is of no use: dask would give most tasks to a
worker that ends each at once. Meanwhile the client restarts or retires the worker."""

_useless = threading.Event()  # whether this process has reported that it is of no use


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


def delay_if_useless(error: PaniniError) -> None:
    """Wait if every task fails in this process, and an earlier task has reported that already."""
    if isinstance(error, DeviceLost | UnfitWorker):
        if _useless.is_set():
            time.sleep(USELESS_SECONDS)
        _useless.set()
