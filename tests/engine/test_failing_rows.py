"""Texts that a block of the user's own fails for: quarantined one by one, up to a number."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import paninifs as pf
from paninifs.engine.monitoring.events import ShardDone
from paninifs.engine.results.overview import status_of
from paninifs.engine.run.failures.failing_shards import FailingShards
from paninifs.engine.worker import block_execution
from paninifs.engine.worker.block_execution import Blocks
from paninifs.engine.worker.failing_rows import FailureLimit
from paninifs.engine.worker.micro_batches.micro_batch import MicroBatch
from paninifs.engine.worker.micro_batches.pace import FIRST_TEXTS
from paninifs.engine.worker.task import sendable
from paninifs.engine.worker.user_code import (
    NAMELESS,
    abridged,
    frames_of,
    in_words,
    sources_of,
)
from paninifs.engine.worker.values.inputs import Inputs
from paninifs.graphs.kernels import load
from paninifs.storage.errors import BlockError, UsageError
from paninifs.storage.store.quarantine import QuarantinedRows, from_parquet, join, to_parquet

SHARE = [pf.Field("share", "float32")]


def share_of(text):
    return 1 / text.count("a")


LINE = share_of.__code__.co_firstlineno + 1
"""The line that raises for a text without that letter."""


@pf.map_block(fields=SHARE)
def share(text):
    return np.array([share_of(one) for one in text.to_strings()], "float32")


@pf.map_block(fields=[pf.Field("n_bytes", "int32")])
def n_bytes(text):
    return (text.offsets[1:] - text.offsets[:-1]).astype("int32")


@pytest.fixture
def submit(inline, tmp_path):
    """Submit texts to the test's own store; return the run."""

    def begin(texts, graph, store="out.zarr", **options):
        path = tmp_path / "corpus.parquet"
        if not path.exists():
            ids = [f"id {row}" for row in range(len(texts))]
            pq.write_table(pa.table({"id": ids, "text": texts}), path)
        options = {"client": inline, "progress": False, **options}
        return pf.submit(graph, pf.open_corpus(path), tmp_path / store, **options)

    return begin


@pytest.fixture
def store(tmp_path):
    return tmp_path / "out.zarr"


def texts(rows=100, bad=(17,), word="an atlas"):
    return ["lemon" if row in bad else f"{word} {row}" for row in range(rows)]


def run(texts, *blocks, failed=None, backend="cpu", micro_batch=None):
    """Run blocks over texts; return the arrays, and the texts that failed with their failures."""
    found = {}
    blocks = Blocks(pf.Graph(blocks), backend, micro_batch)
    packed = pf.PackedText.from_strings(texts)
    parts = list(
        blocks.run(Inputs.of_text(packed), lambda a, b: f"{a}-{b}", failed or found.__setitem__),
    )
    names = parts[0].arrays
    return {name: np.concatenate([part.arrays[name] for part in parts]) for name in names}, found


# --- the outcome ----------------------------------------------------------------------------------


@pytest.mark.documented("block-row")
def test_a_text_that_a_block_fails_for_is_quarantined(submit, store):
    summary = submit(texts(), pf.default_graph() + share + n_bytes).result()
    assert (summary.rows, summary.done, summary.quarantined) == (100, 99, 1)
    (entry,) = pd.read_parquet(store / "quarantine.parquet").to_dict("records")
    assert entry["reason"] == (
        "block 'share' raised ZeroDivisionError: division by zero "
        f'(line {LINE}, in share_of: return 1 / text.count("a"))'
    )
    assert (entry["row"], entry["block"], entry["id"]) == (17, "share", "id 17")
    assert entry["excerpt"] == b"lemon"
    dataset = pf.open_results(store)
    assert np.flatnonzero(~dataset.valid.values).tolist() == [17]
    for name in ("dhatu", "entropy", "share", "n_bytes"):
        assert not dataset[name].values[17].any()  # of blocks before and after it too
    assert dataset.id.values[17] == "id 17"


def test_other_rows_are_as_without_the_bad_one(submit, store, tmp_path):
    submit(texts(), pf.default_graph() + share).result()
    (tmp_path / "corpus.parquet").unlink()
    submit(texts(bad=()), pf.default_graph() + share, "good.zarr").result()
    found, wanted = pf.open_results(store), pf.open_results(tmp_path / "good.zarr")
    others = np.arange(100) != 17
    for name in ("digest", "dhatu", "prime_base", "entropy", "share"):
        assert found[name].values[others].tobytes() == wanted[name].values[others].tobytes()


