"""Runs whose texts are decoded in the device's memory store what runs on the CPU store."""

from __future__ import annotations

import logging
import sys

import numpy as np
import parquet_corpora
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import paninifs as pf
from paninifs.engine.worker import text_decoding
from paninifs.graphs.kernels.cuda import device_text

MEASURED = r"""
extern "C" __global__ void measured(
    const unsigned char *data, const long long *offsets, long long n, int *n_bytes, int *first
) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    n_bytes[i] = (int)(offsets[i + 1] - offsets[i]);
    first[i] = n_bytes[i] ? data[offsets[i]] : -1;
}
"""


@pf.map_block(fields=[pf.Field("n_bytes", "int32"), pf.Field("first", "int32")], cuda=MEASURED)
def measured(text):
    lengths = np.diff(text.offsets).astype(np.int32)
    first = np.array([one[0] if len(one) else -1 for one in text], np.int32)
    return lengths, first


@pf.map_block(fields=[pf.Field("n_words", "int32")])
def n_words(text):
    return np.array([len(one.split()) for one in text.to_strings()], np.int32)


def results(store):
    """Return the arrays of a store, as they are stored, and its quarantined rows."""
    arrays = {
        str(path.relative_to(store)): path.read_bytes()
        for path in sorted(store.rglob("*"))
        if path.is_file() and "/c/" in str(path)
    }
    assert arrays
    return arrays, pf.quarantine(store).to_dict("records")


def run(path, store, client, backend, graph=None, **columns):
    """Compute a corpus, and return what `results` returns."""
    columns = {"text": "text", "id": "id", "keep": ["n"]} | columns
    options = {"shard_rows": 128, "progress": False, "micro_batch": pf.MicroBatch(rows=100)}
    pf.submit(
        graph or pf.default_graph() + measured,
        pf.open_corpus(path, **columns),
        store,
        client=client,
        backend=backend,
        **options,
    ).result()
    return results(store)


@pytest.fixture
def both(inline, tmp_path):
    """Return a function that returns the results of both backends for a corpus."""

    def run_both(path, graph=None, **columns):
        one = run(path, tmp_path / "cpu.zarr", inline, "cpu", graph, **columns)
        return one, run(path, tmp_path / "cuda.zarr", inline, "cuda", graph, **columns)

    return run_both


ON_THE_HOST = {"in a struct", "brotli"}
"""Corpora of which nothing is decoded on the device."""


@pytest.mark.slow("two runs for each of many files")
@pytest.mark.parametrize("name", parquet_corpora.CORPORA)
def test_both_backends_store_the_same(name, decoding, both, tmp_path):
    path = parquet_corpora.write(tmp_path, name)
    on_host, on_device = both(path, text=parquet_corpora.text_column(name))
    assert on_device == on_host
    assert (len(decoding) > 0) == (name not in ON_THE_HOST)


@pytest.mark.slow("two runs, in parts of a few texts")
def test_parts_that_end_anywhere_are_joined(decoding, both, tmp_path, monkeypatch):
    monkeypatch.setattr(text_decoding, "MOST_BYTES", 700)
    on_host, on_device = both(parquet_corpora.write(tmp_path, "one row group"))
    assert on_device == on_host
    assert len(decoding) == 2


@pytest.fixture
def glosses_file(glosses, tmp_path):
    path = tmp_path / "glosses.parquet"
    texts = [one["text"] for one in glosses[:1500]]
    table = pa.table({"text": texts, "id": list(map(str, range(1500))), "n": range(1500)})
    pq.write_table(table, path, row_group_size=400)
    return path


@pytest.fixture
def copied(monkeypatch):
    """Bytes of texts that are copied from the device to the host, one by one."""
    found = []
    copy = device_text.DeviceText._copied

    def watched(text, start, stop):
        found.append(stop - start)
        return copy(text, start, stop)

    monkeypatch.setattr(device_text.DeviceText, "_copied", watched)
    return found


