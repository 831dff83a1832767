"""`open_corpus`: the files, their order, their columns, and that reading is lazy."""

import datetime as dt
import gc
import gzip
import io
import json
import pickle
from pathlib import Path
from types import SimpleNamespace

import dask
import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem
from packed import PACK
from paths import GLOSSES, PAPERS, PROMPTS

from paninifs import PackedText, open_corpus
from paninifs.storage.corpus import partition
from paninifs.storage.corpus.identity import WHOLE_BYTES
from paninifs.storage.corpus.reading import read_stretch
from paninifs.storage.errors import ColumnNotFound, CorpusEmpty, CorpusNotFound, UsageError
from paninifs.storage.rows import Column


def records_of(path):
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def write_jsonl(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in records), "utf-8")
    return path


def rows_of(corpus):
    """Read a whole corpus with its index: columns and faults."""
    index = corpus.index
    columns = {name: [] for name in ("text", *(c.name for c in index.selection.others))}
    faults = []
    for stretch in index.stretches(0, index.rows):
        for rows in read_stretch(stretch, corpus.opener, index.selection):
            columns["text"] += rows.text.to_pylist()
            for name, values in rows.columns.items():
                columns[name] += values.to_pylist()
            faults += [(stretch.file.name, f.row, f.rows, f.reason) for f in rows.faults]
    return columns, faults


@pytest.fixture
def folder(tmp_path):
    """Eight records in six files, among other files that folders of data usually hold."""
    here = tmp_path / "corpus"
    write_jsonl(here / "b.jsonl", [{"text": "b0"}, {"text": "b1"}])
    write_jsonl(here / "a.jsonl", [{"text": "a0"}])
    write_jsonl(here / "deep/er/c.ndjson", [{"text": "c0"}])
    write_jsonl(here / "d.JSONL", [{"text": "d0"}])
    (here / "e.txt").write_text("e0\ne1\n", "utf-8")
    (here / "f.csv.gz").write_bytes(gzip.compress(b"text\nf0\n"))
    (here / "README.md").write_text("about", "utf-8")
    (here / "table.parquet.gz").write_bytes(b"")
    write_jsonl(here / ".hidden.jsonl", [{"text": "hidden"}])
    write_jsonl(here / "_temporary/g.jsonl", [{"text": "hidden"}])
    write_jsonl(here / ".git/h.jsonl", [{"text": "hidden"}])
    (here / "_SUCCESS").write_bytes(b"")
    return here


class CountingFile(io.RawIOBase):
    def __init__(self, file, seen):
        self.file, self.seen = file, seen

    def readinto(self, buffer):
        data = self.file.read(len(buffer))
        buffer[: len(data)] = data
        self.seen.bytes += len(data)
        return len(data)

    def seek(self, offset, whence=0):
        return self.file.seek(offset, whence)

    def tell(self):
        return self.file.tell()

    def readable(self):
        return True

    def seekable(self):
        return True

    def close(self):
        if not self.closed:
            self.seen.still_open -= 1
        self.file.close()
        super().close()


@pytest.fixture
def counting():
    """The protocol ``counting://``: local files, counting every opening and every byte read."""
    seen = SimpleNamespace(opened=[], still_open=0, bytes=0)

    class CountingFileSystem(LocalFileSystem):
        protocol = "counting"
        cachable = False

        @classmethod
        def _strip_protocol(cls, path):
            return super()._strip_protocol(str(path).removeprefix("counting://"))

        def unstrip_protocol(self, name):
            return f"counting://{self._strip_protocol(name)}"

        def _open(self, path, mode="rb", **options):
            seen.opened.append(Path(path).name)
            seen.still_open += 1
            # No buffer, which would read more than was requested.
            return CountingFile(Path(path).open(mode, buffering=0), seen)

    fsspec.register_implementation("counting", CountingFileSystem, clobber=True)
    yield seen
    gc.collect()
    fsspec.register_implementation("counting", "gone after its test", clobber=True)


# --- which files ----------------------------------------------------------------------------------


