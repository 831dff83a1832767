"""A graph is tried on the first texts of a corpus, before anything is written."""

from __future__ import annotations

import gzip
import re
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import paninifs as pf
from paninifs.engine.monitoring.events import Notice
from paninifs.engine.run.preparing import worker_trial
from paninifs.engine.run.stages import map_pass, shard_news
from paninifs.engine.worker.graph_trial import ROWS, FirstInputs, GraphTrial, TrialResult
from paninifs.engine.worker.values.inputs import Inputs
from paninifs.storage.corpus.front import first_texts
from paninifs.storage.errors import BlockError, GraphError, RunFailed, UnfitWorker, UsageError
from paninifs.storage.rows import ColumnSelection
from paninifs.storage.store.keys import DONE

X = [pf.Field("x", "int32")]


def block(code, name="mine", fields=X, **options):
    """Return a block of a function of strings."""
    return pf.map_block(fields=fields, name=name, version="1", **options)(
        lambda text: code(text.to_strings())
    )


def lengths(texts):
    return np.array([len(one) for one in texts], "int32")


@pytest.fixture
def submit(inline, write_jsonl, tmp_path):
    """Submit a graph over 100 rows, the first of them as given."""

    def submitted(graph, *first, rows=100, **options):
        texts = [*first, *(f"text {n}" for n in range(rows))][:rows]
        if not (tmp_path / "corpus.jsonl").exists():
            write_jsonl([{"text": text} for text in texts])
        corpus = pf.open_corpus(tmp_path / "corpus.jsonl")
        options = {"client": inline, "progress": False} | options
        return pf.submit(graph, corpus, tmp_path / "out.zarr", **options)

    return submitted


def nothing_written(folder: Path) -> bool:
    store = folder / "out.zarr"
    return not (store / "zarr.json").exists() and not (store / DONE).exists()


WRONG = {
    "a dtype": (lambda texts: np.zeros(len(texts)), r"returned float64 for 'x'"),
    "one value for all": (lambda texts: np.zeros(1, "int32"), r"returned shape \(1,\) for 'x'"),
    "a fixed length": (lambda texts: np.zeros(2, "int32"), r"returned shape \(2,\) for 'x'"),
    "a list": (lambda texts: [len(one) for one in texts], "returned list for 'x'"),
    "a name": (lambda texts: texts.no_such_method(), "'mine' raised AttributeError"),
    "a module": (lambda texts: __import__("no_such_module"), "'mine' raised ModuleNotFoundError"),
}


