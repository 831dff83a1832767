"""The size of micro-batches: what is learnt, fits and is fastest. Results never change."""

from __future__ import annotations

import functools
import random
import sys
import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import paninifs as pf
from paninifs.engine.worker import block_execution as blocks_module
from paninifs.engine.worker.block_execution import Blocks
from paninifs.engine.worker.micro_batches import budget as budget_module
from paninifs.engine.worker.micro_batches.adaptive_size import (
    HIGH,
    LOW,
    MIN_CALM,
    RETRY_CALLS,
    Adaptive,
    Fixed,
)
from paninifs.engine.worker.micro_batches.exclusive import SharedExclusiveLock
from paninifs.engine.worker.micro_batches.micro_batch import MicroBatch
from paninifs.engine.worker.values.inputs import Inputs
from paninifs.graphs.kernels import load
from paninifs.storage.errors import BlockError
from paninifs.storage.text import PackedText

HOME = MicroBatch(4096, 1 << 20)
FIELDS = 124  # bytes per row


@pytest.fixture(autouse=True)
def nothing_learnt(monkeypatch):
    monkeypatch.setattr(blocks_module, "_adaptive_sizes", {})


def held(size, row_bytes=FIELDS):
    return size.text_bytes + size.rows * (row_bytes + 8)


def everything(sizes):
    """Return the size that memory allows, whichever is fastest."""
    return sizes.within_limits(float("inf"))


# --- the rule -------------------------------------------------------------------------------------

CALLS = st.lists(
    st.tuples(st.integers(1, 20_000), st.integers(0, 50_000), st.integers(10, 36)), min_size=2
)


@given(
    calls=CALLS,
    factor=st.floats(0.5, 30),
    in_flight=st.integers(1, 4),
    most=st.sampled_from([1, 2, 8]),
)
def test_once_measured_it_stays_within_its_share(calls, factor, in_flight, most):
    sizes = Adaptive(HOME, most, in_flight, FIELDS)
    learnt = False
    for many, mean, power in calls:
        room = 1 << power
        turn = sizes.begin(room, many, many * mean)
        size = turn.size
        if learnt and size != MicroBatch(1, 1):
            assert in_flight * factor * held(size) <= HIGH * room * 1.000001
        rows = min(many, size.rows)
        nbytes = min(rows * mean, size.text_bytes)
        turn.fitted(rows, nbytes, int(factor * (nbytes + rows * (FIELDS + 8))))
        turn.ended(1.0)
        learnt = True


@given(power=st.integers(24, 40), factor=st.floats(0.5, 30), in_flight=st.integers(1, 4))
def test_sizes_grow_to_the_budget_or_the_maximum(power, factor, in_flight):
    sizes, room = Adaptive(HOME, 8, in_flight, FIELDS), 1 << power
    for _ in range(60):
        turn = sizes.begin(room, 10_000, 10_000_000)
        turn.fitted(turn.size.rows, turn.size.text_bytes, int(factor * held(turn.size)))
    size = everything(sizes)
    use = in_flight * sizes.factor * held(size) / room
    assert use <= HIGH
    assert size == HOME.times(8) or use >= LOW * 0.98  # whole rows


def test_sizes_follow_a_changing_budget():
    sizes = Adaptive(HOME, 8, 1, FIELDS)
    seen = []
    for room in [1 << 30] * 8 + [1 << 20] * 2 + [1 << 30] * 20:
        turn = sizes.begin(room, 10_000, 10_000_000)
        turn.fitted(turn.size.rows, turn.size.text_bytes, held(turn.size))
        seen.append(everything(sizes))
    assert seen[7] == HOME.times(8)
    assert held(seen[8]) <= HIGH * (1 << 20)
    assert seen[-1] == HOME.times(8)


def test_sizes_that_failed_are_retried_less_and_less():
    """A device that reports more memory than it has: larger sizes are tried less and less often."""
    sizes, refusals, fits = Adaptive(HOME, 1, 1, FIELDS), [], HOME.rows // 8
    for call in range(5000):
        turn = sizes.begin(1 << 40, HOME.rows, 1000)
        size = turn.size
        if size.rows > fits:
            turn.failed(size.rows, 1000)
            refusals.append(call)
        else:
            turn.fitted(size.rows, 10, 1000)
    assert len(refusals) < 14
    assert np.diff(refusals)[-1] > 8 * MIN_CALM
    assert sizes.within_limits(1).rows == fits


