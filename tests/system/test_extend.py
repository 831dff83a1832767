"""Growing corpora: finished rows stay, and new rows follow them in the same store."""

import gzip
import json
import os
import shutil
import signal
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from faults import Attempt
from paths import GLOSSES
from typer.testing import CliRunner

import paninifs as pf
from paninifs.engine.cli import app
from paninifs.engine.monitoring.events import Indexed
from paninifs.storage.errors import ResultsIncomplete, ResultsMismatch, UsageError
from paninifs.storage.store.keys import DONE
from paninifs.storage.store.manifest import read_manifest
from paninifs.storage.store.shards import read_marker
from paninifs.storage.targets.local import LocalTarget

S = 64


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def submit(inline):
    def run(corpus, results, **options):
        options = {"shard_rows": S, "client": inline, "progress": False, **options}
        return pf.submit(pf.default_graph(), corpus, results, **options).result()

    return run


def arrays_of(store):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResultsIncomplete)
        opened = pf.open_results(store)
    return {name: np.asarray(opened[name]) for name in opened.variables}


def assert_equal_stores(one, other):
    first, second = arrays_of(one), arrays_of(other)
    assert first.keys() == second.keys()
    for name, values in second.items():
        np.testing.assert_array_equal(first[name], values, err_msg=name)


# Their order by name differs from the order in which they are added.
BATCHES = [["m.jsonl"], ["c.jsonl.gz", "z.parquet"], ["a.csv"], ["0.txt"], ["deeper/b.jsonl"]]
ROWS = {"m.jsonl": 100, "c.jsonl.gz": 28, "z.parquet": 150, "a.csv": 7, "0.txt": 64}
ROWS["deeper/b.jsonl"] = 200


def write(folder, name, rows):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=40)
    elif name.endswith(".csv"):
        path.write_text("id,text\n" + "".join(f'{r["id"]},"' + r["text"] + '"\n' for r in rows))
    elif name.endswith(".txt"):
        path.write_text("".join(row["text"] + "\n" for row in rows))
    elif name.endswith(".gz"):
        path.write_bytes(gzip.compress(lines(rows).encode()))
    else:
        # A bad row in each, so that the quarantine is extended as well.
        path.write_text(lines([*rows[:-1], {"id": "bad", "text": None}]))
    return path


@pytest.mark.slow("eleven runs")
@pytest.mark.parametrize("through", ["a folder", "a list"])
def test_five_extensions_equal_one_run(submit, glosses, tmp_path, through):
    store, folder = tmp_path / "grown.zarr", tmp_path / "corpus"
    folder.mkdir()
    rows, files, at = [r for r in glosses if '"' not in r["text"]], [], 0
    for batch in BATCHES:
        for name in batch:
            files.append(write(folder, name, rows[at : at + ROWS[name]]))
            at += ROWS[name]
        given = folder if through == "a folder" else files
        summary = submit(pf.open_corpus(given), store, extend=True)
        assert summary.rows == at
        assert submit(pf.open_corpus(given), store) == summary  # and an ordinary rerun finds it
    assert summary.quarantined == 2
    submit(pf.open_corpus(files), tmp_path / "at-once.zarr")
    assert_equal_stores(store, tmp_path / "at-once.zarr")
    assert pf.verify(store).passed
    keys = LocalTarget(store).sizes()
    assert len([key for key in keys if key.startswith("_run/index-")]) == 1
    assert {k for k in keys if "/c/" in k} == {
        k for k in LocalTarget(tmp_path / "at-once.zarr").sizes() if "/c/" in k
    }


def test_finished_shards_are_not_computed_again(submit, glosses, tmp_path, write_jsonl):
    store = tmp_path / "out.zarr"
    first = write_jsonl(glosses[: 3 * S + 10], "1.jsonl")
    submit(pf.open_corpus(first), store)
    before = {p: p.stat().st_mtime_ns for p in store.rglob("c/*") if p.is_file()}
    written = {str(path.relative_to(store)) for path in before}
    second = write_jsonl(glosses[500 : 500 + 2 * S], "2.jsonl")
    submit(pf.open_corpus([first, second]), store, extend=True)
    kept = [p for p, time in before.items() if p.stat().st_mtime_ns == time]
    assert {str(p.relative_to(store)) for p in kept} == {k for k in written if "/c/3" not in k}
    assert kept


def test_a_full_last_shard_is_left_alone(submit, glosses, tmp_path, write_jsonl):
    store = tmp_path / "out.zarr"
    first = write_jsonl(glosses[: 2 * S], "1.jsonl")
    submit(pf.open_corpus(first), store)
    marker = (store / DONE / "00000001.json").read_bytes()
    second = write_jsonl(glosses[500:510], "2.jsonl")
    submit(pf.open_corpus([first, second]), store, extend=True)
    assert (store / DONE / "00000001.json").read_bytes() == marker
    assert arrays_of(store)["valid"].sum() == 2 * S + 10


