"""Streams of the device, reused, and the errors of what runs on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ....storage.errors import DeviceLost
from .device import OUT_OF_MEMORY, device_name, load_cupy, responds
from .pinned import POOL


@contextmanager
def device_errors() -> Iterator[None]:
    """Raise CuPy's errors as `MemoryError` or `DeviceLost`, unless the call alone failed."""
    cupy, device = load_cupy(), device_name()
    try:
        yield
    except MemoryError:
        _free_pools()
        raise
    except (cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError) as error:
        if error.status == OUT_OF_MEMORY:
            _free_pools()
            raise MemoryError(str(error)) from error
        if responds():
            raise  # the call failed, the device did not
        raise DeviceLost(f"{device} failed: {error}") from error


def _free_pools() -> None:
    cupy = load_cupy()
    cupy.get_default_memory_pool().free_all_blocks()
    cupy.get_default_pinned_memory_pool().free_all_blocks()  # used by CuPy's own functions
    POOL.free_idle()


_idle: list[Any] = []  # streams, reused because CuPy's memory pools are per stream


@contextmanager
def current_stream() -> Iterator[Any]:
    """Make an idle stream current in this thread; see `borrowed_stream`."""
    with borrowed_stream() as stream, stream:
        yield stream


@contextmanager
def borrowed_stream() -> Iterator[Any]:
    """Yield an idle stream, and wait until it is idle again, also after an exception.

    Freed memory is reused at once, so work still queued on the stream would write into memory that
    belongs to another thread by then.
    """
    try:
        stream = _idle.pop()
    except IndexError:
        stream = load_cupy().cuda.Stream(non_blocking=True)
    try:
        yield stream
    finally:
        wait(stream)
        _idle.append(stream)


def wait(stream: Any) -> None:
    """Wait for a stream's work without using the processor: `Stream.synchronize` would spin."""
    done = load_cupy().cuda.Event(block=True, disable_timing=True)
    done.record(stream)
    done.synchronize()
