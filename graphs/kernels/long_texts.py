"""Texts too long for a device: how long they are, and the backend that computes them instead.

A device hashes many texts at once, but each with one or two threads, at 10 to 14 MB/s; a core of
the host's processor does 520 MB/s. How they are kept off a device is up to its backend.
"""

from __future__ import annotations

from functools import cache

from ...storage.errors import BackendUnavailable
from . import Kernels, load

LONG = 256 << 10
"""Bytes from which on a text is long: a device would hash it for 20 ms, longer than it takes for
the tens of thousands of short texts of a micro-batch, and a core does so in half a millisecond."""


@cache
def host_kernels() -> Kernels | None:
    """Return the backend that computes long texts, prepared; None if this machine has none.

    It needs packages that a device's backend does without.
    """
    try:
        kernels = load("cpu")
        kernels.prepare()
    except BackendUnavailable:
        return None
    return kernels