def test_such_a_store_is_verified_exported_and_resumed(submit, store):
    graph = pf.default_graph() + share
    submit(texts(rows=300, bad=(17, 200)), graph, shard_rows=64).result()
    found = pf.verify(store)
    assert found.passed, found.problems
    assert pf.verify(store, sample=280).passed
    table = pf.export(store)
    assert np.flatnonzero(~table["valid"]).tolist() == [17, 200]
    assert "ZeroDivisionError" in table["reason"][17]
    again = submit(None, graph, shard_rows=64)
    assert again.result().quarantined == 2
    assert again.status().rows_done == again.status().rows_before == 300  # nothing is tried again


def test_verify_notices_a_row_that_is_invalid_without_a_reason(submit, store):
    import zarr

    submit(texts(), pf.default_graph() + share).result()
    zarr.open_group(store)["valid"][20] = False
    assert [one for one in pf.verify(store).problems if one.startswith("valid, row 20:")]


@pytest.mark.documented("block")
def test_too_many_bad_texts_end_the_run_with_the_blocks_error(submit):
    bad = range(5, 90, 7)
    with pytest.raises(BlockError) as caught:
        submit(texts(bad=bad), pf.default_graph() + share).result()
    first, *rest = str(caught.value).split("\n")
    assert first.startswith("block 'share' raised ZeroDivisionError: division by zero (at ")
    assert "corpus.parquet, row 5, id 'id 5', text 'lemon')" in first
    assert "11 of 100 texts of a shard failed, and at most 10 are quarantined" in first
    assert rest[0].startswith("  corpus.parquet, row 12, id id 12: ZeroDivisionError: ")
    assert rest[-2].endswith(f'test_failing_rows.py", line {LINE}, in share_of')
    assert rest[-1] == '    return 1 / text.count("a")'


@pytest.mark.parametrize(
    ("rows", "most", "ends"), [(2048, 20, False), (2048, 21, True), (50, 10, False), (50, 11, True)]
)
def test_by_default_one_row_in_a_hundred_may_fail(submit, rows, most, ends):
    run = submit(
        texts(rows, bad=range(most)),
        pf.Graph((share,)),
        shard_rows=min(rows, 2048) if rows > 64 else 64,
    )
    assert isinstance(run.exception(), BlockError) == ends


def test_the_number_can_be_chosen(submit, tmp_path):
    graph = pf.Graph((share,))
    with pytest.raises(BlockError, match="division by zero"):
        submit(texts(bad=(3, 4)), graph, max_failed_rows=1).result()
    assert submit(None, graph, max_failed_rows=2).result().quarantined == 2
    for wrong in (-1, 0.5, "all"):
        with pytest.raises(UsageError, match="max_failed_rows must be"):
            submit(None, graph, max_failed_rows=wrong)
    with pytest.raises(UsageError, match="omit max_failed_rows"):
        submit(None, graph, max_failed_rows=1, on_error="raise")


@pytest.mark.documented("block-raise")
def test_with_raise_the_first_bad_text_is_named(submit):
    with pytest.raises(BlockError) as caught:
        submit(texts(bad=(40, 41, 90)), pf.Graph((share,)), on_error="raise").result()
    assert "row 40, id 'id 40', text 'lemon')" in str(caught.value)
    assert "quarantined" not in str(caught.value)


def test_a_block_that_fails_for_every_text_ends_the_run(submit):
    with pytest.raises(BlockError, match="ZeroDivisionError: division by zero"):
        submit(["x", "y", "z"], pf.Graph((share,))).result()


def test_blocks_do_not_see_unusable_rows(submit, store):
    summary = submit(["an", None, "a", None, "lemon"], pf.default_graph() + share).result()
    assert (summary.done, summary.quarantined) == (2, 3)
    assert pf.open_results(store).share.values.tolist() == [1, 0, 1, 0, 0]
    assert pf.verify(store).passed


def test_a_quarantine_of_an_older_version_is_joined():
    entry = QuarantinedRows(row=1, rows=1, file="a", file_row=1, reason="null text")
    failed = QuarantinedRows(
        row=2, rows=1, file="a", file_row=2, reason="no", block="share", id="x"
    )
    old = pq.read_table(pa.BufferReader(to_parquet([entry]))).drop_columns(["block", "id"])
    sink = pa.BufferOutputStream()
    pq.write_table(old, sink)
    parts = [sink.getvalue().to_pybytes(), to_parquet([failed])]
    assert from_parquet(parts[0]) == [entry]
    assert from_parquet(join(parts)) == [entry, failed]


