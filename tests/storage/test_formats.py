"""One suite for every format and compression: the same texts, read whole or in any parts.

What is special about one format is in `test_reading`, Parquet's schemas in `test_schemas`.
"""

import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from packed import PACK

from paninifs import open_corpus
from paninifs.storage.corpus import partition
from paninifs.storage.corpus.reading import read_stretch
from paninifs.storage.errors import CorpusNotFound, ResultsMismatch, UsageError
from paninifs.storage.formats import delimited, jsonl_blocks
from paninifs.storage.formats import lines as linewise
from paninifs.storage.formats.registry import FORMATS
from paninifs.storage.rows import Column
from paninifs.storage.store.manifest import Manifest, facts_of, require_same
from paninifs.storage.targets.local import LocalTarget

# --- writers, one per format ----------------------------------------------------------------------


def as_jsonl(records):
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def as_delimited(records, delimiter):
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter)
    writer.writerows([("id", "text"), *((record["id"], record["text"]) for record in records)])
    return file.getvalue().encode()


def as_parquet(records):
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records), file, row_group_size=97)
    return file.getvalue()


WRITERS = {
    "jsonl": as_jsonl,
    "csv": lambda records: as_delimited(records, ","),
    "tsv": lambda records: as_delimited(records, "\t"),
    "text": lambda records: "".join(f"{record['text']}\n" for record in records).encode(),
}
ENDINGS = {"jsonl": ".jsonl", "csv": ".csv", "tsv": ".tsv", "text": ".txt"}

CASES = [
    ("parquet", ""),
    *((name, ending) for name in (*WRITERS, "document") for ending in PACK),
]
EVERY = pytest.mark.parametrize(("name", "ending"), CASES, ids=lambda part: part or "plain")


def test_every_format_has_its_cases():
    assert {name for name, _ in CASES} == set(FORMATS)


@pytest.fixture
def written(tmp_path, glosses):
    """Write real texts in a format and compression: (corpus, texts, ids)."""

    def write(name, ending, count):
        records = glosses[:count]
        if name != "text":  # its rows are lines; other formats allow lines within a text
            records = [{**r, "text": r["text"].replace("; ", ';\n"so"\n')} for r in records]
            assert sum("\n" in record["text"] for record in records) > count // 4
        pack = PACK[ending]
        texts, ids = [r["text"] for r in records], [r["id"] for r in records]
        if name == "document":
            ids = [f"{n:05}.md{ending}" for n in range(count)]
            for own, text in zip(ids, texts, strict=True):
                (tmp_path / own).write_bytes(pack(text.encode()))
            return open_corpus(tmp_path, format=name), texts, ids
        if name == "parquet":
            path = tmp_path / "a.parquet"
            path.write_bytes(as_parquet(records))
        else:
            path = tmp_path / f"a{ENDINGS[name]}{ending}"
            path.write_bytes(pack(WRITERS[name](records)))
        return open_corpus(path), texts, None if name == "text" else ids

    return write


def rows_between(corpus, start, stop):
    """Texts and ids of rows ``[start, stop)``, as a task reads them."""
    index = corpus.index
    texts, ids = [], []
    for stretch in index.stretches(start, stop):
        for rows in read_stretch(stretch, corpus.opener, index.selection):
            assert rows.faults == ()
            texts += rows.text.to_pylist()
            ids += rows.columns["id"].to_pylist() if index.id else []
    return texts, ids or None


@EVERY
def test_every_format_and_compression_returns_the_texts(written, name, ending):
    corpus, texts, ids = written(name, ending, 200 if name == "document" else 2000)
    assert rows_between(corpus, 0, corpus.index.rows) == (texts, ids)
    frame = corpus.frame.compute(scheduler="sync")
    assert frame.text.tolist() == texts
    if ids:
        assert frame.id.tolist() == ids


@EVERY
@pytest.mark.parametrize("size", [1, 2, 8, 64, 256, 4096])
def test_the_rows_are_the_same_wherever_they_are_cut(written, monkeypatch, name, ending, size):
    for module in (linewise, delimited, jsonl_blocks):
        monkeypatch.setattr(module, "BLOCK_BYTES", 1000)
    rows = 120 if size < 8 else 300
    corpus, texts, ids = written(name, ending, rows)
    index = corpus.index
    assert (len(index.files[0].units) > 1) == (not ending and name != "document")
    cuts = [(at, min(at + size, rows)) for at in range(0, rows, size)]
    parts = [rows_between(corpus, start, stop) for start, stop in cuts]
    assert [text for part, _ in parts for text in part] == texts
    assert ids is None or [one for _, part in parts for one in part] == ids
    planned = [rows_between(corpus, p.row_start, p.row_stop) for p in index.partitions(size)]
    assert [text for part, _ in planned for text in part] == texts


@pytest.mark.parametrize("name", ["csv", "tsv"])
@pytest.mark.parametrize("ending", PACK)
def test_lines_inside_a_value_cross_the_cuts_of_a_frame(written, monkeypatch, name, ending):
    monkeypatch.setattr(partition, "MIN_SHARD_ROWS", 64)
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 1000)
    corpus, texts, _ = written(name, ending, 1000)
    assert corpus.frame.npartitions >= (1 if ending else 10)
    assert corpus.frame.compute(scheduler="sync").text.tolist() == texts


@pytest.mark.parametrize("ending", [ending for ending in PACK if ending])
def test_a_compressed_file_is_one_task_and_the_plan_says_so(written, monkeypatch, ending):
    monkeypatch.setattr(partition, "MIN_SHARD_ROWS", 64)
    corpus, _, _ = written("jsonl", ending, 2000)
    assert len(corpus.index.partitions(64)) == 1
    assert corpus.index.notes == (
        f"a.jsonl{ending}: compressed, so each file is read by a single task",
    )