def test_texts_do_not_come_to_the_host(decoding, copied, glosses_file, tmp_path, inline, caplog):
    with caplog.at_level(logging.INFO, "paninifs"):
        run(glosses_file, tmp_path / "r.zarr", inline, "cuda", pf.default_graph())
    assert len(decoding) == 4
    assert "texts are decoded on the device, about 268435456 bytes at once" in caplog.text
    sampled = 12 * 256 * 100  # for Unicode's normal forms
    assert sum(copied) < sampled
    assert pf.verify(tmp_path / "r.zarr").passed


def test_the_memory_of_the_device_is_given_back(decoding, glosses_file, tmp_path, inline):
    import cupy

    before = cupy.device.taken
    run(glosses_file, tmp_path / "r.zarr", inline, "cuda", pf.default_graph())
    assert cupy.device.taken == before


@pytest.mark.parametrize(
    ("graph", "clean", "reason"),
    [
        (pf.default_graph() + n_words, {}, "the function of block 'n_words' may read them"),
        (pf.default_graph(), {"unicode": "NFC"}, "they are cleaned (unicode)"),
        (pf.default_graph(), {"whitespace": True, "min_chars": 2}, "cleaned (whitespace, min_cha"),
        (pf.default_graph(), {"duplicates": True}, None),
        (pf.default_graph() + measured, {}, None),
    ],
    ids=["function", "form", "several steps", "duplicates", "kernel"],
)
def test_what_reads_texts_on_the_host_has_them_decoded_there(
    graph, clean, reason, decoding, both, glosses_file, caplog
):
    with caplog.at_level(logging.INFO, "paninifs"):
        on_host, on_device = both(glosses_file, graph, clean=pf.Cleaning(**clean))
    assert on_device == on_host
    assert (len(decoding) > 0) == (reason is None)
    assert reason is None or f"texts are decoded on the host: {reason}" in caplog.text.replace(
        "they are cleaned (whitespace, min_chars)", "cleaned (whitespace, min_chars)"
    )


def test_without_cudf_a_run_says_so(cuda_on_host, glosses_file, tmp_path, inline, caplog):
    with caplog.at_level(logging.INFO, "paninifs"):
        run(glosses_file, tmp_path / "r.zarr", inline, "cuda", pf.default_graph())
    assert "texts are decoded on the host: cuDF cannot be used here (Module" in caplog.text


def test_other_formats_do_not_load_cudf(
    decoding, glosses, write_jsonl, tmp_path, inline, caplog, monkeypatch
):
    path = write_jsonl([{**one, "n": 1} for one in glosses[:100]])
    monkeypatch.setitem(sys.modules, "pylibcudf.io.parquet", None)
    with caplog.at_level(logging.INFO, "paninifs"):
        run(path, tmp_path / "r.zarr", inline, "cuda", pf.default_graph())
    assert "on the host: the format of the files is read there" in caplog.text


def test_mixed_normal_forms_are_noticed_on_the_device_too(decoding, tmp_path, inline):
    texts = ["ascii", None, "dh\u0101tu", "dha\u0304tu", "x"] * 30
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet")
    found = []
    for backend in ("cpu", "cuda"):
        summary = pf.submit(
            pf.default_graph(),
            pf.open_corpus(tmp_path / "a.parquet"),
            tmp_path / f"{backend}.zarr",
            client=inline,
            backend=backend,
            progress=False,
        ).result()
        found.append((summary.not_nfc, summary.not_nfd))
    assert len(decoding) == 1
    assert found == [(3, 2), (3, 2)]


def test_a_device_lost_while_decoding_ends_the_run(
    decoding, glosses_file, tmp_path, inline, monkeypatch
):
    import cupy
    import pylibcudf_on_host

    def lost(_):
        cupy.cuda.runtime.CUDARuntimeError(719)
        raise RuntimeError("CUDA error: 719 cudaErrorLaunchFailure")

    monkeypatch.setattr(pylibcudf_on_host.ChunkedParquetReader, "read_chunk", lost)
    with pytest.raises(pf.errors.DeviceLost):
        run(glosses_file, tmp_path / "r.zarr", inline, "cuda", pf.default_graph())
