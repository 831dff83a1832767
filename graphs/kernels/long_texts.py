"""Texts too long for a device: how long they are, and the backend that computes them instead.

A device hashes many texts at once, but each with one or two threads, at 10 to 14 MB/s; a core of
the host's processor does 520 MB/s. How they are kept off a device is up to its backend.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import cache

from ...storage.errors import BackendUnavailable
from . import Kernels, load

LONG = 256 << 10
"""Bytes from which on a text is long: a device would hash it for 20 ms, longer than it takes for
the tens of thousands of short texts of a micro-batch, and a core does so in half a millisecond."""


_preparing = threading.Lock()


def prepare_host_kernels() -> threading.Thread:
    """Prepare the backend that computes long texts, in a thread; `host_kernels` waits for it.

    If its code is not cached yet, it takes seconds to compile, which would otherwise pass within
    the task that meets the first long text. No start waits for it: most corpora have no long text.
    """
    # Not a daemon: an interpreter that ends while LLVM compiles may crash.
    thread = threading.Thread(target=_prepare, name="paninifs-long-texts")
    thread.start()
    return thread


def _prepare() -> None:
    with suppress(Exception):  # `host_kernels` tries again where the error can be raised
        host_kernels()


def host_kernels() -> Kernels | None:
    """Return the backend that computes long texts, prepared; None if this machine has none.

    It needs packages that a device's backend does without.
    """
    with _preparing:  # one thread prepares, the others wait
        return _prepared()


@cache
def _prepared() -> Kernels | None:
    try:
        kernels = load("cpu")
        kernels.prepare()
    except BackendUnavailable:
        return None
    return kernels
