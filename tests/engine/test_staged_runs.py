"""Runs over dask frames that are staged next to the store on request, resumed, cleaned away."""

from __future__ import annotations

import json
import os
import signal
import time
from threading import Event

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from staging_attempt import StagingAttempt, logged_frame

import paninifs as pf
from paninifs.engine.monitoring.events import Notice, Staged
from paninifs.engine.monitoring.progress import Progress
from paninifs.storage.errors import (
    ColumnNotFound,
    CorpusEmpty,
    ResultsMismatch,
    RunCancelled,
    RunFailed,
    UsageError,
)

PARTS = 6


@pytest.fixture
def corpus(glosses, tmp_path):
    """A folder of files that make up a partition each."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for part in range(PARTS):
        rows = [{"id": f"p{part}-{n}", "text": f"{part} {n} some words"} for n in range(4096)]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{part}.jsonl").write_text(lines)
    return folder


def run(client, frame, store, *, stage=True, **options):
    graph = pf.default_graph()
    return pf.submit(graph, frame, store, client=client, progress=False, stage=stage, **options)


def events_of(run):
    found = []
    run.events.subscribe(found.append)
    return found


def test_a_series_is_one_of_texts(client, corpus, tmp_path):
    texts = pf.open_corpus(corpus).frame["text"]
    assert run(client, texts, tmp_path / "out.zarr").result().done == PARTS * 4096


def test_a_filtered_and_joined_frame_is_submitted_as_it_is(client, corpus, tmp_path):
    frame = pf.open_corpus(corpus).frame
    ids = [f"p1-{n}" for n in range(100)] + ["p4-7", "nowhere"]
    ranks = pd.DataFrame({"id": ids, "rank": range(len(ids))}).astype({"id": frame.id.dtype})
    joined = frame.merge(dd.from_pandas(ranks, npartitions=1), on="id")
    store = tmp_path / "out.zarr"
    work = run(client, pf.open_corpus(joined, keep=["rank"]), store)
    assert work.result().done == 101
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus", "out.staged", "out.zarr"]
    found = pf.open_results(store)
    assert dict(zip(found.id.values, found["rank"].values, strict=True)) == dict(
        zip(ids[:-1], range(101), strict=True)
    )
    assert pf.verify(store).passed
    assert pf.peek("1 5 some words", store, top=1).nearest[0].text == "1 5 some words"
    events = events_of(work)
    notes = [event.text for event in events if isinstance(event, Notice)]
    staged = [event for event in events if isinstance(event, Staged)]
    assert any(note.startswith("staging the frame, ") for note in notes)
    assert [event.done for event in staged] == list(range(joined.npartitions + 1))
    assert {event.folder for event in staged} == {str(tmp_path / "out.staged")}


def test_an_exploded_frame_keeps_its_order(client, corpus, tmp_path):
    frame = pf.open_corpus(corpus / "0.jsonl").frame
    words = frame.assign(text=frame.text.str.split(" ")).explode("text")
    words["text"] = words.text.astype("string[pyarrow]")
    assert run(client, words, tmp_path / "out").result().done == 4 * 4096
    assert (tmp_path / "out.staged" / "_staged.json").exists()
    assert pf.open_results(tmp_path / "out").id.values[:5].tolist() == ["p0-0"] * 4 + ["p0-1"]


def test_a_frame_is_computed_once_and_known_again(client, corpus, tmp_path):
    log, store = tmp_path / "log", tmp_path / "out.zarr"
    run(client, logged_frame(corpus, log), store).result()
    assert sorted(log.read_text().split()) == [f"p{part}-0" for part in range(PARTS)]
    (store / "_run/done/00000001.json").unlink()
    again = run(client, logged_frame(corpus, log), store)
    assert again.result().done == PARTS * 4096
    assert len(log.read_text().split()) == PARTS
    assert not [event for event in events_of(again) if isinstance(event, Staged)]
    staged = pf.open_corpus(tmp_path / "out.staged")
    assert run(client, staged, store, stage=None).result().done == PARTS * 4096  # the same files


def test_only_the_partitions_that_are_missing_are_computed(client, corpus, tmp_path):
    log, store = tmp_path / "log", tmp_path / "out.zarr"
    run(client, logged_frame(corpus, log), store).result()
    staged = tmp_path / "out.staged"
    (staged / "_staged.json").unlink()  # as if it had been stopped
    (staged / "_parts/000002.json").unlink()
    (staged / "part-000004.parquet").unlink()
    log.unlink()
    run(client, logged_frame(corpus, log), store).result()
    assert sorted(log.read_text().split()) == ["p2-0", "p4-0"]


@pytest.mark.documented("staging-stopped")
def test_a_killed_run_goes_on_where_it_was(start, client, corpus, tmp_path):
    log, store = tmp_path / "log", tmp_path / "out.zarr"
    process = start(StagingAttempt(str(corpus), str(store), str(log), 0.3))
    markers = tmp_path / "out.staged" / "_parts"
    deadline = time.monotonic() + 60
    while not (markers.exists() and len(list(markers.glob("0*.json"))) >= 2):
        assert process.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.join()
    done = {path.name for path in markers.glob("0*.json")}
    assert 2 <= len(done) < PARTS
    log.unlink()
    work = run(client, logged_frame(corpus, log, 0.3), store)
    assert work.result().done == PARTS * 4096
    computed = {line.partition("-")[0].removeprefix("p") for line in log.read_text().split()}
    assert computed == {f"{part}" for part in range(PARTS)} - {f"{int(name[:6])}" for name in done}
    notes = [event.text for event in events_of(work) if isinstance(event, Notice)]
    assert any(f"of which {len(done):,} are done" in note for note in notes)
    undisturbed = tmp_path / "undisturbed.zarr"
    run(client, logged_frame(corpus, log), undisturbed).result()
    for name in ("id", "digest"):
        one, other = (pf.open_results(path)[name].values for path in (store, undisturbed))
        np.testing.assert_array_equal(one, other)


def test_submit_returns_at_once_and_result_says_what_failed(client, corpus, tmp_path):
    frame = pf.open_corpus(corpus).frame

    def fails(part):
        if len(part) and part.id.iloc[0] == "p3-0":
            raise KeyError("rank")
        return part

    work = run(client, frame.map_partitions(fails, meta=frame._meta), tmp_path / "out.zarr")
    with pytest.raises(
        RunFailed, match=r"frame could not be computed \(KeyError: 'rank'\); \d of 6"
    ):
        work.result()
    assert work.status().state == "failed"
    assert not (tmp_path / "out.zarr" / "zarr.json").exists()


def test_a_run_can_be_cancelled_while_it_stages(client, corpus, tmp_path):
    work = run(client, logged_frame(corpus, tmp_path / "log", 20.0), tmp_path / "out.zarr")
    begun = Event()
    work.events.subscribe(lambda event: isinstance(event, Staged) and begun.set())
    assert begun.wait(30)
    assert work.status().line() == "staging, 0 of 6 partitions"
    work.cancel()
    with pytest.raises(RunCancelled):
        work.result(timeout=15)


@pytest.mark.documented("another-frame")
def test_another_frame_is_refused_by_name_and_replaced_on_request(client, corpus, tmp_path):
    store = tmp_path / "out.zarr"
    frame = pf.open_corpus(corpus / "0.jsonl").frame
    run(client, frame, store).result()
    other = frame[frame.id != "p0-0"]
    with pytest.raises(ResultsMismatch, match=r"out\.staged was staged from another frame; open"):
        run(client, other, store).result()
    assert run(client, other, store, fresh=True).result().done == 4095
    (tmp_path / "x.staged").mkdir()
    (tmp_path / "x.staged/notes.txt").write_text("mine")
    with pytest.raises(ResultsMismatch, match=r"holds notes\.txt"):
        run(client, frame, tmp_path / "x.zarr").result()
    assert (tmp_path / "x.staged/notes.txt").read_text() == "mine"


def test_another_frame_that_was_begun_is_refused_too(corpus, tmp_path):
    frame = pf.open_corpus(corpus / "0.jsonl").frame
    pf.stage(frame, tmp_path / "staged")
    (tmp_path / "staged/_staged.json").unlink()
    other = frame[frame.id != "p0-0"]
    with pytest.raises(ResultsMismatch, match="was begun to be staged from another frame"):
        pf.stage(other, tmp_path / "staged")
    assert pf.stage(other, tmp_path / "staged", fresh=True).index.rows == 4095


def test_what_was_staged_is_removed_on_request(client, corpus, tmp_path):
    store = tmp_path / "out.zarr"
    frame = pf.open_corpus(corpus / "0.jsonl").frame
    assert run(client, frame, store, keep_staged=False).result().done == 4096
    assert not (tmp_path / "out.staged").exists()
    assert pf.export(store, text=False).id.tolist()[:2] == ["p0-0", "p0-1"]
    assert run(client, frame, store, keep_staged=False).result().done == 4096  # the same again
    assert not (tmp_path / "out.staged").exists()


def test_what_submit_cannot_take_is_refused_at_once(client, corpus, tmp_path):
    frame = pf.open_corpus(corpus).frame
    with pytest.raises(ColumnNotFound, match=r"no column 'text'; the frame has: body, id.*text="):
        run(client, frame.rename(columns={"text": "body"}), tmp_path / "out.zarr")
    with pytest.raises(UsageError, match="cannot extend a store"):
        run(client, frame, tmp_path / "out.zarr", extend=True)
    with pytest.raises(UsageError, match="or a frame, not a str"):
        run(client, str(corpus), tmp_path / "out.zarr")
    with pytest.raises(CorpusEmpty, match="the frame has no rows"):
        run(client, frame[frame.id == "none"], tmp_path / "out.zarr").result()
    lazy = pf.open_corpus(frame)
    for use in (
        len,
        lambda corpus: corpus.index,
        lambda corpus: pf.rehearse(pf.default_graph(), corpus, client=client),
    ):
        with pytest.raises(UsageError, match=r"dask frame of 6 partitions, .*paninifs\.stage"):
            use(lazy)
    assert repr(lazy) == "<Corpus of a dask frame of 6 partitions, text='text'>"
    assert lazy.head(2).id.tolist() == ["p0-0", "p0-1"]
    assert pf.stage(lazy, tmp_path / "staged").index.rows == PARTS * 4096


def test_a_pandas_frame_is_submitted_as_data_in_memory(inline, tmp_path):
    frame = pd.DataFrame({"text": ["un", "deux"]})
    assert run(inline, frame, tmp_path / "out.zarr", stage=None).result().done == 2
    assert not (tmp_path / "out.staged").exists()


def test_progress_while_staging():
    progress = Progress()
    progress.listen(Staged(4, 1, "out.staged"))
    assert progress.line() == "staging, 1 of 4 partitions"
    progress.listen(Staged(4, 4, "out.staged"))
    assert progress.line() == "counting rows"