def test_one_file(folder):
    for given in (folder / "b.jsonl", str(folder / "b.jsonl"), f"file://{folder}/b.jsonl"):
        corpus = open_corpus(given)
        assert [file.name for file in corpus.files] == ["b.jsonl"]
        assert rows_of(corpus)[0]["text"] == ["b0", "b1"]


def test_a_glob_is_sorted(folder):
    corpus = open_corpus(f"{folder}/?.jsonl")
    assert [file.name for file in corpus.files] == ["a.jsonl", "b.jsonl"]
    deep = open_corpus(f"{folder}/**/*.ndjson")
    assert [Path(file.url).name for file in deep.files] == ["c.ndjson"]


def test_a_directory_is_its_visible_files_in_order(folder):
    corpus = open_corpus(folder)
    names = ["a.jsonl", "b.jsonl", "d.JSONL", "deep/er/c.ndjson", "e.txt", "f.csv.gz"]
    assert [file.name for file in corpus.files] == names
    assert {Path(name).name for name in corpus.ignored} == {"README.md", "table.parquet.gz"}
    text = ["a0", "b0", "b1", "d0", "c0", "e0", "e1", "f0"]
    assert rows_of(corpus)[0]["text"] == text


@pytest.mark.documented("hidden-name")
def test_hidden_names_are_noted(tmp_path):
    (tmp_path / "_posts").mkdir()
    for name in ("_posts/a.txt", "_posts/b.txt", "_all.jsonl", "_SUCCESS", ".d.txt", "e.txt"):
        (tmp_path / name).write_text("x\n")
    corpus = open_corpus(tmp_path)
    assert [file.name for file in corpus.files] == ["e.txt"]
    assert corpus.notes == (
        "3 files are left out, because names that begin with _ are hidden: _all.jsonl, _posts (2)",
    )
    assert len(open_corpus(tmp_path / "_posts").files) == 2
    assert "2 files are left out" in open_corpus(tmp_path, format="document").notes[0]


def test_a_folder_of_hidden_names_says_so(tmp_path):
    (tmp_path / "_posts").mkdir()
    (tmp_path / "_posts/a.txt").write_text("x\n")
    with pytest.raises(CorpusNotFound, match=r"1 file is left out, .* hidden: _posts/a\.txt"):
        open_corpus(tmp_path)


@pytest.mark.documented("unknown-ending")
@pytest.mark.parametrize("others", [[], ["a.jsonl"]])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("arr.json", r"arr\.json: no format has the ending \.json; .* --format jsonl"),
        ("arr.json.gz", r"arr\.json\.gz: no format has the ending \.json; .* --format jsonl"),
        ("table.parquet.gz", "parquet files cannot be read if compressed with gzip; decompress"),
        ("notes.docx", "no format has this ending; leave it out, or give --format"),
        ("LICENSE", "no format has this ending"),
    ],
)
def test_a_named_file_is_never_skipped(folder, others, name, words):
    (folder / name).write_bytes(b"{}")
    with pytest.raises(CorpusNotFound, match=words):
        open_corpus([*(folder / other for other in others), folder / name])


def test_json_files_in_a_folder_are_hinted_at(tmp_path):
    (tmp_path / "a.json").write_text('{"text": "un"}\n')
    with pytest.raises(CorpusNotFound, match=r"found a\.json; .*'\*\.json': .* --format jsonl"):
        open_corpus(tmp_path)
    assert open_corpus(f"{tmp_path}/*.json", format="jsonl").index.rows == 1


def test_a_hidden_folder_above_the_corpus_hides_nothing(tmp_path):
    write_jsonl(tmp_path / ".cache/_data/a.jsonl", [{"text": "a"}])
    assert len(open_corpus(tmp_path / ".cache/_data").files) == 1


def test_a_list_keeps_its_order(folder):
    corpus = open_corpus([folder / "e.txt", folder / "a.jsonl", folder / "deep"])
    assert [file.name for file in corpus.files] == ["e.txt", "a.jsonl", "deep/er/c.ndjson"]
    assert rows_of(corpus)[0]["text"] == ["e0", "e1", "a0", "c0"]