def test_sizes_recover_after_a_failure():
    sizes = Adaptive(HOME, 1, 1, FIELDS)
    turn = sizes.begin(1 << 40, 10_000, 1000)
    turn.failed(4096, 1000)
    assert turn.size == HOME.times(0.5)
    for _ in range(10 * MIN_CALM):
        sizes.begin(1 << 40, 10_000, 1000).fitted(turn.size.rows, 1000, 1000)
    assert everything(sizes) == HOME


def test_failures_at_the_same_time_count_once():
    sizes = Adaptive(HOME, 1, 3, FIELDS)
    turn = sizes.begin(1 << 40, 20_000, 1000)
    for _ in range(3):
        turn.failed(4096, 1000)
    assert everything(sizes) == HOME.times(0.5)
    assert sizes._calm_needed == 2 * MIN_CALM


@given(events=st.lists(st.tuples(st.integers(1, 8000), st.booleans()), max_size=300))
def test_a_single_text_is_always_tried(events):
    sizes = Adaptive(HOME, 4, 3, FIELDS)
    for rows, fits in events:
        turn = sizes.begin(1 << 30, rows, 50 * rows)
        assert turn.size.rows >= 1
        assert turn.size.text_bytes >= 1
        if fits:
            turn.fitted(rows, 50 * rows, 200 * rows)
        else:
            turn.failed(rows, 50 * rows)


def driven(sizes, seconds, calls=1500, rows=1 << 20, noise=0.0, seed=0):
    """Simulate calls on a backend of this speed; return the size that is in use at the end."""
    rng = random.Random(seed)
    for _ in range(calls):
        turn = sizes.begin(1 << 40, rows, 50 * rows)
        size = turn.size
        turn.fitted(size.rows, 50 * size.rows, 50 * size.rows)
        turn.ended(rows / size.rows * seconds(size.rows) * (1 + noise * rng.uniform(-1, 1)))
    return sizes.size