def test_extending_by_nothing_is_a_resume(submit, glosses, tmp_path, write_jsonl):
    store = tmp_path / "out.zarr"
    corpus = pf.open_corpus(write_jsonl(glosses[:100]))
    summary = submit(corpus, store, extend=True)  # nor is it an error where nothing is there yet
    assert submit(corpus, store, extend=True) == summary
    assert read_manifest(LocalTarget(store)).stages == ()


# --- refused --------------------------------------------------------------------------------------


@pytest.fixture
def begun(submit, glosses, tmp_path, write_jsonl):
    store = tmp_path / "out.zarr"
    first = write_jsonl(glosses[:100], "corpus-1.jsonl")
    submit(pf.open_corpus(first), store)
    return store, first, write_jsonl(glosses[100:200], "corpus-2.jsonl")


def test_new_files_are_appended_only_on_request(submit, begun):
    store, *files = begun
    before = arrays_of(store)
    with pytest.raises(ResultsMismatch, match=r"begun without corpus-2\.jsonl; --extend"):
        submit(pf.open_corpus(files), store)
    assert arrays_of(store).keys() == before.keys()
    assert submit(pf.open_corpus(files[0]), store).rows == 100


@pytest.mark.parametrize("what", ["changed", "gone"])
def test_a_changed_old_file_is_refused_by_name(submit, begun, what):
    store, first, second = begun
    if what == "gone":
        first.rename(first.with_suffix(".away"))
        files = [second]
    else:
        files = [first, second]
        first.write_text(first.read_text().replace("a", "b", 1))
        os.utime(first, (1, 1))
    before = {key: size for key, size in LocalTarget(store).sizes().items() if "lease" not in key}
    with pytest.raises(ResultsMismatch, match=r"corpus-1\.jsonl (has changed|is gone)"):
        submit(pf.open_corpus(files), store, extend=True)
    sizes = LocalTarget(store).sizes()
    assert {key: size for key, size in sizes.items() if "lease" not in key} == before


def test_another_graph_or_column_is_refused(submit, inline, begun):
    store, *files = begun
    with pytest.raises(ResultsMismatch, match="graph"):
        pf.submit(pf.default_graph(primes=(2, 3, 5)), pf.open_corpus(files), store, client=inline,
                  extend=True, progress=False)  # fmt: skip
    with pytest.raises(ResultsMismatch, match="kept columns"):
        submit(pf.open_corpus(files, keep=["lang"]), store, extend=True)
    with pytest.raises(ResultsMismatch, match="64 rows per shard, not 128"):
        submit(pf.open_corpus(files), store, extend=True, shard_rows=128)
    with pytest.raises(UsageError, match="choose one of the two"):
        submit(pf.open_corpus(files), store, extend=True, fresh=True)


def test_an_extension_keeps_the_old_order(submit, begun):
    store, first, second = begun
    zeroth = first.with_name("corpus-0.jsonl")
    shutil.copy(second, zeroth)
    submit(pf.open_corpus([first, zeroth]), store, extend=True)
    rows = arrays_of(store)["id"]
    assert submit(pf.open_corpus([zeroth, first]), store).rows == 200  # sorted, as a folder would
    np.testing.assert_array_equal(arrays_of(store)["id"], rows)
    with pytest.raises(ResultsMismatch, match="corpus-1"):
        submit(pf.open_corpus([zeroth]), store)


def test_files_added_together_may_not_swap(submit, begun):
    store, first, second = begun
    third = first.with_name("corpus-3.jsonl")
    shutil.copy(second, third)
    submit(pf.open_corpus([first, third, second]), store, extend=True)
    with pytest.raises(ResultsMismatch, match="in another order"):
        submit(pf.open_corpus([first, second, third]), store)


# --- columns --------------------------------------------------------------------------------------


def test_columns_keep_their_types(submit, tmp_path):
    store, folder = tmp_path / "out.zarr", tmp_path / "corpus"
    folder.mkdir()

    def add(name, **columns):
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
        return submit(pf.open_corpus(folder, keep=["year"]), store, extend=True)

    add("5", text=["a", "b"], year=[1, 2])
    add("4", text=["c"], year=pa.array([3], pa.int16()), id=["x"])  # ids were row numbers
    summary = add("3", text=["d", "e"], year=["MCMXC", "MM"])
    assert (summary.done, summary.quarantined) == (3, 2)
    add("2", text=["f"])
    summary = add("1", body=["g"])
    assert (summary.done, summary.quarantined) == (4, 3)
    stored = arrays_of(store)
    assert stored["id"].tolist() == list(range(7))
    assert stored["year"].tolist() == [1, 2, 3, 0, 0, 0, 0]
    assert stored["year_valid"].tolist() == [True] * 3 + [False] * 4
    assert stored["valid"].tolist() == [True] * 3 + [False] * 2 + [True, False]
    reasons = pa.parquet.read_table(store / "quarantine.parquet")["reason"].to_pylist()
    assert reasons == [
        "column 'year' holds string, and in the results int64",
        "no column 'text'; the columns there are: body",
    ]