def test_names_are_relative_to_the_corpus_and_its_size_is_known(folder):
    alone = open_corpus(folder / "deep/er/c.ndjson")
    assert alone.files[0].name == "c.ndjson"
    assert alone.nbytes == (folder / "deep/er/c.ndjson").stat().st_size


def test_a_file_named_twice_is_refused(folder):
    with pytest.raises(UsageError, match=r"named more than once: .*a\.jsonl"):
        open_corpus([folder / "a.jsonl", folder])


def test_files_of_one_name_on_two_filesystems_are_two_files(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": "local"}])
    memory = fsspec.filesystem("memory")
    memory.pipe_file(str(path), b'{"text": "memory"}\n')
    try:
        corpus = open_corpus([path, f"memory://{path}"])
        assert rows_of(corpus)[0]["text"] == ["local", "memory"]
    finally:
        memory.rm(str(path))


@pytest.mark.parametrize("what", ["nothing.jsonl", "*.nothing", "empty", "absent/*.jsonl"])
def test_finding_no_files_is_an_error_that_names_the_request(folder, what):
    (folder / "empty").mkdir()
    with pytest.raises(CorpusNotFound, match=what.replace("*", r"\*")):
        open_corpus(f"{folder}/{what}")
    with pytest.raises(FileNotFoundError):
        open_corpus(f"{folder}/{what}")


def test_one_missing_file_of_several_is_an_error(folder):
    with pytest.raises(CorpusNotFound, match=r"absent\.jsonl"):
        open_corpus([folder, folder / "absent.jsonl"])


def test_no_known_format_is_an_error_that_lists_the_endings(folder):
    with pytest.raises(CorpusNotFound, match=r"found README\.md; known endings are \.parquet"):
        open_corpus(f"{folder}/README.*")


def test_an_empty_list_and_a_string_of_columns_are_refused(folder):
    with pytest.raises(CorpusNotFound, match="no corpus was named"):
        open_corpus([])
    with pytest.raises(UsageError, match=r"keep=\['lang'\]"):
        open_corpus(folder, keep="lang")


# --- laziness -------------------------------------------------------------------------------------


def test_opening_reads_nothing_and_indexing_reads(folder, counting):
    corpus = open_corpus(f"counting://{folder}")
    assert len(corpus.files) == 6
    assert corpus.files[0].url.startswith("counting://")
    repr(corpus)
    assert (counting.opened, counting.bytes) == ([], 0)
    assert corpus.index.rows == 8
    assert set(counting.opened) == {Path(file.name).name for file in corpus.files}
    assert counting.bytes >= corpus.nbytes


@pytest.mark.slow("half a second for each of eight")
@pytest.mark.parametrize(
    "name",
    ["a.jsonl", "e.txt", "f.csv.gz", "g.csv", "h.parquet", "i.txt.gz", "j.txt.zst", "k.txt.bz2"],
)
def test_every_file_is_closed_after_counting_and_after_reading(folder, counting, name):
    (folder / "g.csv").write_bytes(b"text\ng0\n")
    for name in ("i.txt.gz", "j.txt.zst", "k.txt.bz2"):
        (folder / name).write_bytes(PACK[Path(name).suffix](b"i0\n"))
    pq.write_table(pa.table({"text": ["h0"]}), folder / "h.parquet")
    corpus = open_corpus(f"counting://{folder}/{name}")
    gc.disable()  # the garbage collector must not close them
    try:
        index, opened = corpus.index, len(counting.opened)
        assert (opened > 0, counting.still_open) == (True, 0)
        list(read_stretch(index.stretches(0, index.rows)[0], corpus.opener, index.selection))
        assert (len(counting.opened) > opened, counting.still_open) == (True, 0)
    finally:
        gc.enable()


def test_the_index_is_made_once(folder, counting):
    corpus = open_corpus(f"counting://{folder}")
    first, opened = corpus.index, len(counting.opened)
    assert corpus.index is first
    assert len(counting.opened) == opened


def test_the_index_of_parquet_reads_the_footer_only(tmp_path, counting):
    glosses = [record["text"] for record in records_of(GLOSSES)][:300]
    path = tmp_path / "glosses.parquet"
    table = pa.table({"text": [f"{n} {g}" * 4 for n in range(60) for g in glosses]})
    pq.write_table(table, path, compression="none", use_dictionary=False, row_group_size=6000)
    corpus = open_corpus(f"counting://{path}")
    assert corpus.index.rows == len(table)
    assert [unit.rows for unit in corpus.index.files[0].units] == [6000, 6000, 6000]
    assert corpus.nbytes > 4_000_000
    # pyarrow reads the last 64 KiB of a file at once; the digest is of blocks.
    assert WHOLE_BYTES < counting.bytes <= WHOLE_BYTES + 70_000
    counting.bytes = 0
    assert rows_of(corpus)[0]["text"] == table["text"].to_pylist()
    assert counting.bytes > 1_000_000  # so reading does count


def test_the_frame_is_lazy(folder, counting):
    corpus = open_corpus(f"counting://{folder}")
    corpus.index  # noqa: B018
    counting.opened.clear()
    frame = corpus.frame
    filtered = frame[frame.text.str.startswith("b")]
    assert counting.opened == []
    assert filtered.compute(scheduler="sync").text.tolist() == ["b0", "b1"]
    assert counting.opened != []


def test_a_corpus_travels_to_a_worker(folder):
    corpus = pickle.loads(pickle.dumps(open_corpus(folder)))
    assert corpus.index.rows == 8


# --- the frame ------------------------------------------------------------------------------------


@pytest.fixture
def several(tmp_path, monkeypatch):
    """Real texts in three files of three formats, cut in shards of 64 rows: (corpus, records)."""
    monkeypatch.setattr(partition, "MIN_SHARD_ROWS", 64)
    papers, prompts, glosses = (records_of(path) for path in (PAPERS, PROMPTS, GLOSSES))
    here = tmp_path / "several"
    write_jsonl(here / "1.jsonl", papers)
    rows = [{"id": r["id"], "text": r["text"]} for r in prompts]
    pq.write_table(pa.Table.from_pylist(rows), here / "2.parquet", row_group_size=50)
    (here / "3.jsonl.gz").write_bytes(GLOSSES.read_bytes())
    return open_corpus(here), [*papers, *prompts, *glosses]


def test_the_frame_has_the_plans_partitions_and_the_files_values(several):
    corpus, records = several
    frame, index = corpus.frame, corpus.index
    plan = index.partitions(64)
    assert len(plan) > 4
    assert frame.npartitions == len(plan)
    assert frame.divisions == (*(p.row_start for p in plan), len(records) - 1)
    parts = dask.compute(*frame.to_delayed(), scheduler="sync")
    assert [(part.index[0], part.index[-1] + 1) for part in parts] == [
        (p.row_start, p.row_stop) for p in plan
    ]
    whole = pd.concat(parts)
    assert whole.text.tolist() == [record["text"] for record in records]
    assert whole.id.tolist() == [record["id"] for record in records]
    assert list(whole.index) == list(range(len(records)))


def test_a_partitions_types_are_the_frames_types(several):
    frame = several[0].frame
    for part in dask.compute(*frame.to_delayed(), scheduler="sync"):
        assert part.dtypes.equals(frame.dtypes)
        assert part.text.dtype == pd.ArrowDtype(pa.large_string())


def test_a_partitions_text_is_the_readers_text_uncopied(several, monkeypatch):
    from paninifs.storage.corpus import reading as module

    corpus, records = several
    handed = []

    def recording(*args):
        for rows in read_stretch(*args):
            handed.append(rows.text)
            yield rows

    monkeypatch.setattr(module, "read_stretch", recording)
    seen, most = [], 0
    for number in range(corpus.frame.npartitions):
        handed.clear()
        part = corpus.frame.partitions[number].compute(scheduler="sync")
        packed = PackedText.from_series(part.text)
        assert [p.data.__array_interface__["data"][0] for p in packed] == [
            text.buffers()[2].address for text in handed
        ]
        most = max(most, len(packed))
        seen += [text for p in packed for text in p.to_bytes()]
    assert most > 1  # some partition has several batches
    assert seen == [record["text"].encode() for record in records]


def test_the_frame_survives_a_filter_and_a_map(several):
    corpus, records = several
    frame = corpus.frame
    long = frame[frame.text.str.len() > 100].map_partitions(
        lambda part: part.assign(length=part.text.str.len())
    )
    found = long.compute(scheduler="sync")
    wanted = {n: len(r["text"]) for n, r in enumerate(records) if len(r["text"]) > 100}
    assert 0 < len(wanted) < len(records)
    assert dict(zip(found.index, found.length.tolist(), strict=True)) == wanted


def test_dask_finds_a_row_by_the_divisions(several):
    corpus, records = several
    row = len(records) - 2
    found = corpus.frame.loc[row].compute(scheduler="sync")
    assert found.text.tolist() == [records[row]["text"]]


def test_quarantined_rows_have_a_null_text_in_the_frame(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "x", "id": "1"}\nnot json\n{"text": null, "id": "3"}\n')
    found = open_corpus(path).frame.compute(scheduler="sync")
    assert found.text.isna().tolist() == [False, True, True]
    assert found.id.isna().tolist() == [False, True, False]


def test_the_frame_leaves_dasks_settings_alone(folder):
    with dask.config.set({"dataframe.convert-string": True}):
        frame = open_corpus(folder).frame
        assert dask.config.get("dataframe.convert-string") is True
        assert frame.compute(scheduler="sync").text.dtype == pd.ArrowDtype(pa.large_string())


# --- columns --------------------------------------------------------------------------------------


def test_the_id_is_the_named_column_or_id_or_the_row_number(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [{"id": "x", "key": "k", "text": "t"}])
    assert open_corpus(path, id="key").index.id == Column("key", "string")
    assert open_corpus(path).index.id == Column("id", "string")
    bare = write_jsonl(tmp_path / "b.jsonl", [{"key": "k", "text": "t"}])
    assert open_corpus(bare).index.id is None
    assert rows_of(open_corpus(path, id="key"))[0]["key"] == ["k"]


def test_ids_are_integers_or_strings_kept_columns_any_kind(tmp_path):
    path = tmp_path / "a.parquet"
    day = dt.date(2026, 11, 21)
    columns = {
        "text": pa.array(["t", "u"]),
        "i": pa.array([7, None], pa.int32()),
        "f": pa.array([0.5, None], pa.float32()),
        "b": pa.array([True, None]),
        "s": pa.array(["007", None]).dictionary_encode(),
        "d": pa.array([day, None]),
        "u": pa.array([2**64 - 1, None], pa.uint64()),
    }
    pq.write_table(pa.table(columns), path)
    assert open_corpus(path, id="i").index.id == Column("i", "int64")
    assert open_corpus(path, id="f").index.id == Column("f", "string")
    corpus = open_corpus(path, id="s", keep=["i", "f", "b", "d", "u"])
    assert corpus.index.keep == (
        Column("i", "int64"),
        Column("f", "float64"),
        Column("b", "bool"),
        Column("d", "string"),
        Column("u", "string"),
    )
    found, faults = rows_of(corpus)
    assert faults == []
    assert found == {
        "text": ["t", "u"],
        "s": ["007", None],
        "i": [7, None],
        "f": [0.5, None],
        "b": [True, None],
        "d": ["2026-11-21", None],
        "u": [str(2**64 - 1), None],
    }
    frame = corpus.frame.compute(scheduler="sync")
    assert frame.i.dtype == pd.ArrowDtype(pa.int64())
    assert frame.d.tolist()[0] == "2026-11-21"


def test_a_column_of_two_kinds_is_read_as_strings(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [{"id": 7, "text": "t"}])
    pq.write_table(pa.table({"id": [8], "text": ["u"]}), tmp_path / "b.parquet")
    corpus = open_corpus(tmp_path)
    assert corpus.index.id == Column("id", "string")
    assert rows_of(corpus)[0]["id"] == ["7", "8"]


def test_a_column_that_some_files_lack_is_null_there(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [{"lang": "san", "id": "1", "text": "t"}])
    (tmp_path / "b.csv").write_text("text\nu\n", "utf-8")
    (tmp_path / "c.txt").write_text("v\n", "utf-8")
    pq.write_table(pa.table({"text": ["w"]}), tmp_path / "d.parquet")
    found, faults = rows_of(open_corpus(tmp_path, keep=["lang"]))
    assert faults == []
    assert found["lang"] == ["san", None, None, None]
    assert found["id"] == ["1", None, None, None]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([["a"], []]),
        pa.array([{"a": 1}, None]),
        pa.array([b"\xff" * 16, b"k" * 16], pa.binary(16)),
        pa.array([None, None]),
    ],
    ids=["list", "struct", "fixed binary", "null"],
)
def test_a_kept_column_of_a_strange_type_loses_no_text(tmp_path, values):
    pq.write_table(pa.table({"text": ["t", "u"], "extra": values}), tmp_path / "a.parquet")
    try:
        found, faults = rows_of(open_corpus(tmp_path, keep=["extra"]))
    except UsageError as error:  # an error that names it is as good
        assert "extra" in str(error)  # noqa: PT017
    else:
        assert faults == []
        assert found["text"] == ["t", "u"]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary()], ids=str)
