"""Following a collection: every committed part once, no other, until it is complete."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pytest
from growing import Growing, parquet
from typer.testing import CliRunner

import paninifs as pf
from paninifs.engine.cli import app
from paninifs.engine.collecting.following import follow as follow_module
from paninifs.engine.collecting.following.follow import followed
from paninifs.engine.collecting.following.growing_corpus import STATE_KEY, GrowingCorpus
from paninifs.storage.errors import (
    BlockError,
    CorpusChanged,
    CorpusEmpty,
    ResultsDamaged,
    ResultsMismatch,
    UsageError,
)

GRAPH = pf.default_graph()


@pytest.fixture
def growing(tmp_path):
    return Growing(tmp_path / "corpus")


@pytest.fixture
def parts(glosses):
    """Five parts of a corpus."""
    rows = [{"id": row["id"], "text": row["text"], "lang": "en"} for row in glosses[:150]]
    return [rows[at : at + 30] for at in range(0, 150, 30)]


@pytest.fixture
def following(inline, tmp_path, growing):
    def follow(graph=GRAPH, results=tmp_path / "s.zarr", **options):
        options = {"client": inline, "progress": False, "poll_seconds": 0.01, **options}
        return pf.follow(graph, growing.url, results, **options)

    return follow


@pytest.fixture
def steps(monkeypatch):
    """Do something at each wait, instead of waiting; a list of the seconds."""

    def instead(*actions):
        waits, left = [], list(actions)

        def sleep(seconds):
            waits.append(seconds)
            assert left, "waited once more than expected"
            left.pop(0)()

        monkeypatch.setattr(follow_module.time, "sleep", sleep)
        return waits

    return instead


def assert_equal_to_one_run(store, growing, inline, tmp_path, rows):
    corpus = pf.open_corpus(f"{growing.url}/part-*.parquet")
    shard_rows = follow_module._shard_rows(GRAPH, tmp_path / "new.zarr", {})
    once = pf.submit(
        GRAPH, corpus, tmp_path / "once.zarr", client=inline, progress=False, shard_rows=shard_rows
    )
    assert once.result().rows == rows
    first, second = pf.open_results(store), pf.open_results(tmp_path / "once.zarr")
    for name in second.variables:
        np.testing.assert_array_equal(first[name].values, second[name].values)


@pytest.mark.slow("several runs")
def test_a_corpus_that_a_thread_grows_is_followed_to_its_end(
    following, growing, parts, inline, tmp_path
):
    def grow():
        for part in parts:
            time.sleep(0.05)
            growing.write(part)
            time.sleep(0.02)
            growing.commit()
        growing.state(complete=True)

    thread = threading.Thread(target=grow)
    thread.start()
    summary = following()
    thread.join()
    assert (summary.rows, summary.done) == (150, 150)
    assert_equal_to_one_run(tmp_path / "s.zarr", growing, inline, tmp_path, 150)


@pytest.mark.slow("three runs")
def test_readers_see_the_texts_of_every_run(following, growing, parts, steps, tmp_path):
    seen = []

    def look_and_add(part):
        seen.append(len(pf.open_results(tmp_path / "s.zarr").id))
        growing.add(part)

    growing.add(parts[0])
    steps(
        lambda: look_and_add(parts[1]),
        lambda: look_and_add(parts[2]),
        lambda: growing.state(complete=True),
    )
    assert following().rows == 90
    assert seen == [30, 60]


@pytest.mark.slow("two runs")
def test_a_part_is_not_read_before_it_is_committed(following, growing, parts, steps, tmp_path):
    growing.add(parts[0])
    growing.write(parts[1])  # of a collector that is killed now

    def replaced():
        assert len(pf.open_results(tmp_path / "s.zarr").id) == 30
        growing.add(parts[2])  # by the one that resumed

    steps(replaced, lambda: growing.state(complete=True))
    assert following().rows == 60
    ids = pf.open_results(tmp_path / "s.zarr").id.values.tolist()
    assert ids == [row["id"] for row in (*parts[0], *parts[2])]


def test_other_files_of_the_folder_are_not_read(following, growing, parts, tmp_path):
    growing.add(parts[0])
    folder = tmp_path / "corpus"
    (folder / "notes.jsonl").write_text('{"text": "note"}\n')
    (folder / ".part-000001.parquet").write_bytes(b"PAR1")
    (folder / "below").mkdir()
    (folder / "below" / "part-000000.parquet").write_bytes(b"PAR1")
    growing.state(complete=True)
    assert following().rows == 30


@pytest.mark.slow("three runs")
def test_a_complete_collection_is_run_once(following, growing, parts, steps):
    for part in parts:
        growing.add(part)
    growing.state(complete=True)
    waits = steps()
    assert following().rows == 150
    assert following() == following()
    assert not waits


def test_what_is_complete_between_two_looks_is_read_whole(following, growing, parts, monkeypatch):
    # The last part comes, and the state is written, after the parts were counted.
    growing.add(parts[0])
    counted = GrowingCorpus._parts

    def late(self):
        found = counted(self)
        if growing.parts == 1:
            growing.add(parts[1])
            growing.state(complete=True)
        return found

    monkeypatch.setattr(GrowingCorpus, "_parts", late)
    assert following().rows == 60


def test_waits_become_longer_until_something_is_new(following, growing, parts, steps):
    growing.add(parts[0])
    nothing = [lambda: None] * 12
    waits = steps(
        *nothing, lambda: growing.add(parts[1]), *nothing[:2], lambda: growing.state(complete=True)
    )
    following(poll_seconds=1)
    assert waits[:3] == waits[13:] == [1, 1.5, 2.25]
    assert waits[12] == follow_module.MOST_SECONDS
    assert sorted(waits[:13]) == waits[:13]


def test_what_is_waited_for_is_said_once(growing, parts, steps, inline, tmp_path):
    growing.add(parts[0])
    said = []
    steps(
        lambda: None,
        lambda: growing.state(complete=False, ended="limit", why="5 items"),
        lambda: None,
        lambda: growing.state(complete=False, ended=None),
        lambda: growing.state(complete=True, ended="complete"),
    )
    corpus = GrowingCorpus(growing.url, {})
    store = tmp_path / "s.zarr"
    followed(GRAPH, corpus, store, say=said.append, client=inline, progress=False)
    assert len(said) == 3
    assert said[0] == said[2]
    assert said[0].startswith(f"waiting for the collection of {growing.url}. To resume")
    assert "has stopped before it was complete (5 items); waiting until it is resumed" in said[1]


def test_columns_are_kept_as_in_open_corpus(following, growing, parts, tmp_path):
    growing.add(parts[0])
    growing.state(complete=True)
    following(corpus_options={"keep": ["lang"], "id": "id"})
    assert pf.open_results(tmp_path / "s.zarr").lang.values[0] == "en"


@pytest.mark.slow("two runs of three stages")
def test_a_reduction_is_that_of_all_texts(following, growing, parts, steps, tmp_path):
    growing.add(parts[0])
    steps(lambda: growing.add(parts[1]), lambda: growing.state(complete=True))
    counts = pf.text_counts()

    @pf.reduce_block
    def longest(results):
        return results.n_characters.max("text")

    @pf.map_block(fields=[pf.Field("relative", "float32")])
    def relative(n_characters, longest):
        return (n_characters / longest).astype("float32")

    following(counts + longest + relative)
    lengths = [len(row["text"]) for part in parts[:2] for row in part]
    assert int(pf.open_reduction(tmp_path / "s.zarr", "longest")) == max(lengths)
    assert pf.open_results(tmp_path / "s.zarr").relative.values.max() == 1


# --- stopping and resuming ------------------------------------------------------------------------


def test_interrupting_the_wait_keeps_what_is_done(following, growing, parts, steps, tmp_path):
    def interrupt():
        raise KeyboardInterrupt

    growing.add(parts[0])
    steps(interrupt)
    with pytest.raises(KeyboardInterrupt):
        following()
    assert not pf.running()
    growing.add(parts[1])
    growing.state(complete=True)
    assert following().rows == 60


def test_interrupting_a_run_cancels_it(following, growing, parts, monkeypatch):
    @pf.map_block(fields=[pf.Field("n", "int32")], version="1")
    def slow(text):
        time.sleep(0.02 * len(text))
        return np.zeros(len(text), "int32")

    growing.add(parts[0])
    real, runs = pf.Run.result, []

    def result(self, timeout=None):
        runs.append(self)
        if not self.cancelled:
            assert not self.wait(0.2)
            raise KeyboardInterrupt
        return real(self, timeout)

    monkeypatch.setattr(pf.Run, "result", result)
    with pytest.raises(KeyboardInterrupt):
        following(GRAPH + slow)
    assert runs[0].cancelled
    assert not pf.running()


def test_a_run_that_fails_ends_it(following, growing, parts):
    @pf.map_block(fields=[pf.Field("n", "int32")])
    def broken(text):
        raise ValueError("no")

    growing.add(parts[0])
    with pytest.raises(BlockError, match="broken"):
        following(GRAPH + broken)
    assert not pf.running()


@pytest.mark.slow("three runs")
def test_fresh_starts_over_once(following, growing, parts, steps, monkeypatch):
    growing.add(parts[0])
    growing.state(complete=True)
    following(shard_rows=64)
    growing.state(complete=False)
    steps(lambda: growing.add(parts[1]), lambda: growing.state(complete=True))
    submit, given = follow_module.submit, []

    def noted(*arguments, **options):
        given.append((options["fresh"], options["extend"]))
        return submit(*arguments, **options)

    monkeypatch.setattr(follow_module, "submit", noted)
    assert following(fresh=True).rows == 60
    assert given == [(True, False), (False, True)]


def test_a_store_begun_with_other_shards_is_extended(following, growing, parts):
    growing.add(parts[0])
    growing.state(complete=True)
    following(shard_rows=64)
    growing.add(parts[1])
    assert following().rows == 60
    with pytest.raises(ResultsMismatch, match="64 rows per shard"):
        following(shard_rows=128)


# --- errors ---------------------------------------------------------------------------------------


def test_a_folder_that_is_not_collected_is_refused_with_the_remedy(inline, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "un"}\n')
    with pytest.raises(UsageError, match=r"has no _collection/state\.json.*paninifs collect.*exte"):
        pf.follow(GRAPH, tmp_path, tmp_path / "s.zarr", client=inline)


def test_a_complete_collection_without_texts_is_an_error(following, growing):
    growing.state(complete=True)
    with pytest.raises(CorpusEmpty, match="is complete, and has no texts"):
        following()


@pytest.mark.parametrize("state", [b"", b"{", b"[]", b'{"complete": 1}', b"{}", b"\xff"])
def test_a_damaged_state_is_named(following, growing, state):
    growing.target.put(STATE_KEY, state)
    with pytest.raises(ResultsDamaged, match=r"_collection/state\.json of .* is damaged"):
        following()


@pytest.mark.parametrize("parts", [-1, 1.5, "1", None, True, 10**12])
def test_a_ledger_that_counts_nonsense_is_named(following, growing, parts):
    growing.parts = parts
    growing.commit(parts) if parts is not None else growing.target.put(
        "_collection/ledger/000000.parquet", b"PAR1 and nothing else"
    )
    with pytest.raises(ResultsDamaged, match=r"_collection/ledger/000000\.parquet of .* damaged"):
        following()


def test_a_ledger_without_a_state_is_named(following, growing):
    import pyarrow as pa

    growing.target.put("_collection/ledger/000000.parquet", parquet(pa.table({"a": [1]})))
    with pytest.raises(ResultsDamaged, match="KeyError"):
        following()


def test_a_part_that_is_counted_but_missing_is_an_error_in_the_end(
    following, growing, parts, monkeypatch
):
    monkeypatch.setattr(follow_module.time, "sleep", lambda seconds: None)
    growing.add(parts[0])
    growing.commit()
    growing.state(complete=True)
    with pytest.raises(CorpusChanged, match=r"counts 2 \(part-000000\.parquet to part-000001"):
        following()


def test_a_part_that_is_listed_late_is_waited_for(following, growing, parts, steps):
    growing.commit()
    growing.add(parts[1])  # the second is there already
    growing.parts = 0
    steps(lambda: growing.write(parts[0]), lambda: growing.state(complete=True))
    assert following().rows == 60


def test_a_part_that_changed_is_refused(following, growing, parts, steps):
    growing.add(parts[0])

    def replace_first():
        growing.parts = 0
        growing.write(parts[3])
        growing.parts = 1
        growing.add(parts[1])

    steps(replace_first)
    with pytest.raises(ResultsMismatch):
        following()


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "1", True])
def test_a_wait_that_is_none_is_refused(following, seconds):
    with pytest.raises(UsageError, match="poll_seconds must be a positive number"):
        following(poll_seconds=seconds)


def test_extend_is_implied(following):
    with pytest.raises(UsageError, match="leave out extend"):
        following(extend=True)


# --- the command ----------------------------------------------------------------------------------


def test_the_command_follows(growing, parts, tmp_path):
    growing.add(parts[0])
    timer = threading.Timer(1.0, lambda: (growing.add(parts[1]), growing.state(complete=True)))
    timer.start()
    arguments = ["run", growing.url, str(tmp_path / "s.zarr"), "--follow", "--cluster", "threads"]
    ran = CliRunner().invoke(app, [*arguments, "--json"])
    timer.join()
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout)["done"] == 60


@pytest.mark.parametrize(
    ("more", "why"),
    [(["--sample", "5"], "--sample exclude"), (["another"], "takes one CORPUS")],
)
def test_the_command_refuses_what_it_cannot_follow(tmp_path, more, why):
    arguments = ["run", "corpus", *([more[0]] if len(more) == 1 else []), str(tmp_path / "s.zarr")]
    options = more if len(more) == 2 else []
    ran = CliRunner().invoke(app, [*arguments, "--follow", *options])
    assert ran.exit_code == 2
    assert why in ran.output


def test_the_command_refuses_a_folder_that_is_not_collected(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "un"}\n')
    arguments = ["run", str(tmp_path), str(tmp_path / "s.zarr"), "--follow"]
    ran = CliRunner().invoke(app, arguments)
    assert ran.exit_code == 2
    assert "has no _collection/state.json" in ran.output
