"""Pinned memory of the backend `cuda`, and copies from and to it, on the stand-in for CuPy."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest

from paninifs.graphs.kernels import BACKENDS, control_groups, load
from paninifs.graphs.kernels.cuda import copies, pinned, streams, transfer
from paninifs.graphs.kernels.cuda.pinned import SMALLEST, rounded
from paninifs.storage.errors import DeviceLost
from paninifs.storage.text import PackedText

MIB = 1 << 20


@pytest.fixture
def host(cuda_on_host):
    """The host's pinned memory, as the driver counts it."""
    import cupy

    return cupy.host


@pytest.fixture
def pool(host, monkeypatch):
    """A pool that keeps 4 MiB, and buffers of at most 2 MiB."""
    monkeypatch.setattr(pinned, "LARGEST_KEPT", 2 * MIB)
    monkeypatch.setattr(pinned, "idle_limit", lambda: 4 * MIB)
    made = pinned.PinnedPool()
    for module in (copies, streams, transfer):
        monkeypatch.setattr(module, "POOL", made)
    return made


# --- the pool -------------------------------------------------------------------------------------


def test_a_buffer_is_reused_when_no_array_uses_it(pool, host):
    array = pool.empty((1000, 100), np.float32)
    assert (array.shape, array.dtype, array.flags.c_contiguous) == ((1000, 100), "float32", True)
    row = array[500:, 0]
    del array
    other = pool.empty((400_000,), np.uint8)
    assert len(host.allocated) == 2
    row[:] = 7
    assert not np.may_share_memory(row, other)
    del row
    again = pool.empty((1000, 100), np.float32)
    assert len(host.allocated) == 2
    assert len(again) == 1000


def test_arrow_arrays_hold_the_buffer_they_view(pool):
    buffer = pool.empty((10,), np.uint8)
    buffer[:] = np.frombuffer(b"0123456789", np.uint8)
    ends = pa.py_buffer(np.array([0, 4, 10], np.int32))
    array = pa.Array.from_buffers(pa.string(), 2, [None, ends, pa.py_buffer(buffer)])
    text = PackedText.from_arrow(array)
    del buffer, array
    pool.empty((10,), np.uint8)[:] = 0
    assert text.to_bytes() == [b"0123", b"456789"]
    assert pool.holds(text.data)
    before = pool.idle_bytes
    del text
    assert pool.idle_bytes == before + SMALLEST


def test_a_buffer_serves_arrays_of_about_its_size(pool, host):
    pool.empty((MIB,), np.uint8)
    one = pool.empty((700_001,), np.uint8)
    assert host.allocated == [MIB]
    two = pool.empty((600_000,), np.uint8)
    del one
    three = pool.empty((600_000,), np.uint8)  # a buffer of a MiB would waste too much
    assert host.allocated == [MIB, rounded(600_000), rounded(600_000)]
    assert len(two) == len(three)


@pytest.mark.parametrize("nbytes", [1, SMALLEST, SMALLEST + 1, 10**6, 3 * 10**8, (1 << 40) - 1])
def test_a_buffer_is_at_most_an_eighth_too_large(nbytes):
    assert nbytes <= rounded(nbytes) <= max(SMALLEST * 2, nbytes * 9 / 8)


