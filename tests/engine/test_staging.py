"""Frames that a user filtered, joined or mapped become a corpus, computed once."""

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

import paninifs as pf
from paninifs.engine.staged.parts import stage_into
from paninifs.storage.errors import (
    ColumnNotFound,
    LeaseLost,
    ResultsMismatch,
    RunFailed,
    UsageError,
)
from paninifs.storage.targets.open import open_target

NAMES = {"pf": pf, "dask": dask}  # as a user's session has them


@pytest.fixture
def corpus(glosses, write_jsonl):
    return pf.open_corpus([write_jsonl(glosses[:900], "1.jsonl"), write_jsonl(glosses[900:])])


def long_nouns(corpus):
    """A filter, a join and a map over a corpus."""
    ranks = pd.DataFrame({"id": [f"{n}" for n in range(10)], "rank": range(10)})
    frame = corpus.frame
    ranks = ranks.astype({"id": frame.id.dtype})
    kept = frame[frame.text.str.len() > 60]
    joined = kept.merge(dd.from_pandas(ranks, npartitions=1), on="id", how="left")
    return joined.assign(text=joined.text.str.upper(), lang="en")


def test_a_filtered_and_joined_frame_runs_end_to_end(client, corpus, glosses, tmp_path):
    with dask.config.set(scheduler=client):
        staged = pf.stage(long_nouns(corpus), tmp_path / "out.corpus", keep=["lang"])
    texts = sorted(row["text"].upper() for row in glosses if len(row["text"]) > 60)
    store = tmp_path / "out.zarr"
    run = pf.submit(
        pf.default_graph(), staged, store, client=client, shard_rows=128, progress=False
    )
    assert run.result().done == len(texts)
    stored = pf.open_results(store)
    ids = {row["text"].upper(): row["id"] for row in glosses}
    assert sorted(stored.id.values) == sorted(ids[text] for text in texts)
    assert set(stored.lang.values) == {"en"}
    expected = pf.PackedText.from_strings(staged.frame.text.compute().tolist())
    digests = pf.default_graph().blocks[0].bind("reference")(expected)
    np.testing.assert_array_equal(stored.digest.values, digests)
    assert pf.verify(store).passed


def test_a_frame_is_computed_once(corpus, tmp_path):
    calls = []

    def seen(part):
        calls.append(len(part))
        return part

    frame = corpus.frame.map_partitions(seen, meta=corpus.frame._meta)
    first = pf.stage(frame, tmp_path / "staged")
    assert sum(calls) == 2000
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "staged").glob("*.parquet")}
    assert pf.stage(frame, tmp_path / "staged").index.rows == first.index.rows == 2000
    assert sum(calls) == 2000
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_interrupted_staging_starts_over(corpus, tmp_path):
    staged = tmp_path / "staged"
    pf.stage(corpus.frame, staged)
    (staged / "_staged.json").unlink()
    (staged / "part-000000.parquet").write_bytes(b"half")
    (staged / "part-000099.parquet").write_bytes(b"of another time")
    (staged / ".writing-0123").write_bytes(b"of a worker that was killed")
    assert pf.stage(corpus.frame, staged).index.rows == 2000


def test_another_frame_or_folder_is_refused(corpus, tmp_path):
    pf.stage(corpus.frame, tmp_path / "staged")
    other = corpus.frame[corpus.frame.text.str.len() > 10]
    with pytest.raises(ResultsMismatch, match=r"staged from another frame; open .* open_corpus"):
        pf.stage(other, tmp_path / "staged")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(ResultsMismatch, match=r"holds notes\.txt"):
        pf.stage(corpus.frame, tmp_path / "mine")
    assert (tmp_path / "mine/notes.txt").read_text() == "mine"


def test_parts_of_other_programs_are_left_alone(corpus, tmp_path):
    (tmp_path / "spark").mkdir()
    theirs = tmp_path / "spark/part-00000-0b1c.snappy.parquet"
    theirs.write_bytes(b"theirs")
    with pytest.raises(ResultsMismatch, match=r"holds part-00000-0b1c\.snappy\.parquet"):
        pf.stage(corpus.frame, tmp_path / "spark")
    assert theirs.read_bytes() == b"theirs"


@pytest.mark.parametrize("name", ["_staged.json", "_staging.json", "_parts/000000.json"])
def test_a_mark_that_was_half_written_is_written_again(corpus, tmp_path, name):
    pf.stage(corpus.frame, tmp_path / "staged")
    (tmp_path / "staged" / name).write_bytes(b'{"frame": "0')
    assert pf.stage(corpus.frame, tmp_path / "staged").index.rows == 2000
    assert b"rows" in (tmp_path / "staged/_staged.json").read_bytes()


def test_a_worker_with_another_disk_is_blamed_for_it(corpus, tmp_path):
    def compute(tasks, parts):
        raise LeaseLost("another driver owns the folder")  # as it seems there

    target = open_target(tmp_path / "staged")
    with pytest.raises(RunFailed, match=r"does not see .*/staged: use a folder that all machines"):
        stage_into(target, pf.open_corpus(corpus.frame), compute, fresh=False)