@pytest.mark.documented("doubled-name")
@pytest.mark.documented("binary-column")
def test_remarks_on_the_columns_of_added_files_are_notes(inline, tmp_path):
    store, folder = tmp_path / "out.zarr", tmp_path / "corpus"
    folder.mkdir()

    def notes_after(name, *columns):
        names = ["text", "b", "text"][: len(columns)]
        pq.write_table(pa.table(list(columns), names=names), folder / name)
        options = {"client": inline, "progress": False, "extend": True}
        run = pf.submit(pf.default_graph(), pf.open_corpus(folder, keep=["b"]), store, **options)
        seen = []
        run.events.subscribe(seen.append)
        run.result()
        return [note for event in seen if isinstance(event, Indexed) for note in event.notes]

    assert notes_after("1.parquet", ["un"], ["x"]) == []
    added = notes_after("2.parquet", ["deux"], [b"\xff"], ["zwei"])
    assert added == [
        "2.parquet: several columns are called 'text'; the first is read",
        "2.parquet: column 'b' holds binary; values that are not UTF-8 are missing",
    ]
    assert notes_after("3.parquet", ["trois"], ["y"]) == added


# --- killed ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ended(start):
    """Run an attempt to its end; return the exit code."""

    def run(attempt):
        process = start(attempt)
        process.join()
        return process.exitcode

    return run


@pytest.fixture(scope="module")
def grown(ended, tmp_path_factory):
    """A store of the first file, a store of both, the corpus, and the first one's arrays."""
    folder = tmp_path_factory.mktemp("grown")
    data = GLOSSES
    with gzip.open(data, "rt") as stored:
        rows = [json.loads(row) for row in stored]
    (folder / "2.jsonl").write_text(lines(rows[: S + 40]))
    log = str(folder / "log")  # one for all: its name is part of what the block is
    assert ended(Attempt(f"{folder}/*.jsonl", str(folder / "first.zarr"), log, S)) == 0
    (folder / "1.jsonl").write_text(lines(rows[S + 40 : 2 * S + 50]))
    shutil.copytree(folder / "first.zarr", folder / "both.zarr")
    (folder / "log.writes").unlink()
    assert ended(Attempt(str(folder), str(folder / "both.zarr"), log, S, extend=True)) == 0
    writes = len((folder / "log.writes").read_text().splitlines())
    return folder, arrays_of(folder / "first.zarr"), writes


@pytest.mark.parametrize("share", [k / 7 for k in range(7)])
def test_a_kill_during_an_extension_loses_no_old_row(ended, grown, tmp_path, share):
    folder, before, writes = grown
    store, log = tmp_path / "out.zarr", str(folder / "log")
    shutil.copytree(folder / "first.zarr", store)
    mode = "before" if round(share * 7) % 2 else "after"
    for at in (1 + round(share * (writes - 1)), 4):  # and again, soon after it was gone on with
        Path(f"{log}.writes").unlink(missing_ok=True)
        attempt = Attempt(str(folder), str(store), log, S, at, mode, extend=True)
        assert ended(attempt) == -signal.SIGKILL
        found = arrays_of(store)
        for name, values in before.items():
            rows = slice(0, S + 40) if len(values) == S + 40 else slice(None)
            np.testing.assert_array_equal(found[name][rows], values, err_msg=name)
    assert ended(Attempt(str(folder), str(store), log, S, extend=True)) == 0
    assert_equal_stores(store, folder / "both.zarr")


def test_the_growing_shard_is_replaced_and_never_removed(submit, begun):
    """A resume removes only rows that are not readable yet, never old ones."""
    store, *files = begun
    target = LocalTarget(store)
    removed = []

    class Watching(LocalTarget):
        def delete(self, keys):
            keys = list(keys)
            removed.extend(keys)
            super().delete(keys)

    submit(pf.open_corpus(files), Watching(store), extend=True)
    assert not [key for key in removed if "/c/" in key]
    manifest = read_manifest(target)
    layout = manifest.layout(pf.open_corpus(files).index)
    assert layout.growing == 1
    assert read_marker(target, layout, 0).fingerprint == manifest.stages[0].fingerprint
    assert read_marker(target, layout, 1).fingerprint == manifest.fingerprint


def test_the_command(begun, tmp_path):
    store, first, second = begun
    runner = CliRunner()
    refused = runner.invoke(app, ["run", str(first), str(second), str(store)])
    assert refused.exit_code == 2
    assert "--extend" in refused.stderr
    command = ["run", str(first), str(second), str(store), "--extend", "--json"]
    ended = runner.invoke(app, command)
    assert ended.exit_code == 0, ended.stderr
    assert json.loads(ended.stdout)["rows"] == 200
    status = runner.invoke(app, ["status", str(store), "--json"])
    assert json.loads(status.stdout)["rows_done"] == 200