def test_the_longest_idle_buffers_are_freed(pool, host):
    arrays = [pool.empty((MIB + n * (MIB // 8),), np.uint8) for n in range(5)]
    addresses = [array.ctypes.data for array in arrays]
    assert host.taken > 6 * MIB
    while arrays:
        del arrays[0]
    assert pool.idle_bytes == host.taken <= 4 * MIB
    assert host.taken == sum(host.allocated[3:])
    assert addresses[4] == pool.empty((MIB + MIB // 2,), np.uint8).ctypes.data


def test_a_buffer_larger_than_a_micro_batch_is_freed_at_once(pool, host):
    array = pool.empty((2 * MIB + 1,), np.uint8)
    assert host.taken > 2 * MIB
    assert pool.holds(array)
    del array
    assert (host.taken, pool.idle_bytes) == (0, 0)


def test_idle_buffers_are_freed_when_no_more_can_be_pinned(pool, host):
    idle = pool.empty((MIB,), np.uint8)
    used = pool.empty((MIB,), np.uint8)
    del idle
    host.total = 4 * MIB
    array = pool.empty((3 * MIB,), np.uint8)
    assert len(array) == 3 * len(used)
    with pytest.raises(RuntimeError, match="cudaError 2"):
        pool.empty((1,), np.uint8)


def test_memory_that_is_idle_or_freed_is_nobodys(pool):
    array = pool.empty((100, 10), np.int32)
    inside = array.view()
    assert pool.holds(array)
    assert pool.holds(array[3:])
    assert not pool.holds(array[:, 0])  # cannot be copied as it lies
    assert not pool.holds(np.zeros(10))
    del array, inside
    pool.free_idle()
    assert pool._addresses == []
    assert pool._sizes == {}


def test_a_buffer_may_come_back_while_this_thread_holds_the_lock(pool):
    array = pool.empty((10,), np.uint8)
    array = [array]
    array.append(array)  # garbage for the collector, which may run anywhere
    with pool._locked():
        del array
        gc.collect(1)  # the young: a whole collection of a large process takes a second
    assert pool.idle_bytes == SMALLEST


def test_threads_never_share_a_buffer(pool, host):
    start = threading.Barrier(4)

    def use(number):
        start.wait()
        for turn in range(200):
            array = pool.empty((40_000 + 1000 * (turn % 7),), np.uint8)
            array[:] = number
            assert (array == number).all()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(use, range(4)))
    assert pool.idle_bytes == host.taken
    assert len(host.allocated) < 80  # of 800, where two in each thread are in use at once


def test_an_array_of_nothing_takes_no_memory(pool, host):
    assert pool.empty((0, 32), np.uint8).shape == (0, 32)
    assert host.allocated == []


@pytest.fixture
def limit(host):
    """Return a function that returns the limit of idle buffers as it is now."""

    def now():
        pinned.idle_limit.cache_clear()
        return pinned.idle_limit()

    yield now
    pinned.idle_limit.cache_clear()


def test_the_limit_is_a_share_of_the_machines_memory(limit, monkeypatch):
    import cupy

    one = limit()
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", lambda: 2)
    assert limit() == one // 2


def test_the_limit_is_a_share_of_a_containers_memory(limit, monkeypatch, tmp_path):
    monkeypatch.setattr(control_groups, "ROOT", tmp_path)
    machine = limit()
    files = {
        "proc/self/cgroup": "0::/pod/container",
        "sys/fs/cgroup/memory.max": "max",
        "sys/fs/cgroup/memory.current": 0,
        "sys/fs/cgroup/pod/memory.max": 64 * MIB,
        "sys/fs/cgroup/pod/memory.current": 60 * MIB,
        "sys/fs/cgroup/pod/container/memory.max": 96 * MIB,
        "sys/fs/cgroup/pod/container/memory.current": 60 * MIB,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    assert limit() == 64 * MIB // pinned.IDLE_SHARE
    (tmp_path / "sys/fs/cgroup/pod/memory.max").write_text(f"{1 << 62}\n")  # more than there is
    (tmp_path / "sys/fs/cgroup/pod/container/memory.max").write_text("max\n")
    assert limit() == machine


# --- copies from and to it ------------------------------------------------------------------------


def halves(values):
    text = values["text"]
    return {"data": text.data, "offsets": text.offsets}


def in_host_buffer(texts, width):
    """Lay texts into one buffer of the backend, as reading does, and view them."""
    plain = PackedText.from_strings(texts)
    data = load("cuda").host_buffer(plain.nbytes)
    data[:] = plain.data
    ends = load("cuda").host_buffer(len(plain.offsets) * np.dtype(width).itemsize).view(width)
    ends[:] = plain.offsets
    return PackedText(data, ends)


@pytest.fixture
def staged(pool, monkeypatch):
    """Arrays taken from the pool, by shape and dtype."""
    taken = []
    empty = pool.empty

    def watched(shape, dtype):
        taken.append((shape, np.dtype(dtype).name))
        return empty(shape, dtype)

    monkeypatch.setattr(pool, "empty", watched)
    return taken


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_has_buffers_for_the_host(cuda_on_host, backend):
    buffer = load(backend).host_buffer(1000)
    assert (buffer.shape, buffer.dtype, buffer.flags.writeable) == ((1000,), np.uint8, True)
    buffer[:] = 7
    assert load(backend).host_buffer(0).shape == (0,)


def test_texts_in_a_buffer_are_copied_from_there(staged):
    kernels, texts = load("cuda"), ["one", "", "dhātu"]
    text = in_host_buffer(texts, np.int64)
    staged.clear()
    made = kernels.offload({"text": text}, halves)
    assert staged == [((9,), "uint8"), ((4,), "int64")]  # only what is copied back
    assert PackedText(made["data"], made["offsets"]).to_strings() == texts


@pytest.mark.parametrize(("width", "start"), [(np.int32, 0), (np.int64, 1), (np.int32, 2)])
def test_only_offsets_that_must_change_are_staged(staged, width, start):
    texts = ["one", "", "dhātu", "x"]
    text = in_host_buffer(texts, width)[start:]
    staged.clear()
    made = load("cuda").offload({"text": text}, halves)
    assert staged[0] == ((5 - start,), "int64")
    assert len(staged) == 3
    assert PackedText(made["data"], made["offsets"]).to_strings() == texts[start:]
    assert made["offsets"][0] == 0


def test_arrays_in_a_buffer_are_copied_from_there(staged):
    kernels = load("cuda")
    array = kernels.host_buffer(400).view(np.float32).reshape(10, 10)
    array[:] = 3
    staged.clear()
    assert kernels.offload({"a": array}, dict)["a"].tolist() == array.tolist()
    assert kernels.offload({"a": array.T}, dict)["a"].tolist() == array.T.tolist()
    assert len(staged) == 3


def test_results_stay_until_they_are_garbage(pool, host):
    kernels = load("cuda")

    def results(fill):
        return kernels.offload({"a": np.full(70_000, fill, np.uint8)}, dict)["a"]

    one, two = results(1), results(2)
    assert pool.holds(one)
    assert (one == 1).all()
    assert (two == 2).all()
    before = len(host.allocated)
    del one
    assert (results(3) == 3).all()
    assert len(host.allocated) == before


def test_without_memory_to_pin_a_buffer_is_ordinary(pool, host):
    host.total = 0
    buffer = load("cuda").host_buffer(1000)
    assert not pool.holds(buffer)
    buffer[:] = 1
    with pytest.raises(MemoryError):
        load("cuda").offload({"a": np.ones(3)}, dict)


def test_a_lost_device_has_no_buffers(pool, monkeypatch):
    import cupy

    def lost(nbytes, flags):
        raise cupy.cuda.runtime.CUDARuntimeError(700)

    monkeypatch.setattr(cupy.cuda.runtime, "hostAlloc", lost)
    with pytest.raises(DeviceLost, match="failed: cudaError 700"):
        load("cuda").host_buffer(1000)


def test_without_device_memory_idle_buffers_are_freed(pool, host, monkeypatch):
    import cupy

    def full(values):
        raise cupy.cuda.memory.OutOfMemoryError

    with pytest.raises(MemoryError):
        load("cuda").offload({"a": np.ones(1000)}, full)
    pool.free_idle()  # the traceback held what was staged
    load("cuda").offload({"a": np.ones(1000)}, dict)
    assert pool.idle_bytes > 0
    error = cupy.cuda.runtime.CUDARuntimeError
    with pytest.raises(MemoryError):
        load("cuda").offload({}, lambda _: (_ for _ in ()).throw(error(2)))
    assert (pool.idle_bytes, host.taken) == (0, 0)


def test_waiting_for_the_device_does_not_spin(pool, monkeypatch):
    import cupy

    def spins(_):
        raise AssertionError("the thread would spin")

    monkeypatch.setattr(cupy._Stream, "synchronize", spins)
    kernels, text = load("cuda"), PackedText.from_strings(["a", "bc", "def"])
    found = []

    def work(values):
        some = kernels.chosen(values["text"], np.array([True, False, True]))
        found.append(kernels.on_host(some.data).tobytes())
        return {"data": some.data}

    assert kernels.offload({"text": text}, work)["data"].tobytes() == b"adef"
    assert found == [b"adef"]
    kernels.resident({"a": np.ones(3)})
    assert cupy.waits == [True] * 4


def test_staged_texts_are_held_until_they_are_copied(pool, monkeypatch):
    """Also if a copy back fails: the device may still be reading them."""
    import cupy

    get = cupy.ndarray.get

    def full(array, **options):
        if array.dtype == np.int64:
            raise cupy.cuda.memory.OutOfMemoryError
        return get(array, **options)

    monkeypatch.setattr(cupy.ndarray, "get", full)
    with pytest.raises(MemoryError):  # the stand-in's stream would find them gone
        load("cuda").offload({"text": PackedText.from_strings(["a", "b"])}, halves)
    assert len(streams._idle) == 1  # the stream is reused
    assert not streams._idle[0]._queued