def test_extended_and_mirrored_stores_keep_such_rows(inline, tmp_path):
    def write(name, found):
        table = pa.table({"id": [f"{name} {row}" for row in range(len(found))], "text": found})
        (tmp_path / "corpus").mkdir(exist_ok=True)
        pq.write_table(table, tmp_path / "corpus" / name)

    def run(**options):
        corpus = pf.open_corpus(tmp_path / "corpus")
        options |= {"client": inline, "progress": False, "mirror": tmp_path / "mirror.zarr"}
        return pf.submit(pf.default_graph() + share, corpus, tmp_path / "out.zarr", **options)

    write("a.parquet", texts(bad=(17, 90)))
    assert run(shard_rows=64).result().quarantined == 2
    write("b.parquet", texts(bad=(3,)))
    assert run(extend=True).result().quarantined == 3
    for name in ("out.zarr", "mirror.zarr"):
        assert pf.verify(tmp_path / name).passed
        found = pd.read_parquet(tmp_path / name / "quarantine.parquet")
        assert found["row"].tolist() == [17, 90, 103]
        assert found["id"].tolist() == ["a.parquet 17", "a.parquet 90", "b.parquet 3"]


# --- which error is a text's ----------------------------------------------------------------------


def raising(error):
    @pf.map_block(fields=[pf.Field("x", "int8")], version="1")
    def raises(text):
        if b"lemon" in text.to_bytes():
            raise error
        return np.zeros(len(text), "int8")

    return raises


@pytest.mark.parametrize(
    "error",
    [
        ValueError(),
        KeyError("a"),
        SystemExit(2),
        StopIteration(),
        RecursionError(),
        AssertionError(),
        FileNotFoundError("x"),
        OSError(errno.ENAMETOOLONG, "File name too long"),
        Warning("w"),
    ],
    ids=repr,
)
def test_an_exception_is_the_texts(error):
    arrays, found = run(texts(), raising(error))
    assert list(found) == [17]
    assert len(arrays["x"]) == 100


@pytest.mark.documented("block-os")
@pytest.mark.parametrize(
    "error", [ConnectionError("reset"), TimeoutError(), OSError(errno.ENOSPC, "full")], ids=repr
)
def test_a_failing_network_or_disk_ends_the_run(error):
    with pytest.raises(
        BlockError, match=rf"'raises' raised {type(error).__name__}.*\(at 16-80\); .*may pass"
    ):
        run(texts(), raising(error))


def test_too_little_memory_is_no_fault_of_a_text():
    with pytest.raises(BlockError, match="a text of 5 bytes does not fit in memory"):
        run(texts(), raising(MemoryError()))


def test_ctrl_c_is_no_fault_of_a_text():
    with pytest.raises(KeyboardInterrupt):
        run(texts(), raising(KeyboardInterrupt()))


def test_a_worker_that_closes_quarantines_nothing(submit, inline, monkeypatch):
    from distributed import Status

    monkeypatch.setattr(inline._worker, "status", Status.closing, raising=False)
    with pytest.raises(pf.errors.RunFailed, match="its worker was closing"):
        submit(texts(), pf.Graph((share,))).result()


@pytest.mark.documented("block-declaration")
def test_a_wrong_declaration_ends_the_run_after_three_texts():
    sizes = []

    @pf.map_block(fields=[pf.Field("x", "int8")], version="1")
    def wrong(text):
        sizes.append(len(text))
        return np.zeros(len(text), "int64")

    with pytest.raises(BlockError, match=r"returned int64 for 'x'.*\(at 0-16\)"):
        run(texts(4096), wrong)
    assert sizes == [FIRST_TEXTS, 1, 1, 1]


def returning(make):
    """A block that makes its array from a list of strings."""

    @pf.map_block(fields=[pf.Field("x", "float64")], version="1")
    def made(text):
        return make(text.to_strings())

    return made


@pytest.mark.documented("block-value")
@pytest.mark.parametrize(
    "make",
    [
        lambda found: np.array([len(one) / 2 for one in found if one != "lemon"]),
        lambda found: np.array([None if one == "lemon" else 0.5 for one in found]),
        lambda found: np.array(["?" if one == "lemon" else 0.5 for one in found]),
        lambda found: np.array([one for text in found for one in [0.5] * (1 + (text == "lemon"))]),
    ],
    ids=["one fewer", "None", "a string", "one more"],
)
def test_a_wrong_value_for_one_text_is_the_texts(make):
    arrays, found = run(texts(), returning(make))
    assert list(found) == [17]
    assert found[17].sentence.startswith("block 'made' (fields: x) returned")
    assert np.count_nonzero(arrays["x"]) == 99


