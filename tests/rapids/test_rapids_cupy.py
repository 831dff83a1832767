"""What the backend `cuda` uses of CuPy, with the real CuPy, on a machine without a GPU."""

from __future__ import annotations

import ctypes
import inspect

import numpy as np
import pytest

pytest.importorskip("cupy", reason="needs RAPIDS; see `make test-rapids`")

import cupy

from paninifs.graphs.kernels.cuda import pinned


class Memory:
    """Memory of this process that passes for pinned memory."""

    def __init__(self, size, flags):
        assert flags == 1  # cudaHostAllocPortable
        self.size, self._held = size, (ctypes.c_byte * size)()
        self.ptr = ctypes.addressof(self._held)


@pytest.fixture
def pool(monkeypatch):
    monkeypatch.setattr(cupy.cuda, "PinnedMemory", Memory)
    monkeypatch.setattr(pinned, "idle_limit", lambda: 1 << 20)
    return pinned.PinnedPool()


def test_arrays_lie_where_cupys_pointer_points(pool):
    array = pool.empty((100, 10), np.float32)
    assert pool.holds(array[3:])
    view, address = array[5:, 0], array.ctypes.data
    array[:] = 7
    del array
    assert pool.idle_bytes == 0
    assert view.tolist() == [7] * 95
    del view
    assert pool.idle_bytes == pinned.SMALLEST
    assert pool.empty((1,), np.uint8).ctypes.data == address


def test_no_memory_is_pinned_without_a_driver():
    assert (cupy.cuda.PinnedMemory(0, 1).size, cupy.cuda.PinnedMemory(0, 1).ptr) == (0, 0)
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError) as caught:
        cupy.cuda.PinnedMemory(1, cupy.cuda.runtime.hostAllocPortable)
    assert isinstance(caught.value.status, int)


def test_an_event_can_wait_without_spinning():
    takes = inspect.signature(cupy.cuda.Event.__init__)
    takes.bind(None, block=True, disable_timing=True)
    inspect.signature(cupy.cuda.Event.record).bind(None, None)
    inspect.signature(cupy.cuda.Event.synchronize).bind(None)
    assert callable(cupy.cuda.get_current_stream)


def test_cupys_own_pools_can_be_freed():
    assert callable(cupy.get_default_memory_pool().free_all_blocks)
    cupy.get_default_pinned_memory_pool().free_all_blocks()
