"""Slow blocks get calls of about a second, and a run's progress moves with each."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import paninifs as pf
from paninifs.engine.monitoring.events import (
    Finished,
    Planned,
    ShardDone,
    StageBegun,
    TextsComputed,
)
from paninifs.engine.monitoring.figures import Figures
from paninifs.engine.monitoring.progress import Progress
from paninifs.engine.worker import task
from paninifs.engine.worker.block_execution import Blocks
from paninifs.engine.worker.micro_batches.pace import (
    CALL_SECONDS,
    FIRST_TEXTS,
    GROWTH,
    LONG_SECONDS,
    Pace,
)
from paninifs.engine.worker.values.inputs import Inputs
from paninifs.storage.text import PackedText


def settle(pace, seconds_of, calls=40):
    """Make calls of a block that takes `seconds_of` texts; return the seconds of each."""
    taken = []
    for _ in range(calls):
        rows = min(pace.rows, 1 << 20)
        taken.append(seconds_of(rows))
        pace.measured(rows, 50 * rows, taken[-1])
    return taken


@given(st.floats(1e-7, 10), st.floats(0, 0.1))
def test_calls_of_a_steady_block_take_seconds(per_text, overhead):
    pace = Pace()
    taken = settle(pace, lambda rows: overhead + per_text * rows)
    most = max(GROWTH * CALL_SECONDS * 1.5, overhead + per_text * FIRST_TEXTS)
    assert max(taken) <= max(most, GROWTH * (overhead + per_text * FIRST_TEXTS))
    assert taken[-1] <= max(LONG_SECONDS, overhead + per_text)
    if overhead + per_text * (1 << 20) > CALL_SECONDS > overhead + per_text:
        assert taken[-1] > CALL_SECONDS / (2 * GROWTH)


@given(st.floats(1, 30))
def test_a_block_that_is_slow_per_call_gets_large_calls(overhead):
    pace = Pace()
    settle(pace, lambda rows: overhead + 1e-6 * rows)
    assert pace.rows >= 1 << 20


def test_long_texts_make_calls_shorter():
    pace = Pace()
    settle(pace, lambda rows: 1e-3 * rows)
    before = pace.rows
    for _ in range(20):
        pace.measured(pace.rows, 10_000 * pace.rows, 0.2 * pace.rows)
    assert pace.rows < before / 10


def test_only_blocks_of_the_users_own_are_paced():
    assert Blocks(pf.default_graph(), "cpu").size.rows > FIRST_TEXTS
    own = pf.map_block(fields=[pf.Field("x", "int32")], version="1")(lambda text: None)
    assert Blocks(pf.Graph([own]), "cpu").size.rows == FIRST_TEXTS


@pytest.mark.parametrize("seconds", [0.0, 0.01])
def test_calls_of_any_size_make_the_same_values(seconds):
    seen = []

    @pf.map_block(fields=[pf.Field("n_bytes", "int32")], version=f"{seconds}")
    def n_bytes(text):
        seen.append(len(text))
        time.sleep(seconds * len(text))
        return np.diff(text.offsets).astype("int32")

    texts = ["x" * (n % 7) for n in range(2000 if not seconds else 300)]
    parts = list(
        Blocks(pf.Graph([n_bytes]), "cpu").run(Inputs.of_text(PackedText.from_strings(texts)), str)
    )
    assert np.concatenate([part.arrays["n_bytes"] for part in parts]).tolist() == [
        len(one) for one in texts
    ]
    assert seen[0] == FIRST_TEXTS
    assert (max(seen) > 300) == (not seconds)


# --- progress -------------------------------------------------------------------------------------


def planned(rows=100, **figures):
    figures = {"rows_done": 0, "shards_done": 0} | figures
    return Planned(rows=rows, shards=4, shard_rows=25, partitions=1, **figures)


def done(shard, rows=25):
    return ShardDone(shard=shard, rows=rows, quarantined=0, text_bytes=rows)


def test_a_run_that_ends_with_a_reduction_counts_its_texts():
    progress = Progress()
    progress.listen(planned(rows=25))
    progress.listen(done(0))
    progress.listen(StageBegun(name="mean", number=2, stages=2, is_reduction=True))
    time.sleep(0.01)
    progress.listen(Finished(1.0))
    assert (progress.rows_by_run, progress.later) == (25, ("mean",))
    assert progress.elapsed > 0.01
    assert progress.texts_per_second == 25 / progress.elapsed


def test_the_time_of_a_run_is_that_of_all_its_stages():
    progress = Progress()
    progress.listen(planned(rows=25))
    time.sleep(0.02)
    progress.listen(StageBegun(name="more", number=2, stages=2, is_reduction=False))
    progress.listen(planned(rows=25))
    of_stage = progress.snapshot().elapsed
    progress.listen(Finished(1.0))
    assert progress.elapsed >= of_stage + 0.02


def test_texts_computed_count_until_their_shard_is_done():
    progress = Progress()
    progress.listen(planned())
    progress.listen(TextsComputed(shard=0, rows=5, text_bytes=50))
    progress.listen(TextsComputed(shard=0, rows=10, text_bytes=100))
    progress.listen(TextsComputed(shard=1, rows=3, text_bytes=30))
    now = progress.snapshot()
    assert (now.rows_done, now.rows_unwritten, now.rows_computed) == (0, 13, 13)
    assert min(now.texts_per_second, now.bytes_per_second, now.seconds_left) > 0
    assert "13 of 100 texts" in now.line()
    progress.listen(done(0))
    now = progress.snapshot()
    assert (now.rows_done, now.rows_unwritten) == (25, 3)
    words = dict(Figures.of(now).in_words())
    assert words["texts"] == "28 of 100 (28 %), 3 unwritten"
    progress.listen(Finished(1.0))
    assert progress.rows_unwritten == 0


def test_a_slow_shard_moves_before_it_is_done(inline, write_jsonl, tmp_path, monkeypatch):
    monkeypatch.setattr(task, "REPORT_SECONDS", 0.0)

    @pf.map_block(fields=[pf.Field("n", "int32")], version="1")
    def slow(text):
        time.sleep(0.005 * len(text))
        return np.zeros(len(text), "int32")

    corpus = pf.open_corpus(write_jsonl([{"text": f"{n}"} for n in range(100)]))
    options = {"client": inline, "progress": False}
    run = pf.submit(pf.Graph([slow]), corpus, tmp_path / "out.zarr", **options)
    seen = []
    run.events.subscribe(seen.append)
    run.result()
    moves = [one.rows for one in seen if isinstance(one, TextsComputed)]
    assert moves == sorted(moves)
    assert moves[0] < moves[-1] == 100
    assert not any(isinstance(one, TextsComputed) for one in seen[seen.index(finished(seen)) :])
    late = []
    run.events.subscribe(late.append)
    assert not any(isinstance(one, TextsComputed) for one in late)
    assert run.status().rows_unwritten == 0


def finished(events):
    return next(one for one in events if isinstance(one, ShardDone))