def test_a_kept_value_that_is_not_utf_8_loses_no_text(tmp_path, kind):
    broken = pa.array([b"\xff", b"ok"], pa.large_binary() if "large" in str(kind) else pa.binary())
    table = pa.table({"text": ["t", "u"], "id": broken.view(kind)})
    pq.write_table(table, tmp_path / "a.parquet")
    found, faults = rows_of(open_corpus(tmp_path))
    assert faults == []
    assert found["text"] == ["t", "u"]
    assert found["id"][1] == "ok"


def test_a_missing_text_column_is_an_error_that_names_the_others(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [{"body": "x", "lang": "san"}])
    (tmp_path / "b.csv").write_text("inhalt\nx\n", "utf-8")
    names = "body, inhalt, lang"
    with pytest.raises(ColumnNotFound, match=f"no column 'text'; the columns there are: {names}"):
        open_corpus(tmp_path).index  # noqa: B018


@pytest.mark.parametrize("asked", [{"id": "key"}, {"keep": ["key"]}])
def test_a_named_column_that_no_file_has_is_an_error(tmp_path, asked):
    write_jsonl(tmp_path / "a.jsonl", [{"text": "x", "lang": "san"}])
    with pytest.raises(ColumnNotFound, match=r"no column 'key'; the columns there are: lang, text"):
        open_corpus(tmp_path, **asked).index  # noqa: B018