@given(
    overhead=st.floats(0, 1e6),
    cache=st.sampled_from([256, 2048, 1 << 30]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_a_nearly_fastest_size_is_found(overhead, cache, seed):
    """Each micro-batch has a fixed cost, and rows are slower beyond the size of some cache."""

    def rate(rows):
        return 1e9 * rows / (overhead + rows * (100 if rows <= cache else 160))

    sizes = Adaptive(HOME, 8, 1, FIELDS)
    used = driven(sizes, lambda rows: rows / rate(rows), noise=0.005, seed=seed).rows
    # If the rate has two maxima, either one will do.
    small = [rate(HOME.rows * 2**k // 256) for k in range(12) if HOME.rows * 2**k // 256 <= cache]
    large = [rate(HOME.rows * 2**k // 256) for k in range(12) if HOME.rows * 2**k // 256 > cache]
    assert rate(used) >= 0.94 * min(max(hill) for hill in (small, large) if hill)
    if cache == 2048:  # next to the first size, so that both sides are tried
        assert rate(used) >= 0.94 * max(rate(rows) for rows in (2048, 4096, 8192))


def test_noise_of_a_busy_machine_is_tolerated():
    """Calls randomly take up to twice as long, and half the size is 8 % slower."""

    def seconds(rows):
        return 1e-9 * (33_000 + 100 * rows)

    sizes = [Adaptive(HOME, 1, 1, FIELDS) for _ in range(30)]
    used = [driven(one, seconds, 300, 1 << 16, 0.33, seed).rows for seed, one in enumerate(sizes)]
    slower = [seconds(rows) / rows / (seconds(HOME.rows) / HOME.rows) for rows in used]
    assert sum(slower) / len(slower) < 1.02
    assert max(slower) < 1.1


def test_a_larger_size_without_gain_is_not_used():
    sizes = Adaptive(HOME, 8, 1, FIELDS)
    assert driven(sizes, lambda rows: 1e-7 * rows) == HOME
    assert everything(sizes) == HOME.times(8)  # memory would allow it


def test_a_size_that_lost_is_tried_again_later():
    sizes = Adaptive(HOME, 8, 1, FIELDS)
    assert driven(sizes, lambda rows: 1e-7 * rows) == HOME
    assert driven(sizes, lambda rows: 1e-7 * rows + 1, calls=4 * RETRY_CALLS) == HOME.times(8)


def test_small_calls_decide_nothing():
    sizes = Adaptive(HOME, 8, 1, FIELDS)
    driven(sizes, lambda rows: 1.0, rows=HOME.rows // 2)
    assert sizes.size == HOME


def test_calls_that_become_small_take_no_part():
    sizes = Adaptive(HOME, 8, 1, FIELDS)
    driven(sizes, lambda rows: 1.0, calls=3)
    assert sizes._comparison is not None
    before = sum(map(len, sizes._comparison.rates.values()))
    driven(sizes, lambda rows: 1.0, calls=50, rows=HOME.rows // 2)
    assert sum(map(len, sizes._comparison.rates.values())) == before


def test_the_largest_use_of_equal_sizes_counts():
    sizes = Adaptive(HOME, 1, 1, FIELDS)
    turn = sizes.begin(1 << 40, 10_000, 10_000)
    for factor in (1, 5, 2):
        turn.fitted(1000, 1000, factor * (1000 + 1000 * (FIELDS + 8)))
    assert sizes.factor == 5
    turn.fitted(10, 10, 1 << 30)  # a small one tells little
    assert sizes.factor == 5


def test_a_size_set_by_the_user_is_fixed():
    fixed = Fixed(HOME)
    turn = fixed.begin(1, 1, 1)
    turn.failed(4096, 1)
    turn.fitted(1, 1, 1 << 60)
    turn.ended(1.0)
    assert (turn.size, fixed.size) == (HOME, HOME)


# --- a device with limited memory -----------------------------------------------------------------


def texts(kind, seed=0):
    rng = np.random.default_rng(seed)
    lengths = {
        "short": rng.integers(0, 120, 2500),
        "long": rng.integers(4000, 6000, 60),
        "mixed": np.minimum(20 + rng.lognormal(5, 1.6, 700).astype(int), 50_000),
    }[kind]
    return PackedText.from_strings(["aé"[seed % 2] * int(length) for length in lengths])


def computed(blocks, text):
    parts = list(blocks.run(Inputs.of_text(text), lambda a, b: f"{a}-{b}"))
    assert [part.start for part in parts[1:]] == [part.stop for part in parts[:-1]]
    assert (parts[0].start, parts[-1].stop) == (0, len(text))
    names = parts[0].arrays
    return {name: np.concatenate([part.arrays[name] for part in parts]) for name in names}


def assert_same(got, wanted):
    assert set(got) == set(wanted)
    for name, array in wanted.items():
        assert array.dtype == got[name].dtype
        assert array.tobytes() == got[name].tobytes(), name


@pf.map_block(fields=[pf.Field("upper", "int32")], version="1")
def hungry(text):
    """Use twenty times the text's memory in temporary arrays."""
    several = [text.data + np.uint8(step) for step in range(20)]
    assert len(several) == 20
    return (text.offsets[1:] - text.offsets[:-1]).astype(np.int32)


@functools.cache
def by_reference(kind, seed, *, with_hungry=False):
    """Return what the backend ``reference`` computes of `texts`."""
    graph = pf.default_graph() + hungry if with_hungry else pf.default_graph()
    return computed(Blocks(graph, "reference"), texts(kind, seed))


@pytest.mark.slow("the first of them makes what others share, by the slow reference")
@pytest.mark.parametrize("kind", ["short", "long", "mixed"])
@pytest.mark.parametrize("megabytes", [0.25, 1, 8])
@pytest.mark.parametrize("own", [False, True], ids=["default", "hungry"])
def test_a_device_with_little_memory_computes_the_same(cuda_on_host, kind, megabytes, own):
    import cupy

    graph = pf.default_graph()
    if own:
        graph += hungry
        megabytes *= 12  # as it uses twenty times as much
    load("cuda").prepare()
    cupy.device.total, cupy.device.refused = int(megabytes * 1e6), 0
    blocks = Blocks(graph, "cuda")
    refused = []
    for seed in range(3):
        assert_same(computed(blocks, texts(kind, seed)), by_reference(kind, seed, with_hungry=own))
        refused.append(cupy.device.refused)
    assert refused[0] <= 16  # before anything is known about the block
    assert refused[-1] - refused[0] <= 4
    assert cupy.device.peak <= cupy.device.total
    assert cupy.device.taken == 0


@pytest.mark.parametrize("backend", ["cpu", "cuda"])
@pytest.mark.parametrize("seed", range(4))
def test_memory_errors_at_random_change_nothing(cuda_on_host, monkeypatch, backend, seed):
    rng, kernels = random.Random(seed), load(backend)
    offload, refused = kernels.offload, []

    def unwilling(values, work):
        rows = len(values["text"])
        if rows > 1 and rng.random() < 0.3:
            refused.append(rows)
            raise MemoryError
        return offload(values, work)

    monkeypatch.setattr(kernels, "offload", unwilling)
    graph, text = pf.default_graph(), texts("mixed", seed)
    wanted = computed(Blocks(graph, "reference"), text)
    assert_same(computed(Blocks(graph, backend), text), wanted)
    while len(refused) < 3:
        assert_same(computed(Blocks(graph, backend), text), wanted)


SIZES = st.lists(st.tuples(st.integers(1, 400), st.integers(1, 60_000)), min_size=1, max_size=6)


@pytest.mark.slow("computes a graph for each of 25 sequences")
@given(sizes=SIZES)
@settings(max_examples=25, deadline=None)
def test_no_sequence_of_sizes_changes_a_result(sizes):
    graph, text = pf.default_graph(), texts("mixed")
    wanted = computed(Blocks(graph, "cpu"), text)
    for rows, nbytes in sizes:
        assert_same(computed(Blocks(graph, "cpu", MicroBatch(rows, nbytes)), text), wanted)


@pytest.mark.slow("computes twelve corpora, by the slow reference too")
def test_threads_that_learn_together_compute_the_same(cuda_on_host):
    import cupy

    graph = pf.default_graph()
    load("cuda").prepare()
    cupy.device.total = 3_000_000
    kinds = [(kind, seed) for kind in ("short", "long", "mixed") for seed in range(4)]
    every, wanted = [texts(*one) for one in kinds], [by_reference(*one) for one in kinds]
    begun = threading.Barrier(4)

    def work(numbers):
        begun.wait()
        return [computed(Blocks(graph, "cuda"), every[number]) for number in numbers]

    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(work, [range(first, 12, 4) for first in range(4)]))
    for first in range(4):
        for number, one in zip(range(first, 12, 4), got[first], strict=True):
            assert_same(one, wanted[number])
    assert len(blocks_module._adaptive_sizes) == 2  # one per backend, shared by all threads


def test_little_memory_makes_the_same_store(cuda_on_host, glosses, write_jsonl, tmp_path):
    import cupy

    corpus = pf.open_corpus(write_jsonl(glosses))

    def arrays(name, backend, total):
        cupy.device.total = total
        with pf.connect("threads", threads=2, quiet=True) as client:
            options = {"client": client, "backend": backend, "progress": False, "shard_rows": 512}
            pf.submit(pf.default_graph(), corpus, tmp_path / name, **options).result()
        found = sorted((tmp_path / name).rglob("c/**/*"))
        return {
            path.relative_to(tmp_path / name): path.read_bytes() for path in found if path.is_file()
        }

    wanted = arrays("cpu", "cpu", 1 << 50)
    assert len(wanted) > 30
    assert arrays("little", "cuda", 400_000) == wanted
    assert cupy.device.peak <= 400_000
    assert arrays("much", "cuda", 1 << 50) == wanted


def test_a_text_that_fits_only_alone_is_tried_alone(cuda_on_host):
    """Three are in flight at once, and the device has memory for one and a half."""
    import cupy

    load("cuda").prepare()
    cupy.device.total, cupy.device.refused = 150_000, 0
    text = PackedText.from_strings(["a" * 80_000] * 12)
    assert_same(
        computed(Blocks(pf.default_graph(), "cuda", MicroBatch(rows=1)), text),
        computed(Blocks(pf.default_graph(), "reference"), text),
    )


def test_an_exclusive_holder_is_alone():
    lock, inside, most = SharedExclusiveLock(), [], []

    def work(number):
        alone = number % 5 == 0
        with lock.exclusive() if alone else lock.shared():
            inside.append(alone)
            time.sleep(0.002)
            most.append((alone, len(inside)))
            inside.remove(alone)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(100)))
    assert {many for alone, many in most if alone} == {1}
    assert max(many for _, many in most) > 1


def test_a_text_that_does_not_fit_among_others_is_named(cuda_on_host):
    import cupy

    load("cuda").prepare()
    cupy.device.total = 60_000
    text = PackedText.from_strings(["a"] * 50 + ["b" * 70_000] + ["c"] * 50)
    with pytest.raises(
        BlockError, match=r"a text of 70,000 bytes does not fit in memory .*at row 50"
    ):
        list(Blocks(pf.default_graph(), "cuda").run(Inputs.of_text(text), lambda a, b: f"row {a}"))


def test_a_blocks_temporary_memory_is_learnt(cuda_on_host):
    sizes = {}
    for name, graph in (("plain", pf.default_graph()), ("own", pf.default_graph() + hungry)):
        computed(Blocks(graph, "cuda"), texts("long"))
        sizes[name] = next(
            one
            for key, one in blocks_module._adaptive_sizes.items()
            if ("hungry" in key[1]) == (name == "own")
        )
    assert 0.9 < sizes["plain"].factor < 1.2
    assert 19 < sizes["own"].factor < 23


def test_a_size_that_failed_is_not_tried_by_the_next_call(monkeypatch):
    kernels, refused = load("cpu"), []
    offload = kernels.offload

    def narrow(values, work):
        rows = len(values["text"])
        if rows > 100:
            refused.append(rows)
            raise MemoryError
        return offload(values, work)

    monkeypatch.setattr(kernels, "offload", narrow)
    blocks, text = Blocks(pf.default_graph(), "cpu"), texts("short")
    computed(blocks, text)
    assert 2500 in refused
    refused.clear()
    computed(blocks, text)
    assert not refused


# --- memory available and memory used -------------------------------------------------------------


def test_device_memory_is_counted_per_thread(cuda_on_host):
    import cupy

    kernels = load("cuda")
    with kernels.count_allocations() as outer:
        cupy.empty(1000, np.uint8)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(cupy.empty, 5000, np.uint8).result()
        one = cupy.empty((10, 10), np.float32)
        two = one + one
    cupy.empty(7000, np.uint8)
    assert outer.nbytes == 1000 + 400 + 400
    assert len(two) == 10


def test_free_device_memory_includes_cupys_pool(cuda_on_host, monkeypatch):
    import cupy

    cupy.device.total = 1 << 20
    kept = cupy.empty(512, np.uint8)
    assert load("cuda").free_memory() == (1 << 20) - 512
    pool = types.SimpleNamespace(free_bytes=lambda: 300)
    monkeypatch.setattr(cupy, "get_default_memory_pool", lambda: pool)
    assert load("cuda").free_memory() == (1 << 20) - 212
    assert len(kept) == 512


def test_free_device_memory_is_rmms_pool_if_cupy_uses_it(cuda_on_host, monkeypatch):
    import cupy

    pool = types.SimpleNamespace(pool_size=lambda: 777)
    counting = types.SimpleNamespace(upstream_mr=pool)
    mr = types.SimpleNamespace(get_current_device_resource=lambda: counting)
    monkeypatch.setitem(sys.modules, "rmm", types.SimpleNamespace(mr=mr))
    # RMM is installed, but CuPy uses its own pool.
    assert load("cuda").free_memory() == cupy.device.total

    def from_rmm(nbytes):
        return cupy.device.take(nbytes)

    from_rmm.__module__ = "rmm.allocators.cupy"
    with cupy.cuda.using_allocator(from_rmm):
        assert load("cuda").free_memory() == 777
        mr.get_current_device_resource = types.SimpleNamespace
        assert load("cuda").free_memory() == cupy.device.total


def test_threads_share_the_workers_memory_on_the_host():
    def found():
        return budget_module.memory_budget(load("cpu"))

    with pf.connect(workers=1, threads=2, memory="800MiB", quiet=True) as client:
        assert client.submit(found).result() == 50 << 20
    assert found() > 1 << 20  # the share of this machine's


def test_a_wide_field_makes_micro_batches_of_few_rows(monkeypatch):
    """A worker with a budget of 20 MB, and a block that makes a megabyte per text."""
    given_at_once = []

    @pf.map_block(fields=[pf.Field("wide", "uint8", (1 << 20,))], version="1")
    def wide(text):
        given_at_once.append(len(text))
        return np.zeros((len(text), 1 << 20), np.uint8)

    monkeypatch.setattr(blocks_module, "memory_budget", lambda kernels: 20_000_000)
    text = PackedText.from_strings(["a"] * 60)
    parts = list(Blocks(pf.Graph((wide,)), "cpu").run(Inputs.of_text(text), lambda a, b: ""))
    assert sum(len(part.arrays["wide"]) for part in parts) == 60
    assert max(given_at_once) <= 17
    assert len(given_at_once) <= 10