@pytest.mark.documented("trial")
@pytest.mark.parametrize(("code", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_block_ends_a_run_before_it_writes(submit, tmp_path, code, message):
    with pytest.raises(BlockError, match=rf"{message}.*corpus\.jsonl, row.*Nothing was written"):
        submit(pf.default_graph() + block(code)).result()
    assert nothing_written(tmp_path)


def deviation(texts):
    found = lengths(texts).astype("float32")
    return (found - found.mean()) / (found.std() + 1e-9)


def unseen(texts, seen=set()):  # noqa: B006 (it is what is tested)
    found = np.array([one not in seen for one in texts])
    seen.update(texts)
    return found


DEPENDENT = {
    "the largest": ("float32", lambda texts: (lengths(texts) / max(lengths(texts))).astype("f4")),
    "the mean": ("float32", deviation),
    "the place": ("int64", lambda texts: np.arange(len(texts))),
    "order": ("int32", lambda texts: np.sort(lengths(texts))),
    "earlier calls": ("bool", unseen),
    "chance": ("float64", lambda texts: np.random.default_rng().random(len(texts))),
    "a string": ("string", lambda texts: np.array([f"{len(texts)}"] * len(texts), object)),
}


@pytest.mark.documented("block-dependence")
@pytest.mark.parametrize(("dtype", "code"), DEPENDENT.values(), ids=DEPENDENT)
def test_values_that_depend_on_the_batch_end_a_run(submit, tmp_path, dtype, code):
    varied = ["x" * (1 + 37 * n % 23) for n in range(16)]
    with pytest.raises(BlockError, match=r"'mine' returns other values .* Nothing was written"):
        submit(pf.Graph(block(code, fields=[pf.Field("x", dtype)])), *varied).result()
    assert nothing_written(tmp_path)


@pytest.mark.parametrize("bad", [0, 1, 2, 15])
def test_a_bad_row_among_the_first_is_no_dependence(submit, bad):
    texts = [f"{'x' * n} {'bad' * (n == bad)}" for n in range(16)]

    def fails(texts):
        return np.array([len(one) // (not one.endswith("bad")) for one in texts], "int32")

    summary = submit(pf.Graph(block(fails)), *texts).result()
    assert (summary.done, summary.quarantined) == (99, 1)


@pytest.mark.parametrize("rounding", [1e-5, 0.02])
def test_rounding_is_no_dependence(submit, rounding):
    def rounded(texts):
        return (lengths(texts) * (1 + rounding / len(texts))).astype("float32")

    own = block(rounded, fields=[pf.Field("x", "float32")], exact=rounding < 1e-3)
    assert submit(pf.Graph(own)).result().done == 100


def test_a_block_that_needs_a_wrong_one_is_not_blamed(submit):
    wrong = block(lambda texts: np.zeros(len(texts)), "first")
    after = pf.map_block(fields=[pf.Field("y", "int32")], name="after")(lambda x: x)
    with pytest.raises(BlockError, match="block 'first'"):
        submit(wrong + after).result()


def picky(texts):
    if any("bad" in one for one in texts):
        raise ZeroDivisionError("division by zero")
    return lengths(texts)


@pytest.mark.parametrize("at", [0, 1, 5])
def test_a_bad_row_among_the_first_does_not_stop_the_trial(submit, tmp_path, at):
    # The run itself quarantines it.
    texts = ["good"] * at + ["bad"]
    assert submit(pf.Graph(block(picky)), *texts).result().quarantined == 1


def test_a_bad_row_ends_a_run_that_is_to_end_there(submit, tmp_path):
    with pytest.raises(BlockError, match=r"ZeroDivisionError.*Nothing was written"):
        submit(pf.Graph(block(picky)), "bad", on_error="raise").result()
    assert nothing_written(tmp_path)


def test_fresh_keeps_the_results_that_it_cannot_replace(submit, tmp_path):
    submit(pf.Graph(block(lengths))).result()
    with pytest.raises(BlockError, match="Nothing was written"):
        submit(pf.Graph(block(lambda texts: None)), fresh=True).result()
    assert pf.open_results(tmp_path / "out.zarr").x.values[0] == len("text 0")


calls = SimpleNamespace(rows=[])


def counted(texts):
    calls.rows.append(len(texts))  # sent by reference, so this is not a copy
    return lengths(texts)


def test_a_store_with_results_is_gone_on_with_without_a_trial(submit, tmp_path):
    graph = pf.Graph(block(counted))
    calls.rows.clear()
    submit(graph).result()
    assert calls.rows[:4] == [2, ROWS - 2, 1, 1]
    assert sum(calls.rows[4:]) == 100
    submit(graph).result()
    assert calls.rows[:4] == [2, ROWS - 2, 1, 1]
    assert sum(calls.rows[4:]) == 100


def test_a_slow_block_is_tried_on_few_texts(submit):
    def slow(texts):
        time.sleep(1.1 * (len(texts) <= 2))
        return counted(texts)

    calls.rows.clear()
    submit(pf.Graph(block(slow)), rows=20).result()
    assert calls.rows[0] == 2
    assert sum(calls.rows[1:]) == 20
    calls.rows.clear()
    submit(pf.Graph(block(counted, text_seconds=1.5)), rows=20, fresh=True).result()
    assert calls.rows[0] == 1


def test_what_stays_on_the_workers_is_noted(submit):
    counts = Counter()

    def count(texts):
        counts.update(texts)
        return lengths(texts)

    run = submit(pf.Graph(block(count)))
    run.result()
    notes = []
    run.events.subscribe(lambda event: notes.append(event) if isinstance(event, Notice) else None)
    assert any("block 'mine' changes 'counts'" in note.text for note in notes)


def test_a_graph_may_be_a_single_block(submit):
    assert submit(block(lengths)).result().done == 100


@pytest.mark.documented("unsendable")
def test_what_cannot_be_sent_is_refused_at_once(submit, tmp_path):
    lock = __import__("threading").Lock()
    with pytest.raises(GraphError, match="block 'mine' uses 'lock' of type lock"):
        submit(block(lambda texts: lengths(texts) + bool(lock)))
    assert nothing_written(tmp_path)


def test_names_that_clash_with_the_corpus_are_refused_at_once(inline, write_jsonl, tmp_path):
    corpus = pf.open_corpus(write_jsonl([{"text": "a", "lang": "fr"}]), keep=["lang"])
    mine = block(lengths, fields=[pf.Field("lang", "int32")])
    with pytest.raises(UsageError, match="two arrays of the results would be called 'lang'"):
        pf.submit(mine, corpus, tmp_path / "out.zarr", client=inline, progress=False)


@pytest.mark.parametrize("name", ["climbs", "reductions"])
def test_names_of_the_stores_folders_are_refused_at_once(inline, write_jsonl, tmp_path, name):
    corpus = pf.open_corpus(write_jsonl([{"text": "a"}]))
    mine = block(lengths, fields=[pf.Field(name, "int32")])
    with pytest.raises(UsageError, match=f"cannot be called '{name}', as a folder of the store"):
        pf.submit(mine, corpus, tmp_path / "out.zarr", client=inline, progress=False)


# --- workers that die or differ -------------------------------------------------------------------


@pytest.fixture
def answers(monkeypatch, inline):
    """Let trials give some answers; return a function that tries, and the texts that were tried."""

    def given(*results, raise_on_error=False, texts=("a", "b", "c", "d")):
        workers = {
            f"tcp://{n}": {"status": "running", "metrics": {"task_counts": {"executing": n}}}
            for n in range(4)
        }
        monkeypatch.setattr(inline, "scheduler_info", lambda **_: {"workers": workers})
        left, tried = list(results), []

        def result(one, sent, trial):
            tried.append((one._worker, trial.texts.inputs.text.to_strings()))
            return left.pop(0)

        monkeypatch.setattr(worker_trial._Trial, "result", result)
        packed = pf.PackedText.from_strings(texts)
        places = tuple(("a.txt", n) for n in range(len(texts)))
        first = FirstInputs(Inputs.of_text(packed), places)
        trial = GraphTrial.of(pf.default_graph(), "cpu", first, raise_on_error=raise_on_error)
        sent = SimpleNamespace(pickled=repr(results).encode())

        def attempt():
            return worker_trial.try_on_worker(
                inline, sent, trial, priority=0, stopped=lambda: None, lost=lambda *_: None
            )

        return attempt, tried

    return given


def death(where="a.txt, rows 0-1"):
    return worker_trial.Death("mine", where, "")


def test_a_block_that_ends_two_workers_is_named(answers):
    attempt, tried = answers(death(), death("a.txt, rows 2-3"))
    with pytest.raises(RunFailed, match=r"^block 'mine' ends .* rows 2-3\. Nothing was written"):
        attempt()
    assert tried == [("tcp://0", ["a", "b", "c", "d"]), ("tcp://1", ["c", "d"])]


def test_a_text_that_ends_a_worker_is_left_to_the_run(answers):
    attempt, tried = answers(death(), TrialResult(None))
    assert attempt() == TrialResult(None)
    assert len(tried) == 2
    attempt, tried = answers(death("a.txt, rows 2-3"))  # the first two worked
    assert attempt() == TrialResult()
    attempt, tried = answers(death("a.txt, row 0"), texts=["a"])
    assert attempt() == TrialResult()


def test_one_death_ends_a_run_that_is_to_end_at_the_first_error(answers):
    attempt, _ = answers(death(), raise_on_error=True)
    with pytest.raises(RunFailed, match="block 'mine' ends"):
        attempt()


def test_a_worker_that_went_away_or_is_unfit_is_not_the_block_s_fault(answers):
    attempt, tried = answers(None, TrialResult(UnfitWorker("no")), TrialResult(None, ("note",)))
    assert attempt().notes == ("note",)
    assert [worker for worker, _ in tried] == ["tcp://0", "tcp://1", "tcp://2"]
    attempt, tried = answers(None, None, None)
    assert attempt() == TrialResult()


def test_a_trial_that_passed_is_not_repeated(answers):
    attempt, tried = answers(TrialResult(None, ("once",)))
    assert attempt() == attempt() == TrialResult(None, ("once",))
    assert len(tried) == 1


# --- slow blocks ----------------------------------------------------------------------------------


@pytest.fixture
def advised(submit, monkeypatch):
    """Return a function that runs a slow block, where shards may take a second, for its advice."""
    for module in (map_pass, shard_news):
        monkeypatch.setattr(module, "MAX_SHARD_SECONDS", 1.0)

    def run(seconds, **options):
        def sleeps(texts):
            time.sleep(seconds * len(texts))
            return lengths(texts)

        notes = []
        run = submit(pf.Graph([block(sleeps, **options)]))
        run.events.subscribe(lambda event: isinstance(event, Notice) and notes.append(event.text))
        run.result()
        return notes

    return run


def test_a_slow_block_is_advised_before_its_first_shard(advised):
    (note,) = advised(0.02)
    assert re.search(
        r"'mine' takes about 0.02\d? s per text, so a shard of 100 texts takes 2", note
    )
    assert re.search(r"text_seconds=0.02\d? in its @pf.map_block, and fresh=True", note)


def test_a_quick_block_is_not_advised(advised):
    assert advised(0.0) == []


def test_a_declared_block_is_not_advised(advised):
    (note,) = advised(0.02, text_seconds=0.02)
    assert note.startswith("a shard took")


# --- the first texts ------------------------------------------------------------------------------


def first_of(corpus, rows):
    """The first texts of a corpus."""
    selection = ColumnSelection(corpus.text, (), corpus.cleaning)
    return first_texts(corpus.files, corpus.storage_options, selection, rows)


def written(path, data):
    path.write_bytes(data)
    return path


def test_first_texts_have_their_places(write_jsonl):
    rows = [{"text": "a"}, {"text": None}, {"no": 1}, {"text": "b"}]
    found = first_of(pf.open_corpus(write_jsonl(rows)), ROWS)
    assert found.text.to_strings() == ["a", "b"]
    assert [row for _, row in found.places] == [0, 3]
    tried = FirstInputs(Inputs.of_text(found.text), found.places)
    assert tried.where(0, 2).endswith("corpus.jsonl, rows 0-3")
    assert tried.where(1, 2).endswith("corpus.jsonl, row 3")


def test_first_texts_are_found_over_several_files(tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.txt").write_text(name)
    found = first_of(pf.open_corpus(tmp_path), 2)
    assert found.text.to_strings() == ["a", "b"]
    tried = FirstInputs(Inputs.of_text(found.text), found.places)
    assert tried.where(0, 2).endswith("b.txt, row 0")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", b"id,text\n1,one\n2,two\n"),
        ("a.tsv", b"id\ttext\n1\tone\n2\ttwo\n"),
        ("a.txt", b"one\ntwo\n"),
        ("a.jsonl.gz", gzip.compress(b'{"text": "one"}\n{"text": "two"}\n', mtime=0)),
    ],
)
def test_first_texts_of_every_format(tmp_path, name, data):
    found = first_of(pf.open_corpus(written(tmp_path / name, data)), ROWS)
    assert found.text.to_strings() == ["one", "two"]


def test_first_texts_differ(write_jsonl):
    rows = [{"text": text} for text in [*([""] * 50), "a", "a", "b"]]
    found = first_of(pf.open_corpus(write_jsonl(rows)), ROWS)
    assert found.text.to_strings() == ["", "a", "b"]
    assert [row for _, row in found.places] == [0, 50, 52]


def test_first_texts_are_cleaned(write_jsonl):
    corpus = pf.open_corpus(write_jsonl([{"text": "<b>a</b>"}]), clean=pf.Cleaning(markup=True))
    assert first_of(corpus, ROWS).text.to_strings() == ["a"]


@pytest.mark.parametrize("data", [b"", b"\xff\xfe\n", b'{"no": 1}\n', b"[]"])
def test_a_corpus_without_texts_has_no_first_ones(tmp_path, data):
    assert first_of(pf.open_corpus(written(tmp_path / "a.jsonl", data)), ROWS) is None


def test_a_long_first_text_is_passed_over(write_jsonl):
    rows = [{"text": "x" * (2 << 20)}, {"text": "short"}]
    assert first_of(pf.open_corpus(write_jsonl(rows)), ROWS) is None
