"""Page-locked memory of the host, which the device copies from and to fastest, kept for reuse.

Locking pages takes longer than copying them, so memory is kept when the arrays in it are gone.
CuPy's own pool keeps all of it for the life of the process, in powers of two: one text of 2 GB
would hold 2 GiB that the system cannot swap. Which arrays are copied is decided in `transfer`.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ..control_groups import memory_groups
from .device import OUT_OF_MEMORY, load_cupy

SMALLEST = 64 << 10
"""Smallest buffer in bytes."""

LARGEST_KEPT = 512 << 20
"""Bytes of the largest buffer that is kept for reuse, those of the largest micro-batch."""

IDLE_SHARE = 16
"""Share of the memory, as the machine or a container has it, that idle buffers may take per device:
one part in so many."""


class PinnedPool:
    """Buffers of pinned memory, each used by one array and its views at a time.

    A buffer comes back when the last view of its array is garbage, in whichever thread that
    happens. Safe to use from several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sizes: dict[int, int] = {}  # of all buffers, by address
        self._addresses: list[int] = []  # of all buffers, ascending
        self._idle: list[Any] = []  # CuPy's PinnedMemory, longest idle first
        self._returned: deque[Any] = deque()  # buffers not yet among the idle
        self._most_idle = 0  # bytes

    @property
    def idle_bytes(self) -> int:
        """Bytes of the buffers that no array uses."""
        with self._locked():
            return sum(memory.size for memory in self._idle)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> npt.NDArray[Any]:
        """Return a new array in pinned memory, which holds its buffer until it is garbage.

        Raises
        ------
        CUDARuntimeError
            No more memory can be pinned, or the device failed.
        """
        nbytes = math.prod(shape) * np.dtype(dtype).itemsize
        if not nbytes:
            return np.empty(shape, dtype)
        size = rounded(nbytes)
        memory = self._reused(size) or self._pinned(size)
        pointer = load_cupy().cuda.PinnedMemoryPointer(memory, 0)
        # NumPy's views of views refer to this array, so that it lives as long as any of them.
        whole: npt.NDArray[np.uint8] = np.ndarray((memory.size,), np.uint8, buffer=pointer)
        weakref.finalize(whole, self._give_back, memory).atexit = False
        array: npt.NDArray[Any] = whole[:nbytes].view(dtype).reshape(shape)
        return array

    def holds(self, array: npt.NDArray[Any]) -> bool:
        """Return whether an array can be copied to the device from where it lies."""
        if not array.flags.c_contiguous:
            return False
        start = array.__array_interface__["data"][0]
        with self._locked():
            before = bisect_right(self._addresses, start) - 1
            if before < 0:
                return False
            address = self._addresses[before]
            return bool(start + array.nbytes <= address + self._sizes[address])

    def free_idle(self) -> None:
        """Return the memory of all idle buffers to the system."""
        with self._locked():
            freed, self._idle = self._idle, []
            self._forget(freed)
        freed.clear()  # not under the lock: it waits for the device

    def _reused(self, size: int) -> Any:
        """Return the smallest idle buffer that is large enough and at most half too large."""
        with self._locked():
            fitting = [memory for memory in self._idle if size <= memory.size <= size + size // 2]
            if not fitting:
                return None
            memory = min(reversed(fitting), key=lambda one: one.size)
            self._idle.remove(memory)
            return memory

    def _pinned(self, size: int) -> Any:
        cuda = load_cupy().cuda
        self._most_idle = idle_limit()
        try:
            memory = cuda.PinnedMemory(size, cuda.runtime.hostAllocPortable)
        except cuda.runtime.CUDARuntimeError as error:
            if error.status != OUT_OF_MEMORY:
                raise
            self.free_idle()
            memory = cuda.PinnedMemory(size, cuda.runtime.hostAllocPortable)
        with self._locked():
            self._sizes[memory.ptr] = size
            insort(self._addresses, memory.ptr)
        return memory

    def _give_back(self, memory: Any) -> None:
        self._returned.append(memory)
        self._settle()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            with self._lock:
                yield
        finally:
            self._settle()

    def _settle(self) -> None:
        """Put the buffers that came back among the idle, and free what is too much.

        The garbage collector may give a buffer back anywhere, even where this thread holds the
        lock, so that this must not wait for it. Whoever holds it settles afterwards.
        """
        while self._returned and self._lock.acquire(blocking=False):
            try:
                freed = self._kept()
            finally:
                self._lock.release()
            freed.clear()

    def _kept(self) -> list[Any]:
        """Keep the buffers that came back; return those to be freed, the longest idle first."""
        freed: list[Any] = []
        while self._returned:
            memory = self._returned.popleft()
            (freed if memory.size > LARGEST_KEPT else self._idle).append(memory)
        excess = sum(memory.size for memory in self._idle) - self._most_idle
        while excess > 0:
            excess -= self._idle[0].size
            freed.append(self._idle.pop(0))
        self._forget(freed)
        return freed

    def _forget(self, freed: list[Any]) -> None:
        for memory in freed:
            del self._sizes[memory.ptr]
        if freed:
            self._addresses = sorted(self._sizes)


def rounded(nbytes: int) -> int:
    """Return the size of a buffer: one of eight between two powers of two.

    >>> rounded(1), rounded(1 << 20), rounded((1 << 20) + 1) / (1 << 20)
    (65536, 1048576, 1.125)
    """
    unit = max(SMALLEST, 1 << max(0, (nbytes - 1).bit_length() - 4))
    return -(-nbytes // unit) * unit


@cache
def idle_limit() -> int:
    """Return the most bytes of idle buffers; a process for each visible device may hold them."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    memory = min([machine, *(group.limit for group in memory_groups())])
    return int(memory // IDLE_SHARE // load_cupy().cuda.runtime.getDeviceCount())


POOL = PinnedPool()
"""The pool of this process."""