def test_a_block_that_sums_up_its_batch_ends_the_run():
    with pytest.raises(BlockError, match=r"returned shape \(1,\) for 'x'"):
        run(texts(), returning(lambda found: np.array([float(len(found))])))


def test_a_failure_of_the_batch_alone_costs_no_text():
    def limited(found):
        if len(found) > 30:
            raise ValueError("at most 30 texts per call")
        return np.full(len(found), 0.5)

    arrays, found = run(texts(), returning(limited))
    assert not found
    assert np.count_nonzero(arrays["x"]) == 100


# --- its cost -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [0, 1, 1365, 2047, 2048, 2730, 4095])
def test_a_search_costs_at_most_twice_a_loop(bad):
    work = []

    def loop(found):
        return np.array([work.append(one) or share_of(one) for one in found])

    _, found = run(texts(4096, bad=(bad,)), returning(loop))
    assert list(found) == [bad]
    assert len(work) <= 2 * 4096 + 12


def test_earlier_blocks_are_not_run_again_and_later_ones_miss_the_text():
    seen = {"before": [], "after": []}

    def watching(name):
        @pf.map_block(fields=[pf.Field(name, "int8")], name=name, version="1")
        def watch(text):
            seen[name] += text.to_bytes()
            return np.zeros(len(text), "int8")

        return watch

    run(texts(), watching("before"), share, watching("after"))
    assert len(seen["before"]) == 100
    assert len(seen["after"]) == 99
    assert b"lemon" not in seen["after"]


def test_a_search_stops_at_the_first_row_too_many():
    work = []

    def loop(found):
        return np.array([work.append(one) or share_of(one) for one in found])

    class Enough(BlockError):
        pass

    def failed(row, failure):
        raise Enough(row)

    with pytest.raises(Enough):
        run(texts(4096, bad=range(4096)), returning(loop), failed=failed)
    assert len(work) <= 13


def test_the_size_of_micro_batches_does_not_learn_from_a_search(monkeypatch):
    told = []
    for name in ("fitted", "measured"):
        monkeypatch.setattr(
            block_execution.Adaptive, name, lambda *given, name=name: told.append(name)
        )
    run(texts(FIRST_TEXTS, bad=(7,)), share)
    assert not told
    run(texts(FIRST_TEXTS, bad=()), share)
    assert told == ["fitted"]


def test_a_text_is_found_on_a_device_too(cuda_on_host):
    @pf.map_block(fields=[pf.Field("least", "float32")], version="1")
    def least(text, dhatu):
        if b"lemon" in text.to_bytes():
            raise ValueError("a lemon")
        return dhatu.min(axis=1) if hasattr(dhatu, "min") else np.min(dhatu, axis=1)

    load("cuda").prepare()
    graph = (*pf.default_graph().blocks, least)
    found, failed = run(texts(), *graph, backend="cuda", micro_batch=MicroBatch(rows=30))
    assert list(failed) == [17]
    wanted, _ = run(texts(), *graph)
    for name, array in wanted.items():
        assert found[name].tobytes() == array.tobytes()


# --- its words ------------------------------------------------------------------------------------


def caught(function, *given):
    try:
        function(*given)
    except Exception as error:  # noqa: BLE001 (whatever it raises)
        return error
    raise AssertionError


def test_the_frames_of_an_error_are_the_users(tmp_path):
    import json

    (frame, *others) = frames_of(caught(lambda: json.loads("?")), {})[::-1]
    assert frame.source.endswith('json.loads("?")), {})[::-1]')
    assert {one.function for one in [frame, *others]} <= {"caught", "<lambda>"}


def test_source_is_captured_for_workers_that_lack_the_file(monkeypatch):
    sources = sources_of(pf.Graph((share,)))
    assert {line for one in sources.values() for line in one.lines} >= {LINE - 1, LINE}
    monkeypatch.setattr("linecache.getline", lambda *_: "")
    frames = frames_of(caught(share, pf.PackedText.from_strings(["b"])), sources)
    assert frames[-1].source == 'return 1 / text.count("a")'


def test_source_is_found_for_code_that_lost_its_file():
    import cloudpickle

    sources = sources_of(pf.Graph((share,)))
    sent = cloudpickle.loads(cloudpickle.dumps(share_of))
    nameless = sent.__code__.replace(co_filename=NAMELESS)  # as cloudpickle 3.1.3 does
    frames = frames_of(caught(type(sent)(nameless, {}), "b"), sources)
    assert frames[-1].source == 'return 1 / text.count("a")'
    assert frames[-1].file.endswith("test_failing_rows.py")


