"""Runs on the backend `cuda`, its kernels compiled for the host: everything above the kernels."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest

import paninifs as pf
from paninifs.engine.cluster import local as local_cluster
from paninifs.engine.worker.block_execution import Blocks
from paninifs.engine.worker.micro_batches.micro_batch import MicroBatch
from paninifs.engine.worker.values.inputs import Inputs
from paninifs.graphs.kernels import load
from paninifs.graphs.kernels.cuda import cuda_backend as cuda
from paninifs.graphs.kernels.cuda import device
from paninifs.storage.errors import BlockError, DeviceLost, GraphError

LENGTHS = r"""
extern "C" __global__ void measures(
    const unsigned char *data, const long long *offsets, const float *dhatu, long long n,
    int *n_bytes, float *two
) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    n_bytes[i] = (int)(offsets[i + 1] - offsets[i]);
    two[2 * i] = dhatu[9 * i];
    two[2 * i + 1] = dhatu[9 * i + 8];
}
"""


@pf.map_block(fields=[pf.Field("n_bytes", "int32"), pf.Field("two", "float32", (2,))], cuda=LENGTHS)
def measures(text, dhatu):
    n_bytes = (text.offsets[1:] - text.offsets[:-1]).astype(np.int32)
    return n_bytes, np.stack([dhatu[:, 0], dhatu[:, 8]], axis=1)


@pf.map_block(fields=[pf.Field("spread", "float32"), pf.Field("heavy", "bool")])
def spread(dhatu, prime_base):
    """Uses only array operations, of NumPy or CuPy."""
    return np.max(dhatu, axis=1) - np.min(dhatu, axis=1), prime_base[:, 0] > prime_base[:, 1]


@pf.map_block(fields=[pf.Field("first", "string"), pf.Field("n_words", "int64")])
def words(text):
    """Uses Python strings."""
    found = [one.split() for one in text.to_strings()]
    first = np.array([one[0] if one else "" for one in found], object)
    return first, np.array([len(one) for one in found], np.int64)


@pf.map_block(fields=[pf.Field("n_words_twice", "int64")])
def twice(n_words):
    return n_words + n_words


def graph():
    return pf.default_graph() + measures + spread + words + twice


def files(store: Path) -> dict[str, bytes]:
    """Return the arrays of a store: every object that readers use."""
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in sorted(store.rglob("*"))
        if path.is_file() and "/c/" in str(path)
    }


@pytest.fixture
def corpus(glosses, write_jsonl):
    return pf.open_corpus(write_jsonl([*glosses[:1000], {"id": "none"}, *glosses[1000:]]))


@pytest.fixture
def threads():
    with pf.connect("threads", quiet=True) as client:
        yield client


def run(corpus, store, client, backend, graph=graph, **options):
    options = {"shard_rows": 256, "progress": False, **options}
    return pf.submit(graph(), corpus, store, client=client, backend=backend, **options)


def test_cuda_and_cpu_make_the_same_bytes(corpus, tmp_path, threads, cuda_on_host):
    one = run(corpus, tmp_path / "cpu", threads, "cpu").result()
    other = run(corpus, tmp_path / "cuda", threads, "cuda").result()
    assert (one.rows, one.done, one.quarantined) == (2001, 2000, 1)
    assert (other.rows, other.done, other.quarantined) == (2001, 2000, 1)
    wanted = files(tmp_path / "cpu")
    assert len(wanted) > 8 * 15
    assert files(tmp_path / "cuda") == wanted
    assert pf.verify(tmp_path / "cuda").passed


@pf.map_block(fields=[pf.Field("on_device", "bool")], version="1")
def whereabouts(text, dhatu):
    there = {type(one).__module__ for one in (text.data, text.offsets, dhatu)} == {"cupy"}
    return (text.offsets[1:] > -1) if there else np.zeros(len(text), bool)


@pytest.mark.parametrize("backend", ["cpu", "cuda"])
def test_blocks_receive_arrays_on_the_backends_device(
    corpus, tmp_path, threads, cuda_on_host, backend
):
    def looking():
        return pf.default_graph() + whereabouts

    run(corpus, tmp_path / "r", threads, backend, looking).result()
    found = pf.open_results(tmp_path / "r")
    assert found.on_device.values[found.valid.values].tolist() == [backend == "cuda"] * 2000


CALLS: list[int] = []


@pf.map_block(fields=[pf.Field("faded", "int32")], version="1")
def lost_after_most_texts(text):
    on_device = type(text.data).__module__ == "cupy"
    CALLS.extend([len(text)] * on_device)
    if sum(CALLS) > 1500:
        raise sys.modules["cupy"].cuda.runtime.CUDARuntimeError(719)
    return (text.offsets[1:] - text.offsets[:-1]).astype(np.int32)


def fading():
    return graph() + lost_after_most_texts


def test_the_backend_defaults_to_the_clusters(corpus, tmp_path, threads, cuda_on_host):
    graph = pf.default_graph() + whereabouts
    for name, of_cluster, asked, on_device in (
        ("a", None, None, False),
        ("b", "cuda", None, True),
        ("c", "cuda", "cpu", False),
    ):
        threads.set_metadata(local_cluster.BACKEND_KEY, of_cluster or "cpu")
        options = {"client": threads, "backend": asked, "progress": False}
        pf.submit(graph, corpus, tmp_path / name, **options).result()
        assert pf.open_results(tmp_path / name).on_device.values.any() == on_device


def test_a_run_begun_on_cuda_resumes_on_the_cpu(corpus, tmp_path, threads, cuda_on_host):
    run(corpus, tmp_path / "whole", threads, "cpu", fading).result()

    CALLS.clear()
    with pytest.raises(DeviceLost):
        run(corpus, tmp_path / "both", threads, "cuda", fading).result()
    assert 0 < len(list((tmp_path / "both" / "_run" / "done").iterdir())) < 8
    with pf.connect("threads", quiet=True) as other:
        CALLS.clear()
        run(corpus, tmp_path / "both", other, "cpu", fading).result()
    assert files(tmp_path / "both") == files(tmp_path / "whole")


def test_worker_processes_run_it(corpus, tmp_path, cuda_on_host):
    with pf.connect(workers=2, quiet=True) as client:
        run(corpus, tmp_path / "cuda", client, "cuda").result()
    with pf.connect("threads", quiet=True) as client:
        run(corpus, tmp_path / "cpu", client, "cpu").result()
    assert files(tmp_path / "cuda") == files(tmp_path / "cpu")


# --- memory ---------------------------------------------------------------------------------------


@pytest.fixture
def room(cuda_on_host, monkeypatch):
    """Refuse device arrays of more than `nbytes` bytes; count the refusals."""
    import cupy

    refused = []
    empty = cupy.empty

    def limited(limit):
        def allocate(shape, dtype):
            made = empty(shape, dtype)
            if made._on_host.nbytes > limit:
                refused.append(shape)
                raise cupy.cuda.memory.OutOfMemoryError
            return made

        monkeypatch.setattr(cupy, "empty", allocate)
        return refused

    return limited


def arrays(blocks, text):
    parts = list(blocks.run(Inputs.of_text(text), lambda a, b: f"{a}-{b}"))
    assert [part.start for part in parts[1:]] == [part.stop for part in parts[:-1]]
    assert (parts[0].start, parts[-1].stop) == (0, len(text))
    names = parts[0].arrays
    return {name: np.concatenate([part.arrays[name] for part in parts]) for name in names}


@pytest.mark.parametrize("limit", [8_000, 4_000, 900])
def test_too_large_a_micro_batch_is_halved_until_it_fits(glosses, room, limit):
    text = pf.PackedText.from_strings([one["text"] for one in glosses[:700]])
    wanted = arrays(Blocks(graph(), "reference"), text)
    blocks = Blocks(graph(), "cuda", MicroBatch(rows=300))
    refused = room(limit)
    got = arrays(blocks, text)
    assert len(refused) >= 3
    for name, array in wanted.items():
        assert array.dtype == got[name].dtype
        assert array.tolist() == got[name].tolist(), name


def test_cudas_own_memory_error_halves_the_micro_batch(glosses, cuda_on_host):
    import cupy

    kernels = load("cuda")
    text = pf.PackedText.from_strings(["a", "b"])

    def fail(_):
        raise cupy.cuda.runtime.CUDARuntimeError(2)

    with pytest.raises(MemoryError):
        kernels.offload({"text": text}, fail)


def test_a_text_that_does_not_fit_at_all_is_named(room):
    blocks = Blocks(pf.default_graph(), "cuda")
    room(2000)
    text = pf.PackedText.from_strings(["a", "b" * 5000, "c"])
    with pytest.raises(
        BlockError, match=r"a text of 5,000 bytes does not fit in memory .*at row 1"
    ):
        list(blocks.run(Inputs.of_text(text), lambda a, b: f"row {a}"))


# --- a device that fails --------------------------------------------------------------------------


@pf.map_block(fields=[pf.Field("late", "int32")], version="1")
def lost_on_worker_0(text):
    import cupy
    from distributed import get_worker

    if get_worker().name == 0 and type(text.data) is cupy.ndarray:
        raise cupy.cuda.runtime.CUDARuntimeError(719)
    return (text.offsets[1:] - text.offsets[1:]).astype(np.int32)


def losing():
    return pf.default_graph() + lost_on_worker_0


def test_losing_the_only_device_is_an_error_with_a_remedy(corpus, tmp_path, threads, cuda_on_host):
    with pytest.raises(
        DeviceLost, match=r"CUDA 13.0\) failed.*--cluster cpu, and run again to resume"
    ):
        run(corpus, tmp_path / "r", threads, "cuda", losing).result()
    with pf.connect("threads", quiet=True) as client:
        assert run(corpus, tmp_path / "r", client, "cpu", losing).result().done == 2000


def test_a_misnamed_kernel_is_not_a_lost_device(corpus, tmp_path, threads, cuda_on_host):
    source = f"#if 0\n{LENGTHS}\n#endif"  # it only looks like a kernel
    misnamed = pf.map_block(fields=measures.fields, name="measures", cuda=source)(measures.function)
    with pytest.raises(BlockError, match=r"'measures' raised CUDADriverError: cudaError 500"):
        run(corpus, tmp_path / "r", threads, "cuda", lambda: pf.default_graph() + misnamed).result()


def test_a_store_is_not_discarded_for_a_run_that_cannot_begin(
    corpus, tmp_path, threads, monkeypatch
):
    run(corpus, tmp_path / "r", threads, "cpu").result()
    before = files(tmp_path / "r")
    monkeypatch.setitem(sys.modules, "cupy", None)
    cuda.prepare.cache_clear()
    device.device_name.cache_clear()
    with pytest.raises(pf.errors.BackendUnavailable):
        run(corpus, tmp_path / "r", threads, "cuda", fresh=True).result()
    assert files(tmp_path / "r") == before
    assert pf.verify(tmp_path / "r").passed


def test_threads_that_begin_together_compile_once(cuda_on_host, monkeypatch):
    import cupy

    compiled = []
    compile_ = cupy.RawModule.compile

    def slowly(program):
        compiled.append(program)
        time.sleep(0.2)
        compile_(program)

    monkeypatch.setattr(cupy.RawModule, "compile", slowly)
    blocks = Blocks(pf.default_graph(), "cuda", MicroBatch(rows=1))
    assert (
        len(list(blocks.run(Inputs.of_text(pf.PackedText.from_strings("abc")), lambda a, b: "")))
        == 3
    )
    assert len(compiled) == 1


def test_a_run_compiles_only_what_was_tested(corpus, tmp_path, threads, cuda_on_host, monkeypatch):
    import cupy

    compiled = []
    compile_ = cupy.RawModule.compile

    def watched(program):
        compiled.append(program._code)
        compile_(program)

    monkeypatch.setattr(cupy.RawModule, "compile", watched)
    load("cuda").prepare()
    tested = list(compiled)
    assert len(tested) == 1
    run(corpus, tmp_path / "r", threads, "cuda", pf.default_graph).result()
    assert compiled == tested


def test_texts_that_lie_on_the_device_may_have_32_bit_offsets(glosses, cuda_on_host):
    kernels = load("cuda")
    text = pf.PackedText.from_strings([one["text"] for one in glosses[:100]])[3:]
    ends = text.offsets.astype(np.int32)
    frame = pf.PackedText(kernels.asarray(text.data), kernels.asarray(ends))
    assert kernels.digest(frame).get().tolist() == load("reference").digest(text).tolist()


def test_an_inventory_too_large_for_a_device_is_refused(cuda_on_host):
    kernels = load("cuda")
    many = tuple(f"D{n}" for n in range(257))
    with pytest.raises(pf.errors.BackendUnavailable, match=r"up to 256 dhātus, not 257"):
        kernels.offload(
            {"text": pf.PackedText.from_strings(["a"])},
            lambda there: {"dhatu": kernels.dhatu(there["text"], dhatus=many)},
        )


@pytest.mark.parametrize("field", range(7))
def test_a_device_that_computes_wrongly_is_not_used(
    corpus, tmp_path, threads, cuda_on_host, monkeypatch, field
):
    right = cuda.default_graph

    def wrong(text, **inventory):
        made = right(text, **inventory)
        made[field]._on_host.reshape(-1).view(np.uint8)[-1] ^= 1
        return made

    monkeypatch.setattr(cuda, "default_graph", wrong)
    with pytest.raises(
        pf.errors.BackendUnavailable, match=r"host's processor .* computes wrong results"
    ):
        run(corpus, tmp_path / "r", threads, "cuda").result()


def test_without_cupy_the_error_says_what_to_install(corpus, tmp_path, threads, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cupy", None)
    cuda.prepare.cache_clear()
    with pytest.raises(pf.errors.BackendUnavailable, match=r"GPU and CuPy .*paninifs devices"):
        run(corpus, tmp_path / "r", threads, "cuda").result()


# --- a user's own blocks --------------------------------------------------------------------------


def test_a_users_kernel_is_part_of_the_graphs_identity():
    other = pf.map_block(fields=measures.fields, cuda=LENGTHS + "\n")(measures.function)
    assert measures.describe()["cuda"] == LENGTHS
    assert other.describe() != measures.describe()
    assert "cuda" not in spread.describe()


@pytest.mark.parametrize(
    "source",
    [True, b"x", "hello", LENGTHS.replace("measures", "other"), LENGTHS.replace('extern "C"', "")],
)
def test_a_source_without_the_kernel_is_refused(source):
    with pytest.raises(GraphError, match=r'with a kernel extern "C" __global__ void measures\('):
        pf.map_block(fields=measures.fields, cuda=source)(measures.function)


def test_a_kernel_may_state_its_launch_bounds():
    source = LENGTHS.replace("void measures", "void __launch_bounds__(256) measures")
    assert pf.map_block(fields=measures.fields, cuda=source)(measures.function).cuda == source


def test_a_kernel_for_strings_is_refused():
    with pytest.raises(GraphError, match=r"'words': a CUDA kernel cannot return string"):
        pf.map_block(fields=words.fields, cuda="...")(words.function)
