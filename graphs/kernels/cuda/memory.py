"""Free memory of an NVIDIA device, and bytes that a thread allocates there.

CuPy allocates from its own pool, or from RMM's if the cluster has set RMM up for CuPy.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from ..host import Count


def free_memory() -> int:
    """Return the bytes that are free on the device or unused in this process's pool.

    RMM's pool does not report how much of it is in use, so its whole size counts as free. Memory
    outside the pool, into which it could grow, does not count.
    """
    cupy = import_module("cupy")
    pool = _rmm_pool()
    if pool is not None:
        return int(pool.pool_size())
    free, _ = cupy.cuda.runtime.memGetInfo()
    return int(free) + int(cupy.get_default_memory_pool().free_bytes())


def _rmm_pool() -> Any:
    """Return RMM's pool if CuPy allocates from one, else None."""
    rmm = sys.modules.get("rmm")
    allocator = import_module("cupy").cuda.get_allocator()
    # CuPy's own allocator is a method of compiled code, whose `__module__` is None.
    if rmm is None or not (getattr(allocator, "__module__", None) or "").startswith("rmm"):
        return None
    resource = rmm.mr.get_current_device_resource()
    while resource is not None and not hasattr(resource, "pool_size"):
        resource = getattr(resource, "upstream_mr", None)  # an adaptor that counts or logs
    return resource


@contextmanager
def count_allocations() -> Iterator[Count]:
    """Count the bytes that this thread allocates on the device, from any pool.

    Freed bytes are not subtracted, so the count is an upper bound of what is in use at once.
    """
    cuda = import_module("cupy").cuda
    allocator, count = cuda.get_allocator(), Count()

    def allocate(nbytes: int) -> Any:
        count.nbytes += nbytes
        return allocator(nbytes)

    with cuda.using_allocator(allocate):
        yield count