def test_files_without_the_text_column_are_quarantined(tmp_path):
    pq.write_table(pa.table({"text": ["t"]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"body": ["x", "y"]}), tmp_path / "b.parquet")
    (tmp_path / "c.csv").write_text("inhalt\nz\n", "utf-8")
    pq.write_table(pa.table({"text": [1]}), tmp_path / "d.parquet")
    found, faults = rows_of(open_corpus(tmp_path))
    assert found["text"] == ["t", None, None, None, None]
    assert faults == [
        ("b.parquet", 0, 2, "no column 'text'; the columns there are: body"),
        ("c.csv", 0, 1, "no column 'text'; the columns there are: inhalt"),
        ("d.parquet", 0, 1, "column 'text' holds int64, not text"),
    ]


def test_a_text_column_of_numbers_is_an_error(tmp_path):
    pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(ColumnNotFound, match="column 'text' holds int64, not text"):
        open_corpus(tmp_path).index  # noqa: B018


def test_a_late_json_key_is_found_when_another_file_has_it(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [*[{"body": "x"}] * 150, *[{"text": "t"}] * 2])
    write_jsonl(tmp_path / "b.jsonl", [{"text": "u"}])
    found, faults = rows_of(open_corpus(tmp_path))
    assert found["text"] == [None] * 150 + ["t", "t", "u"]
    assert [fault[:3] for fault in faults] == [("a.jsonl", row, 1) for row in range(150)]
    assert faults[0][3] == "no 'text' (the record has: body)"