def test_what_an_earlier_version_staged_is_reused(corpus, tmp_path):
    pf.stage(corpus.frame, tmp_path / "staged")
    (tmp_path / "staged/_staging.json").unlink()
    for marker in (tmp_path / "staged/_parts").iterdir():  # of which it wrote none
        marker.unlink()
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "staged").glob("*.parquet")}
    assert pf.stage(corpus.frame, tmp_path / "staged").index.rows == 2000
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_pandas_frame_is_staged_in_its_order(tmp_path):
    frame = pd.DataFrame({"text": ["c", "a", "b"], "lang": ["de", "fr", "en"]}, index=[2, 0, 1])
    staged = pf.stage(frame, tmp_path / "staged", keep=["lang"])
    assert staged.frame.compute().text.tolist() == ["c", "a", "b"]


def test_invalid_frames_are_refused(corpus, tmp_path):
    with pytest.raises(UsageError, match="needs a DataFrame of dask or pandas, not Series"):
        pf.stage(pd.Series(["a"]), tmp_path / "staged")
    with pytest.raises(ColumnNotFound, match="no column 'body'; the frame has: text, id"):
        pf.stage(corpus.frame, tmp_path / "staged", text="body")
    assert not (tmp_path / "staged").exists()


@pytest.mark.parametrize("kind", ["object", "string", "large_string[pyarrow]", "category"])
def test_every_kind_of_text_column(tmp_path, kind):
    dtype = pd.ArrowDtype(__import__("pyarrow").large_string()) if "arrow" in kind else kind
    with dask.config.set({"dataframe.convert-string": False}):
        frame = dd.from_pandas(
            pd.DataFrame({"text": pd.Series(["un", None, "deux"], dtype=dtype), "n": [1, 2, 3]}),
            npartitions=2,
        )
        staged = pf.stage(frame[frame.n != 3], tmp_path / "staged", keep=["n"])
        assert staged.frame.text.compute().tolist()[0] == "un"
    assert staged.index.rows == 2
    assert [column.kind for column in staged.index.keep] == ["int64"]


def test_the_text_column_of_the_corpus_is_remembered(tmp_path):
    (tmp_path / "c.csv").write_text("id,quote\n1,un\n2,deux\n")
    frame = pf.open_corpus(tmp_path / "c.csv", text="quote").frame
    staged = pf.stage(frame[frame["quote"].str.len() > 2], tmp_path / "staged")
    assert (staged.text, staged.index.rows) == ("quote", 1)
    unknown = dd.from_pandas(pd.DataFrame({"quote": ["un"]}), npartitions=1)
    with pytest.raises(ColumnNotFound, match="text= names the one that holds the text"):
        pf.stage(unknown, tmp_path / "other")


def test_a_fresh_staging_replaces_another_frame(corpus, tmp_path):
    pf.stage(corpus.frame, tmp_path / "staged")
    shorter = corpus.frame[corpus.frame.text.str.len() > 60]
    rows = len(shorter)
    assert pf.stage(shorter, tmp_path / "staged", fresh=True).index.rows == rows
    assert pf.stage(shorter, tmp_path / "staged").index.rows == rows
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(ResultsMismatch, match=r"holds notes\.txt"):
        pf.stage(shorter, tmp_path / "mine", fresh=True)


@pytest.mark.documented("hive-folders")
def test_the_advice_on_names_of_folders_works(tmp_path):
    corpus = tmp_path / "a=b" / "corp"
    for year in (2023, 2024):
        folder = corpus / f"year={year}" / "lang=en"
        folder.mkdir(parents=True)
        pd.DataFrame({"body": [f"in {year}"]}).to_parquet(folder / "part-0.parquet")

    with pytest.raises(ColumnNotFound) as error:
        _ = pf.open_corpus(corpus, text="body", keep=["lang", "year"]).index

    start = "no column 'lang'; the columns there are: body; 'lang=' is in the names of folders, "
    assert str(error.value).startswith(start + "which are not read as columns; pf.stage(")
    call = str(error.value).rpartition("; ")[2]
    assert f"read_parquet({str(corpus)!r})" in call
    staged = eval(call.replace("'a-new-folder'", "folder"), {"folder": tmp_path / "new"} | NAMES)
    found = staged.frame.compute()
    assert found.body.tolist() == ["in 2023", "in 2024"]
    assert found.year.astype(str).tolist() == ["2023", "2024"]
    assert found.lang.tolist() == ["en", "en"]


def test_other_formats_and_names_get_no_call_of_dask(tmp_path):
    (tmp_path / "year=2023").mkdir()
    (tmp_path / "year=2023" / "a.csv").write_text("text,years\nun,1\n")

    with pytest.raises(ColumnNotFound, match=r"which are not read as columns$"):
        _ = pf.open_corpus(tmp_path, keep=["year"]).index
    with pytest.raises(ColumnNotFound, match="did you mean 'years'"):
        _ = pf.open_corpus(tmp_path, keep=["yearz"]).index