# --- naming a format ------------------------------------------------------------------------------


@pytest.fixture
def library(tmp_path):
    """A folder of pages, among other files."""
    here = tmp_path / "library"
    (here / "deep").mkdir(parents=True)
    (here / "a.txt").write_text("first line\nsecond line\n")
    (here / "deep/b.md").write_text("# b\n")
    (here / "c.rst").write_text("c\n=\n")
    (here / "d.HTML").write_text("<p>d</p>")
    (here / "e.tex.gz").write_bytes(PACK[".gz"](b"\\e"))
    (here / "f.jsonl").write_text('{"text": "f"}\n')
    (here / "g.json").write_text('{"text": "g"}\n')
    (here / "h.unknown").write_text("h0\nh1\n")
    return here


def names_of(corpus):
    return [file.name for file in corpus.files]


def test_a_document_is_one_text_whose_id_is_the_file_name(library):
    corpus = open_corpus(library, format="document")
    assert names_of(corpus) == ["a.txt", "c.rst", "d.HTML", "deep/b.md", "e.tex.gz"]
    assert len(corpus.ignored) == 3
    assert corpus.index.id == Column("id", "string")
    texts = ["first line\nsecond line\n", "c\n=\n", "<p>d</p>", "# b\n", "\\e"]
    assert rows_between(corpus, 0, 5) == (texts, names_of(corpus))


def test_a_folder_stands_for_the_endings_of_a_named_format(library):
    assert names_of(open_corpus(library)) == ["a.txt", "f.jsonl"]
    assert names_of(open_corpus(library, format="jsonl")) == ["f.jsonl"]
    text = open_corpus(library, format="text")
    assert names_of(text) == ["a.txt", "deep/b.md"]
    assert rows_between(text, 0, 3) == (["first line", "second line", "# b"], None)
    with pytest.raises(CorpusNotFound, match=r"the endings of parquet are \.parquet \.pq "):
        open_corpus(library, format="parquet")


def test_named_and_matched_files_are_read_whatever_their_endings(library):
    glob = open_corpus(f"{library}/*.json*", format="jsonl")
    assert names_of(glob) == ["f.jsonl", "g.json"]
    assert rows_between(glob, 0, 2) == (["f", "g"], None)
    named = open_corpus([library / "h.unknown", library / "e.tex.gz"], format="text")
    assert rows_between(named, 0, 3) == (["h0", "h1", "\\e"], None)
    mixed = open_corpus([library / "h.unknown", library / "deep"], format="document")
    assert names_of(mixed) == ["h.unknown", "deep/b.md"]
    assert names_of(open_corpus(library / "g.json", format="document")) == ["g.json"]


def test_an_unknown_format_is_refused_by_name(library):
    with pytest.raises(UsageError, match=r"unknown format 'pdf'; .* csv, tsv, text, document"):
        open_corpus(library, format="pdf")


def test_parquet_inside_a_compression_is_refused(library):
    (library / "t.parquet.gz").write_bytes(PACK[".gz"](as_parquet([{"text": "t"}])))
    with pytest.raises(UsageError, match=r"t\.parquet\.gz: .* decompress"):
        open_corpus(library / "t.parquet.gz", format="parquet")


def test_documents_are_counted_without_being_opened(library, monkeypatch):
    corpus = open_corpus(library, format="document")
    monkeypatch.setattr(type(corpus.opener), "__call__", lambda *_: pytest.fail("opened"))
    assert corpus.index.rows == 5


def test_a_document_may_be_empty_or_begin_with_a_bom(tmp_path):
    for name, data in {
        "a.txt": b"",
        "b.txt": b"\xef\xbb\xbf",
        "c.txt": b"\xef\xbb\xbf\r\nc",
    }.items():
        (tmp_path / name).write_bytes(data)
    corpus = open_corpus(tmp_path, format="document")
    assert rows_between(corpus, 0, 3) == (["", "", "\r\nc"], ["a.txt", "b.txt", "c.txt"])


def test_a_damaged_document_is_one_bad_row_with_its_name(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    (tmp_path / "b.txt.gz").write_bytes(PACK[".gz"](b"b" * 99)[:-9])
    (tmp_path / "c.txt").write_bytes(b"good")
    corpus = open_corpus(tmp_path, format="document")
    index = corpus.index
    found = [
        (rows.text.to_pylist(), rows.columns["id"].to_pylist(), [f.reason for f in rows.faults])
        for stretch in index.stretches(0, 3)
        for rows in read_stretch(stretch, corpus.opener, index.selection)
    ]
    assert found[0][:2] == ([None], ["a.txt"])
    assert found[0][2][0].startswith("invalid UTF-8 at byte 3")
    assert found[1][0] == [None]
    assert found[1][2][0].startswith("damaged gzip: ")
    assert found[2] == (["good"], ["c.txt"], [])


def test_results_of_lines_are_not_resumed_as_documents(library):
    lines = facts_of(open_corpus(library / "a.txt"), {}, 1)
    pages = facts_of(open_corpus(library / "a.txt", format="document"), {}, 1)
    manifest = Manifest(facts=lines, fields=(), shard_rows=4096, rows=1, created="", versions={})
    with pytest.raises(ResultsMismatch, match=r"a\.txt was read as text, and now as document"):
        require_same(LocalTarget(library), manifest, pages)
