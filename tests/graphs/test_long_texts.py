"""Long texts on the backend `cuda`: the host computes them, to the same bits."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
import pytest

import paninifs as pf
from paninifs.engine.worker.block_execution import Blocks
from paninifs.engine.worker.micro_batches.micro_batch import MicroBatch
from paninifs.engine.worker.values.inputs import Inputs
from paninifs.graphs.inventories import DHATUS, PRIMES
from paninifs.graphs.kernels import load, long_texts
from paninifs.storage.errors import BackendUnavailable
from paninifs.storage.text import PackedText

LONG = 1000
LENGTHS = {
    "none": [0, 5, 999, 70],
    "all": [1000, 4000, 1001],
    "one": [2000],
    "first and last": [3000, 10, 0, 999, 5000],
    "in a row": [7, 1500, 1600, 1700, 8, 1800, 9],
}


@pytest.fixture(autouse=True)
def short_long_texts(monkeypatch):
    """Texts are long from 1000 bytes on."""
    monkeypatch.setattr(long_texts, "LONG", LONG)


@pytest.fixture
def copied(cuda_on_host, monkeypatch):
    """Bytes of every array of bytes that is copied to the device."""
    import cupy

    sizes = []
    set_ = cupy.ndarray.set

    def watched(array, values, stream=None):
        sizes.extend([values.nbytes] * (values.dtype == np.uint8))
        set_(array, values, stream)

    monkeypatch.setattr(cupy.ndarray, "set", watched)
    return sizes


def texts_of(lengths):
    return PackedText.from_strings([bytes(n * 7 % 251 for n in range(k)) for k in lengths])


ONE_CALL = MicroBatch(rows=100)


def run(graph, backend, text):
    """Return every field of a graph, by name."""
    (part,) = Blocks(graph, backend, ONE_CALL).run(Inputs.of_text(text), lambda a, b: f"{a}-{b}")
    return part.arrays


def assert_same(got, wanted):
    assert got.keys() == wanted.keys()
    for name, array in wanted.items():
        assert (got[name].dtype, got[name].tobytes()) == (array.dtype, array.tobytes()), name


@pytest.mark.parametrize("width", [np.int32, np.int64])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_every_mixture_has_the_reference_s_bits(copied, lengths, width):
    whole = texts_of([44, 2000, *lengths])
    text = PackedText(whole.data, whole.offsets.astype(width))[2:]
    wanted = run(pf.default_graph(), "reference", text)
    assert_same(run(pf.default_graph(), "cuda", text), wanted)
    assert copied == [sum(length for length in lengths if length < LONG)]


@pytest.mark.parametrize("name", ["digest", "dhatu"])
def test_each_function_has_the_reference_s_bits(copied, name):
    options = {"dhatus": DHATUS} if name == "dhatu" else {}
    text = texts_of(LENGTHS["in a row"])
    made = load("cuda").offload(
        {"text": text}, lambda there: {"x": getattr(load("cuda"), name)(there["text"], **options)}
    )
    assert made["x"].tobytes() == getattr(load("reference"), name)(text, **options).tobytes()
    assert copied == [24]


def test_texts_are_long_from_256_kib_on(copied, monkeypatch):
    monkeypatch.undo()
    assert long_texts.LONG == 1 << 18
    text = texts_of([(1 << 18) - 1])
    assert not load("cuda").offload({"text": text[:0]}, lambda there: {})
    assert type(offloaded(text)) is PackedText
    assert type(offloaded(texts_of([1 << 18]))) is not PackedText


def offloaded(text):
    seen = []
    load("cuda").offload({"text": text}, lambda there: seen.append(there["text"]) or {})
    return seen[0]


# --- blocks of the user's own ---------------------------------------------------------------------

SUMS = r"""
extern "C" __global__ void sums(
    const unsigned char *data, const long long *offsets, long long n, long long *total
) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    total[i] = 0;
    for (long long at = offsets[i]; at < offsets[i + 1]; ++at) total[i] += data[at];
}
"""


@pf.map_block(fields=[pf.Field("total", "int64")], cuda=SUMS)
def sums(text):
    return np.array([sum(one) for one in text], np.int64)


@pf.map_block(fields=[pf.Field("size", "int64"), pf.Field("bytes", "int64")], version="1")
def sizes(text):
    lengths = (text.offsets[1:] - text.offsets[:-1]).astype(np.int64)
    return lengths, np.full_like(lengths, len(text.data))


@pf.map_block(fields=[pf.Field("last", "int64")], version="1")
def last(text):
    return np.array([one[-1] if len(one) else -1 for one in text.to_bytes()], np.int64)


@pf.map_block(fields=[pf.Field("largest", "float32")])
def largest(dhatu):
    return np.max(dhatu, axis=1)


@pf.map_block(fields=[pf.Field("is_short", "bool")], version="1")
def is_short(length):
    return length < 1700


@pf.map_block(fields=[pf.Field("sum_of_some", "int64")], when="is_short", cuda=SUMS, name="sums")
def some(text):
    return np.array([sum(one) for one in text], np.int64)


@pytest.mark.parametrize("own", [sums, sizes, last], ids=lambda block: block.name)
def test_a_users_block_gets_every_text(copied, own):
    text = texts_of(LENGTHS["in a row"])
    graph = pf.default_graph() + own + largest
    assert_same(run(graph, "cuda", text), run(graph, "reference", text))
    assert copied == ([24] if own is last else [24, text.nbytes])


def test_a_block_of_shares_copies_no_long_text(copied):
    text = texts_of(LENGTHS["in a row"])
    graph = pf.default_graph() + largest
    assert_same(run(graph, "cuda", text), run(graph, "reference", text))
    assert copied == [24]


def test_a_condition_chooses_among_all_texts(copied):
    text = texts_of(LENGTHS["in a row"])
    lengths = np.diff(text.offsets)
    graph = pf.default_graph() + is_short + some

    def fields(backend):
        inputs = Inputs.of_text(text).including(length=lengths)
        (part,) = Blocks(graph, backend, ONE_CALL).run(inputs, lambda a, b: "")
        return part.arrays

    assert_same(fields("cuda"), fields("reference"))


@pf.map_block(fields=[pf.Field("halved", "int64")], version="1")
def fails_for_one(length):
    if int(np.sum(length == 1600)):
        raise ValueError
    return length


def test_halves_of_texts_keep_their_long_ones(copied):
    text = texts_of(LENGTHS["in a row"])
    graph = pf.Graph((fails_for_one,)) + pf.digest() + sums

    def fields(backend):
        inputs = Inputs.of_text(text).including(length=np.diff(text.offsets))
        (part,) = Blocks(graph, backend, ONE_CALL).run(
            inputs, lambda a, b: "", lambda row, failure: None
        )
        return part.arrays

    made = fields("cuda")
    assert made["digest"][2].tolist() == [0] * 32  # of the text that failed
    assert_same(made, fields("reference"))
    assert copied == [24, text.nbytes]


# --- without the host's kernels -------------------------------------------------------------------


@pytest.fixture
def no_cpu_backend(monkeypatch):
    def missing(name):
        raise BackendUnavailable(f"backend {name!r} needs locket: install it")

    long_texts._prepared.cache_clear()
    monkeypatch.setattr(long_texts, "load", missing)
    yield
    long_texts._prepared.cache_clear()


def test_without_the_cpu_s_packages_the_device_computes_them(copied, no_cpu_backend):
    text = texts_of(LENGTHS["in a row"])
    wanted = load("reference").default_graph(text, dhatus=DHATUS, primes=PRIMES)
    made = run(pf.default_graph(), "cuda", text)
    assert [array.tobytes() for array in made.values()] == [array.tobytes() for array in wanted]
    assert copied == [text.nbytes]


# --- preparing them -------------------------------------------------------------------------------


class SlowToPrepare:
    """The backend `cpu`, which is prepared when `go` is set, and counts in which threads."""

    def __init__(self):
        self.go, self.threads = threading.Event(), []

    def prepare(self):
        self.threads.append(threading.current_thread())
        assert self.go.wait(10)

    def __getattr__(self, name):
        return getattr(load("cpu"), name)


@pytest.fixture
def slow_host(monkeypatch):
    host = SlowToPrepare()
    long_texts._prepared.cache_clear()
    monkeypatch.setattr(long_texts, "load", lambda name: host)
    yield host
    long_texts._prepared.cache_clear()


def test_no_start_waits_for_the_host_but_a_long_text_does(copied, slow_host, monkeypatch):
    monkeypatch.setattr(long_texts, "LONG", 1 << 17)  # longer than the texts of the self-test
    load("cuda").prepare()
    while not slow_host.threads:
        time.sleep(0.001)
    graph = pf.Graph((pf.digest(),))
    short, long = texts_of(LENGTHS["none"]), texts_of([9, 1 << 17])
    assert_same(run(graph, "cuda", short), run(graph, "reference", short))
    with ThreadPoolExecutor(2) as pool:
        tasks = [pool.submit(run, graph, "cuda", long) for _ in range(2)]
        assert not wait(tasks, timeout=0.2).done
        slow_host.go.set()
        for task in tasks:
            assert_same(task.result(), run(graph, "reference", long))
    (thread,) = slow_host.threads
    thread.join()
    assert thread.name == "paninifs-long-texts"


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_host_that_fails_to_prepare_says_so_to_the_long_text(copied, monkeypatch):
    def broken(name):
        raise OSError("no space left on device")

    long_texts._prepared.cache_clear()
    monkeypatch.setattr(long_texts, "load", broken)
    long_texts.prepare_host_kernels().join()
    with pytest.raises(OSError, match="no space left"):
        long_texts.host_kernels()