def test_a_corpus_without_rows_is_an_error_that_says_why(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"\n\r\n")
    (tmp_path / "b.csv").write_bytes(b"text\n")
    (tmp_path / "c.txt").write_bytes(b"")
    (tmp_path / "d.parquet").write_bytes(b"no Parquet")
    with pytest.raises(CorpusEmpty, match=r"4 file\(s\): a\.jsonl: no rows; .*d\.parquet: not"):
        open_corpus(tmp_path).index  # noqa: B018


def test_an_uncounted_file_is_listed_and_the_others_are_read(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [{"text": "t"}])
    (tmp_path / "b.parquet").write_bytes(b"no Parquet")
    corpus = open_corpus(tmp_path)
    assert rows_of(corpus) == ({"text": ["t"]}, [])
    (unlisted,) = corpus.index.uncounted
    assert unlisted.file.name == "b.parquet"
    assert any("b.parquet cannot be read" in note for note in corpus.index.notes)


def test_every_row_is_located_in_its_file(several):
    corpus, records = several
    index = corpus.index
    found = [index.locate(row) for row in range(index.rows)]
    counts = dict.fromkeys(("1.jsonl", "2.parquet", "3.jsonl.gz"), 0)
    for file, row in found:
        assert row == counts[file.name]
        counts[file.name] += 1
    assert sum(counts.values()) == len(records)
    for row in (-1, index.rows):
        with pytest.raises(IndexError):
            index.locate(row)


