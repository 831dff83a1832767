"""Runs over data in memory: sent to each worker process once, known by their digest."""

from __future__ import annotations

import gc

import numpy as np
import pandas as pd
import pytest

import paninifs as pf
from paninifs.engine.worker import sent_graph
from paninifs.engine.worker.visibility import Visible
from paninifs.storage.errors import CorpusChanged, ResultsMismatch
from paninifs.storage.rows.in_memory import held

ROWS = 700


@pytest.fixture
def data():
    return pd.DataFrame(
        {
            "text": [None if n == 99 else f"text {n}" for n in range(ROWS)],
            "id": [f"t{n}" for n in range(ROWS)],
            "lang": ["fr", "de"] * (ROWS // 2),
        }
    )


def run(client, corpus, store, **options):
    graph = pf.default_graph()
    options = {"client": client, "shard_rows": 64, "progress": False, **options}
    return pf.submit(graph, corpus, store, **options)


def test_a_run_over_data_is_that_over_a_file(client, data, tmp_path):
    data.to_parquet(tmp_path / "a.parquet")
    summary = run(client, pf.open_corpus(data, keep=["lang"]), tmp_path / "data.zarr").result()
    run(client, pf.open_corpus(tmp_path / "a.parquet", keep=["lang"]), tmp_path / "f.zarr").result()
    assert (summary.done, summary.quarantined) == (ROWS - 1, 1)
    one, other = (pf.open_results(tmp_path / name) for name in ("data.zarr", "f.zarr"))
    for name in ("id", "lang", "digest", "dhatu", "ambiguity", "valid"):
        np.testing.assert_array_equal(one[name].values, other[name].values)
    bad = pf.quarantine(tmp_path / "data.zarr")
    assert bad.file.tolist() == ["in-memory"]
    assert bad.row.tolist() == [99]


@pytest.mark.documented("data-in-memory")
@pytest.mark.slow("a run, then every reader of its store")
def test_a_store_is_read_with_the_same_data_and_no_other(inline, data, tmp_path):
    store = tmp_path / "out.zarr"
    run(inline, pf.open_corpus(data, keep=["lang"]), store).result()
    sent_graph._loaded.clear()  # as in another process
    gc.collect()
    with pytest.raises(CorpusChanged, match="the texts lay in memory and are not in this process"):
        pf.verify(store)
    near = pf.peek("text 7", store, top=1)
    assert near.nearest[0].text.startswith("(text not available: in-memory:")
    assert pf.peek("text 7", store, top=1, corpus=data).nearest[0].text == "text 7"
    assert pf.verify(store, corpus=data).passed
    assert pf.verify(store, corpus=pf.open_corpus(data, keep=["lang"])).passed
    with pytest.raises(CorpusChanged, match="these data are not the ones that were indexed"):
        pf.verify(store, corpus=data.assign(text="other"))
    with pytest.raises(CorpusChanged, match="with text=, id= and keep= as they were"):
        pf.verify(store, corpus=pf.open_corpus(data))
    frame = pf.export(store, text=False)
    assert frame.id.tolist() == data.id.tolist()


def test_a_run_resumes_with_the_same_data_and_refuses_others(inline, data, tmp_path):
    store = tmp_path / "out.zarr"
    corpus = pf.open_corpus(data, keep=["lang"])
    stopped = run(inline, corpus, store)
    stopped.result()
    (store / "_run/done/00000003.json").unlink()  # as if it had been stopped before
    again = run(inline, pf.open_corpus(data.copy(), keep=["lang"]), store)
    assert again.result().done == ROWS - 1
    assert again.status().rows_before == ROWS - 64
    longer = pf.open_corpus(pd.concat([data, data]), keep=["lang"])
    with pytest.raises(ResultsMismatch, match=r"in-memory has changed: .* bytes then"):
        run(inline, longer, store)
    with pytest.raises(ResultsMismatch, match=r"data in memory, which cannot be extended"):
        run(inline, longer, store, extend=True)
    assert run(inline, corpus, store, extend=True).result().done == ROWS - 1
    with pytest.raises(ResultsMismatch, match="as many bytes, but others"):
        run(inline, pf.open_corpus(data.assign(lang="xx"), keep=["lang"]), store)


def test_each_process_is_sent_the_data_once_and_drops_them(client, data, tmp_path, monkeypatch):
    corpus = pf.open_corpus(data)
    url = corpus.files[0].url
    store = tmp_path / "out.zarr"
    assert client.run(lambda: held(url) is None)
    run(client, corpus, store).result()
    sizes = client.run(lambda: len(held(url).data))
    assert set(sizes.values()) == {len(corpus.files[0].content.data)}

    def drop_now():
        with sent_graph._lock:
            sent_graph._loaded.clear()
        return held(url) is None

    assert all(client.run(drop_now).values())


def test_files_on_disk_bring_no_data(tmp_path):
    (tmp_path / "a.txt").write_text("un\n")
    files = pf.open_corpus(tmp_path).files
    assert Visible.of(files, None, None).contents == ()


def test_a_frame_of_data_is_read_on_workers(client, data):
    frame = pf.open_corpus(data).frame
    assert client.compute(frame).result().id.tolist() == data.id.tolist()


def test_blocks_of_ones_own_are_tried_on_data(inline, data, tmp_path):
    @pf.map_block(fields=[pf.Field("n", "int32")])
    def length(text):
        return np.diff(text.offsets).astype("int32")

    corpus = pf.open_corpus(texts=data.text)
    assert pf.submit(length, corpus, tmp_path / "n.zarr", client=inline, progress=False).result()
    assert pf.rehearse(pf.default_graph(), corpus, rows=1000, client=inline)
