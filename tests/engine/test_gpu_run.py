"""A run on this machine's GPUs, as a user starts it: cluster, frames, store. Needs RAPIDS."""

from __future__ import annotations

from pathlib import Path

import pytest

for package in ("cudf", "cupy", "dask_cuda", "rmm"):
    pytest.importorskip(package)

import paninifs as pf  # noqa: E402

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def cuda():
    with pf.connect("cuda", quiet=True) as client:
        yield client


def files(store: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in sorted(store.rglob("*"))
        if path.is_file() and "/c/" in str(path)
    }


def test_the_store_of_the_gpus_is_that_of_the_cpu_byte_for_byte(
    cuda, glosses, write_jsonl, tmp_path
):
    for part in range(8):
        write_jsonl(glosses[part * 250 : (part + 1) * 250], f"{part}.jsonl")
    corpus = pf.open_corpus(tmp_path / "*.jsonl")
    options = {"shard_rows": 128, "progress": False, "client": cuda}
    done = pf.submit(pf.default_graph(), corpus, tmp_path / "cuda.zarr", **options).result()
    pf.submit(pf.default_graph(), corpus, tmp_path / "cpu.zarr", backend="cpu", **options).result()
    assert done.done == 2000
    assert files(tmp_path / "cuda.zarr") == files(tmp_path / "cpu.zarr")
    assert pf.verify(tmp_path / "cuda.zarr").passed


def test_a_frame_s_texts_are_hashed_where_they_lie(cuda, glosses, write_jsonl):
    from paninifs.graphs.frames.cudf_text import packed
    from paninifs.graphs.kernels import load

    corpus = pf.open_corpus(write_jsonl(glosses))
    frame = pf.frame(corpus)
    long = frame[frame.text.str.len() > 80].text

    def digests(part):
        with packed(part) as text:
            return load("cuda").digest(text).get().tobytes()

    kept = [one["text"] for one in glosses if len(one["text"]) > 80]
    wanted = load("reference").digest(pf.PackedText.from_strings(kept)).tobytes()
    assert b"".join(part.compute() for part in map_parts(long, digests)) == wanted


def map_parts(series, function):
    import dask

    return [dask.delayed(function)(part) for part in series.to_delayed()]