def test_a_long_message_is_abridged():
    words = in_words(ValueError([f"token {number}" for number in range(200_000)]))
    assert len(words) < 400
    assert words.startswith("ValueError: ['token 0', 'token 1',")
    assert words.endswith("characters)")
    assert abridged("two\nlines") == "two lines"


def test_a_long_value_is_abridged_in_the_error():
    @pf.map_block(fields=[pf.Field("x", "string")], version="1")
    def tokens(text):
        made = np.empty(len(text), object)
        made[:] = [[f"token {number}" for number in range(100_000)]] * len(text)
        return made

    with pytest.raises(BlockError, match="block 'tokens'") as caught:
        run(texts(20), tokens)
    assert len(str(caught.value)) < 500


def test_a_message_that_cannot_be_made_does_no_harm():
    class Odd(Exception):
        def __str__(self):
            raise RuntimeError

    assert in_words(Odd()) == "Odd"
    assert in_words(ValueError()) == "ValueError"


def test_a_block_error_travels_without_its_cause():
    error = BlockError("no")
    error.__cause__ = ValueError("x" * 1_000_000)
    sent = sendable(error)
    assert (str(sent), sent.__cause__, sent.__traceback__) == ("no", None, None)


def test_a_recursion_shows_few_frames():
    def deeper():
        return across()

    def across():
        return deeper()

    error = caught(deeper)
    assert isinstance(error, RecursionError)
    assert len(frames_of(error, {})) == 6


# --- shards of few texts --------------------------------------------------------------------------


@pytest.fixture
def service(tmp_path):
    """A block that asks a service for each text, and what tells the service whom to refuse."""
    refused = str(tmp_path / "refused")

    @pf.map_block(fields=[pf.Field("answer", "int32")], version="1", text_seconds=60)
    def ask(text):
        if any(one in Path(refused).read_text() for one in text.to_strings()):
            raise RuntimeError("429 quota exceeded")
        return np.ones(len(text), "int32")

    def refuse(texts):
        Path(refused).write_text("\n".join(texts))

    refuse([])
    return ask, refuse


@pytest.mark.documented("block")
@pytest.mark.parametrize(("shard_rows", "mirrored"), [(1, False), (4, True)])
def test_a_service_that_refuses_ends_the_run(
    submit, store, service, tmp_path, shard_rows, mirrored
):
    ask, refuse = service
    every = [f"text {row:03}" for row in range(40)]
    options = {"mirror": tmp_path / "mirror.zarr"} if mirrored else {}
    refuse(every[20:])
    with pytest.raises(BlockError, match=r"429 quota .* of the last 3. texts failed, and at most"):
        submit(every, ask, shard_rows=shard_rows, **options).result()
    status = status_of(store)
    assert (status.rows_done, status.quarantined) == (20, 0)
    refuse([])
    summary = submit(every, ask, shard_rows=shard_rows, **options).result()
    assert (summary.done, summary.quarantined) == (40, 0)


def test_few_failures_over_many_small_shards_are_quarantined(submit):
    summary = submit(texts(80, bad=range(0, 80, 8)), share, shard_rows=4).result()
    assert (summary.done, summary.quarantined) == (70, 10)


def test_the_count_begins_anew_after_as_many_rows_as_a_shard_has():
    shards = FailingShards(FailureLimit())
    done = {"rows": 512, "quarantined": 5, "text_bytes": 9, "failed": "row 7: ValueError"}
    for number in range(80):  # 40 in 4,096 rows, which is just less than one in a hundred
        assert shards.add(ShardDone(shard=number, failed_rows=5, **done)) is None
    assert shards.add(ShardDone(shard=80, failed_rows=11, **done)) is not None


def test_repair_takes_failed_texts_back_on_request(submit, store, service):
    ask, refuse = service
    refuse(["lemon"])
    assert submit(texts(20, bad=(7,)), ask, shard_rows=4).result().quarantined == 1
    assert pf.repair(store) == []
    assert pf.repair(store, failed=True) == [1]
    refuse([])
    summary = submit(texts(20, bad=(7,)), ask, shard_rows=4).result()
    assert (summary.done, summary.quarantined) == (20, 0)


def test_a_missing_module_is_not_the_texts_fault():
    with pytest.raises(BlockError, match="raised ImportError: no such thing"):
        run(texts(), raising(ImportError("no such thing")))
