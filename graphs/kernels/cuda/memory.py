"""What an NVIDIA device's memory has left, and what a thread takes of it.

The memory may be CuPy's own pool's, or RMM's where a cluster set that up for both.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from ..host import Count


def room() -> int:
    """Return the bytes that are free, or that a pool of this process holds to give them out again.

    Of RMM's pool all of it: how much is taken it does not say. What it would have to grow for is
    left to others.
    """
    cupy = import_module("cupy")
    pool = _rmm_pool()
    if pool is not None:
        return int(pool.pool_size())
    free, _ = cupy.cuda.runtime.memGetInfo()
    return int(free) + int(cupy.get_default_memory_pool().free_bytes())


def _rmm_pool() -> Any:
    """Return RMM's pool where CuPy takes its memory from it; None where there is none."""
    rmm = sys.modules.get("rmm")
    allocator = import_module("cupy").cuda.get_allocator()
    if rmm is None or not getattr(allocator, "__module__", "").startswith("rmm"):
        return None
    resource = rmm.mr.get_current_device_resource()
    while resource is not None and not hasattr(resource, "pool_size"):
        resource = getattr(resource, "upstream_mr", None)  # one that counts or logs, and hands on
    return resource


@contextmanager
def counted() -> Iterator[Count]:
    """Count what this thread asks for on the device, whoever gives it.

    All of it, also what is given back on the way: never less than there is at once.
    """
    cuda = import_module("cupy").cuda
    give, count = cuda.get_allocator(), Count()

    def allocate(nbytes: int) -> Any:
        count.nbytes += nbytes
        return give(nbytes)

    with cuda.using_allocator(allocate):
        yield count
