"""`release_unused_memory`: returns to the system what a worker's allocators hold but do not use.

dask pauses a worker by the memory of its process. That includes memory which has been freed, and
which the C library and Arrow keep for later. A paused worker starts no task, so it does not use
that memory either, and would stay paused for ever.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress

import pyarrow as pa


def release_unused_memory() -> None:
    """Collect garbage, then return freed memory to the system.

    Where the C library is not glibc, only Arrow's memory is returned.
    """
    gc.collect()
    pa.default_memory_pool().release_unused()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)