# --- a look at a corpus ---------------------------------------------------------------------------


def test_a_head_is_that_of_the_frame(glosses, write_jsonl):
    corpus = open_corpus(write_jsonl(glosses[:50]))
    head = corpus.head()
    pd.testing.assert_frame_equal(head, corpus.frame.head(5, npartitions=-1))
    assert corpus.head(0).empty
    assert len(corpus.head(1000)) == len(corpus) == 50


def test_a_head_reads_the_front_alone(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("".join(f"line {n}\n" for n in range(400_000)))
    corpus = open_corpus(tmp_path / "a.txt")
    assert corpus.head(3).text.tolist() == ["line 0", "line 1", "line 2"]
    assert "index" not in vars(corpus)  # nothing was counted
    assert len(corpus.head(300_000)) == 300_000
    assert "index" in vars(corpus)


def test_a_head_goes_over_files_and_quarantined_rows(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": 1}\n')
    (tmp_path / "b.jsonl").write_text('{"text": "b"}\n')
    assert open_corpus(tmp_path).head().text.isna().tolist() == [False, True, False]


def test_a_head_behind_a_long_first_record(write_jsonl):
    corpus = open_corpus(write_jsonl([{"text": "x" * (2 << 20)}, {"text": "short"}]))
    assert corpus.head().text.str.len().tolist() == [2 << 20, 5]


def test_a_head_of_a_wrong_column_says_so(write_jsonl):
    with pytest.raises(ColumnNotFound, match="no column 'words'"):
        open_corpus(write_jsonl([{"text": "a"}]), text="words").head()
    with pytest.raises(UsageError, match="n must be"):
        open_corpus(write_jsonl([{"text": "a"}])).head("3")


def test_a_corpus_shows_itself_without_reading(tmp_path):
    for number in range(12):
        (tmp_path / f"<b>{number:02}.txt").write_text("a")
    corpus = open_corpus(tmp_path)
    assert repr(corpus).startswith("<Corpus file:///")
    assert ": 12 files (text), 12 bytes, text='text'>" in repr(corpus)
    page = corpus._repr_html_()
    assert "<b>" not in page
    assert "&lt;b&gt;09.txt" in page
    assert "and 2 more" in page
    assert corpus
    assert "index" not in vars(corpus)  # nothing was counted
