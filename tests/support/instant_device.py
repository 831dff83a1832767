"""A backend of the shape of `cuda` whose device takes no time: what is left is the host's work.

Its results are whatever lies in memory. `watched` makes it the backend ``instant``.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import paninifs as pf
from paninifs.graphs import kernels
from paninifs.graphs.kernels.cpu.cpu_backend import *  # noqa: F403 (all that is not the device's)

IN_FLIGHT = 6
MICRO_BATCH = (65_536, 64 << 20)


@dataclass
class Launches:
    """What the device was given."""

    latency: float = 0.0  # seconds that each one takes
    texts: list[int] = field(default_factory=list)
    together: list[int] = field(default_factory=list)  # in flight, when each one began
    now: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


_watching: list[Launches] = []


def offload(values: Mapping[str, Any], work: Any) -> dict[str, np.ndarray]:
    """Return arrays of the default graph's fields."""
    texts = len(values["text"])
    launches = _watching[-1]
    with launches.lock:
        launches.now += 1
        launches.texts.append(texts)
        launches.together.append(launches.now)
    time.sleep(launches.latency)
    with launches.lock:
        launches.now -= 1
    return {one.name: np.empty((texts, *one.shape), one.array_dtype) for one in _arrays}


_arrays = pf.default_graph().arrays


@contextmanager
def watched(latency: float = 0.0) -> Iterator[Launches]:
    """Make this module the backend ``instant``; yield what it is given."""
    _watching.append(Launches(latency))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "paninifs_instant", sys.modules[__name__])
        patch.setitem(kernels.BACKENDS, "instant", "paninifs_instant")
        yield _watching[-1]
    kernels.load.cache_clear()
    _watching.pop()
