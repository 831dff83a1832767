"""A backend of the shape of `cuda` whose device takes no time: what is left is the host's work.

Texts are joined in buffers that are used again, as those of pinned memory, and copied into one
where they lie elsewhere. Results are whatever lies in such a buffer. `watched` makes it the backend
``instant``.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import paninifs as pf
from paninifs.graphs import kernels
from paninifs.graphs.kernels.cpu.cpu_backend import *  # noqa: F403 (all that is not the device's)
from paninifs.graphs.kernels.cuda.pinned import PinnedPool
from paninifs.storage.text import PackedText

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
_pool = PinnedPool()
_CUPY = Path(__file__).with_name("cuda_on_host")


def host_buffer(nbytes: int) -> np.ndarray:
    """Return a buffer that an earlier call may have had."""
    return _pool.empty((nbytes,), np.uint8)


def offload(values: Mapping[str, Any], work: Any) -> dict[str, np.ndarray]:
    """Return arrays of the default graph's fields."""
    staged = _staged(values["text"])
    texts = len(staged)
    launches = _watching[-1]
    with launches.lock:
        launches.now += 1
        launches.texts.append(texts)
        launches.together.append(launches.now)
    time.sleep(launches.latency)
    with launches.lock:
        launches.now -= 1
    return {one.name: _pool.empty((texts, *one.shape), one.array_dtype) for one in _arrays}


def _staged(text: PackedText) -> PackedText:
    """Return texts as they are copied to a device: in pinned memory, with offsets from 0."""
    begin, end = int(text.offsets[0]), int(text.offsets[-1])
    data, offsets = text.data[begin:end], text.offsets
    if not _pool.holds(data):
        data = _pool.empty(data.shape, np.uint8)
        data[...] = text.data[begin:end]
    if begin or offsets.dtype != np.int64 or not _pool.holds(offsets):
        offsets = _pool.empty(offsets.shape, np.int64)
        np.subtract(text.offsets, begin, out=offsets)
    return PackedText(data, offsets)


_arrays = pf.default_graph().arrays


@contextmanager
def watched(latency: float = 0.0) -> Iterator[Launches]:
    """Make this module the backend ``instant``; yield what it is given."""
    _watching.append(Launches(latency))
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(sys.modules, "cupy", raising=False)
        patch.syspath_prepend(_CUPY)  # for its pinned memory
        patch.setitem(sys.modules, "paninifs_instant", sys.modules[__name__])
        patch.setitem(kernels.BACKENDS, "instant", "paninifs_instant")
        yield _watching[-1]
        _pool.free_idle()
        sys.modules.pop("cupy")
    kernels.load.cache_clear()
    _watching.pop()
