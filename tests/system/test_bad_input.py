"""Everything that may be wrong with a corpus, with its outcome: deploy/docs/failures.md, as tests.

Whole runs, in this process or on a cluster. How the formats read each odd byte is tested in
test_reading, test_jsonl and test_compression; here it is what becomes of it: the values beside it,
the quarantine, the message.
"""

from __future__ import annotations

import ctypes
import errno
import io
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem
from one_by_one import OneByOneTarget
from packed import PACK
from paths import DEPLOY, TESTS

import paninifs as pf
from paninifs.engine.monitoring.events import Notice
from paninifs.graphs.kernels import reference
from paninifs.storage.corpus import opening
from paninifs.storage.errors import (
    ColumnNotFound,
    CorpusChanged,
    CorpusEmpty,
    CorpusNotFound,
    ResultsMismatch,
    RowsQuarantined,
    StorageRefused,
)
from paninifs.storage.rows import EXCERPT_BYTES
from paninifs.storage.targets.guarded import RetryingTarget
from paninifs.storage.targets.local import LocalTarget

NOBODY_KNOWS = 24  # PR_CAPBSET_DROP of <linux/prctl.h>
REACHES_ALL = (1, 2)  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH


def parquet(**columns):
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def raw(texts, kind):
    """Store bytes under a type that promises UTF-8, as careless writers do."""
    large = pa.types.is_large_string(kind) or pa.types.is_large_binary(kind)
    return pa.array(texts, pa.large_binary() if large else pa.binary()).view(kind)


LINE = b'{"text": "good"}\n'
NOISE = b"".join(b'{"text": "%d"}\n' % (n * 7919) for n in range(400))


def case(row, name, files, texts=(), entries=(), **more):
    """Return a corpus and what becomes of it.

    `files` are names and bytes; `texts` what is read, in order, None where a row is set aside;
    `entries` the quarantine: file, row there (None: it was not counted), rows, the beginning of the
    reason, and the bytes that were kept.
    """
    return pytest.param(files, texts, entries, more, id=f"{row}: {ascii(name)[1:-1]}")


# --- rows -----------------------------------------------------------------------------------------

JSONL_BAD = [
    ("null", "null", b'{"text": null}', "null text", b""),
    ("null", "no such key", b'{"body": 1}', "no 'text' (the record has: body)", b""),
    ("not-text", "number", b'{"text": 7}', "'text' is a JSON number, not", b'{"text": 7}'),
    ("not-text", "list", b'{"text": ["a"]}', "'text' is a JSON array, not", b'{"text": ["a"]}'),
    ("not-json", "words", b"plain words", "not JSON: ", b"plain words"),
    ("not-json", "no object", b"[1]", "a JSON array where an object belongs", b"[1]"),
    ("not-utf-8", "jsonl", b'{"text": "\xff"}', "invalid UTF-8 at byte 10", b'{"text": "\xff"}'),
    ("surrogate", "jsonl", b'{"text": "\\ud800"}', "lone surrogate at", b'{"text": "\\ud800"}'),
]
CSV_BAD = [
    ("ragged", "too few", b"1\n", "1 values where the header has 2", b"1\n"),
    ("ragged", "too many", b"1,2,3\n", "3 values where the header has 2", b"1,2,3\n"),
    ("ragged", "a quote within", b'1,"a"b\n', "malformed record: ", b'1,"a"b\n'),
    ("not-utf-8", "csv", b"1,\xff\n", "invalid UTF-8 at byte 0", b"\xff"),
]
LONG = b"\xff" + b"x" * 5000
ROWS = [
    *(
        case(
            row,
            name,
            {"a.jsonl": LINE + line + b"\n" + LINE},
            ["good", None, "good"],
            [("a.jsonl", 1, 1, reason, excerpt)],
        )
        for row, name, line, reason, excerpt in JSONL_BAD
    ),
    *(
        case(
            row,
            name,
            {"a.csv": b"id,text\n0,good\n" + record + b"2,good\n"},
            ["good", None, "good"],
            [("a.csv", 1, 1, reason, excerpt)],
        )
        for row, name, record, reason, excerpt in CSV_BAD
    ),
    case(
        "ragged",
        "a quote that never ends",
        {"a.csv": b'id,text\n0,good\n1,"b\n2,c\n'},
        ["good", None, None],
        [
            ("a.csv", row, 1, "malformed record: unexpected end of data, in a record of 2", line)
            for row, line in ((1, b'1,"b\n'), (2, b"2,c\n"))
        ],
    ),
    case(
        "not-json",
        "cut in half",
        {"a.jsonl": LINE * 2 + LINE[:-6]},
        ["good", "good", None],
        [("a.jsonl", 2, 1, "not JSON: ", LINE[:-6])],
    ),
    case(
        "null",
        "parquet",
        {"a.parquet": parquet(text=["good", None, None, "good"])},
        ["good", None, None, "good"],
        [("a.parquet", 1, 2, "null text", b"")],
    ),
    case(
        "null",
        "in a missing struct",
        {"a.parquet": parquet(t=[{"fr": "bon"}, None])},
        ["bon", None],
        [("a.parquet", 1, 1, "null text", b"")],
        text="t.fr",
    ),
    *(
        case(
            "not-utf-8",
            str(kind),
            {"a.parquet": parquet(text=raw([b"good", LONG], kind))},
            ["good", None],
            [("a.parquet", 1, 1, "invalid UTF-8 at byte 0", LONG[:EXCERPT_BYTES])],
        )
        for kind in (pa.string(), pa.binary(), pa.large_string(), pa.large_binary())
    ),
    case(
        "not-utf-8",
        "txt",
        {"a.txt": b"good\nb\xe4d\n"},
        ["good", None],
        [("a.txt", 1, 1, "invalid UTF-8 at byte 1", b"b\xe4d")],
    ),
    case(
        "not-utf-8",
        "document",
        {"a.txt": b"good", "b.txt": b"b\xe4d"},
        ["good", None],
        [("b.txt", 0, 1, "invalid UTF-8 at byte 1", b"b\xe4d")],
        format="document",
    ),
    case(
        "surrogate",
        "txt",
        {"a.txt": b"good\n\xed\xa0\x80\n"},
        ["good", None],
        [("a.txt", 1, 1, "invalid UTF-8 at byte 0", b"\xed\xa0\x80")],
    ),
    case(
        "surrogate",
        "parquet",
        {"a.parquet": parquet(text=raw([b"good", b"\xed\xa0\x80"], pa.string()))},
        ["good", None],
        [("a.parquet", 1, 1, "invalid UTF-8 at byte 0", b"\xed\xa0\x80")],
    ),
    *(
        case(row, name, {name: data}, ["", text], **more)
        for row, text in (("empty-text", "x"), ("nul", "a\0b"))
        for name, data, more in (
            ("a.jsonl", b'{"text": ""}\n' + json.dumps({"text": text}).encode(), {}),
            ("a.csv", b'text\n""\n' + text.encode(), {}),
            ("a.tsv", b'text\n""\n' + text.encode(), {}),
            ("a.txt", b"\n" + text.encode(), {}),
            ("a.parquet", parquet(text=["", text]), {}),
        )
    ),
    case("empty-text", "document", {"a.txt": b"", "b.txt": b"x"}, ["", "x"], format="document"),
    case("nul", "document", {"a.txt": b"a\0b"}, ["a\0b"], format="document"),
    case(
        "no-column",
        "in some files",
        {
            "a.parquet": parquet(text=["good"]),
            "b.parquet": parquet(body=["x", "y"]),
            "c.csv": b"inhalt\nz\n",
        },
        ["good", None, None, None],
        [
            ("b.parquet", 0, 2, "no column 'text'; the columns there are: body", b""),
            ("c.csv", 0, 1, "no column 'text'; the columns there are: inhalt", b""),
        ],
    ),
    case(
        "not-text",
        "a column of numbers in some files",
        {"a.parquet": parquet(text=["good"]), "b.parquet": parquet(text=[1, 2])},
        ["good", None, None],
        [("b.parquet", 0, 2, "column 'text' holds int64, not text", b"")],
    ),
]

# --- files ----------------------------------------------------------------------------------------

WHOLE = parquet(text=["a", "b"])
GZ, ZST, BZ2 = (PACK[ending](NOISE) for ending in (".gz", ".zst", ".bz2"))


def not_counted(row, what, name, data, reason):
    return case(
        row,
        f"{name}{what}",
        {name: data, "z.txt": b"good\n"},
        ["good"],
        [(name, None, 0, reason, b"")],
    )


FILES = [
    not_counted("damaged", " cut off", "a.parquet", WHOLE[:-9], "not readable as parquet: no foot"),
    not_counted(
        "damaged", " cut short", "a.parquet", WHOLE[:3], "not readable as parquet: no foot"
    ),
    *(
        not_counted(
            "damaged",
            " cut off",
            f"a.{inner}{ending}",
            PACK[ending](NOISE)[:-20],
            f"not readable as {format}: damaged {compression}: ",
        )
        for inner, format, ending, compression in (
            ("jsonl", "jsonl", ".gz", "gzip"),
            ("csv", "csv", ".zst", "zstd"),
            ("txt", "text", ".bz2", "bz2"),
        )
    ),
    not_counted(
        "wrong-magic", "", "a.parquet", b"PAR2" * 9, "not readable as parquet: no footer: "
    ),
    not_counted("wrong-magic", " is gzip", "a.parquet", GZ, "not readable as parquet: no footer: "),
    not_counted("wrong-magic", "", "a.jsonl.gz", ZST, "not readable as jsonl: damaged gzip: "),
    not_counted("wrong-magic", "", "a.jsonl.zst", BZ2, "not readable as jsonl: damaged zstd: "),
    not_counted("wrong-magic", "", "a.jsonl.bz2", GZ, "not readable as jsonl: damaged bz2: "),
    not_counted(
        "wrong-magic", " is plain", "a.txt.gz", b"plain\n", "not readable as text: damaged"
    ),
    not_counted("empty-file", "", "a.parquet", b"", "not readable as parquet: no footer: "),
    *(
        case("empty-file", name, {name: b"", "z.txt": b"good\n"}, ["good"])
        for name in ("a.jsonl", "a.csv", "a.tsv", "a.txt", "a.jsonl.gz", "a.csv.zst", "a.txt.bz2")
    ),
    case("empty-file", "header only", {"a.csv": b"id,text\n", "z.txt": b"good\n"}, ["good"]),
    case(
        "empty-file",
        "no rows in Parquet",
        {"a.parquet": parquet(text=pa.array([], pa.string())), "z.txt": b"good\n"},
        ["good"],
    ),
    case("empty-file", "blank lines", {"a.jsonl": b"\n\r\n\n", "z.txt": b"good\n"}, ["good"]),
    *(
        case("odd-name", name, {name: b"good\n"}, ["good"])
        for name in (
            "a b.txt",
            "a#b.txt",
            "a?b.txt",
            "a*b.txt",
            "a[b].txt",
            "a%20b.txt",
            "a\nb.txt",
            "~a.txt",
            "ā" * 120 + ".txt",
        )
    ),
    case("odd-name", "a folder called a.parquet", {"a.parquet/part-0.txt": b"good\n"}, ["good"]),
    *(
        not_counted("unspeakable-name", "", name, b"x\n", f"cannot be opened: {reason}")
        for name, reason in (
            (os.fsdecode(b"a\xff.txt"), "its name is not UTF-8"),
            ("a::b.txt", "its name holds '::'"),
        )
    ),
]


def write(folder, files):
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def submitting(client, store):
    """Return a function that submits to a store of the test's own, and returns the run."""

    def begin(corpus, results=store, **options):
        options = {"client": client, "progress": False, **options}
        return pf.submit(pf.default_graph(), corpus, results, **options)

    return begin


@pytest.fixture
def submit(inline, tmp_path):
    """Submit in this process."""
    return submitting(inline, tmp_path / "out.zarr")


@pytest.fixture
def submit_to_cluster(client, tmp_path):
    """Submit to a cluster, for tests that depend on parallel tasks or other processes."""
    return submitting(client, tmp_path / "out.zarr")


def quarantine_of(store):
    path = store / "quarantine.parquet"
    return pq.read_table(path).to_pylist() if path.exists() else []


def check(summary, store, texts, entries):
    """Compare a store with the expected texts and quarantine entries."""
    done = [text for text in texts if text is not None]
    assert summary.rows == len(texts) == summary.done + summary.quarantined
    assert summary.done == len(done)
    found = pf.open_results(store)
    valid = found.valid.values
    assert valid.tolist() == [text is not None for text in texts]
    packed = pf.PackedText.from_strings(done)
    np.testing.assert_array_equal(found.digest.values[valid], reference.digest(packed))
    shares = reference.dhatu(packed, dhatus=pf.default_graph().blocks[1].params["dhatus"])
    np.testing.assert_array_equal(found.dhatu.values[valid], shares)
    assert not found.digest.values[~valid].any()
    assert not found.dhatu.values[~valid].any()
    listed = quarantine_of(store)
    assert summary.quarantined == sum(entry["rows"] for entry in listed)
    assert summary.files_unread == sum(entry["file_row"] is None for entry in listed)
    assert len(listed) == len(entries)
    for entry, (file, file_row, rows, reason, excerpt) in zip(listed, entries, strict=True):
        assert (entry["file"], entry["file_row"], entry["rows"]) == (file, file_row, rows)
        assert entry["reason"].startswith(reason)
        assert entry["excerpt"] == excerpt


@pytest.mark.parametrize(("files", "texts", "entries", "options"), [*ROWS, *FILES])
def test_bad_rows_are_quarantined_and_the_rest_computed(
    submit, tmp_path, files, texts, entries, options
):
    corpus = pf.open_corpus(write(tmp_path / "corpus", files), **options)
    written = [
        (file.encode("utf-8", "backslashreplace").decode(), *rest) for file, *rest in entries
    ]
    check(submit(corpus).result(), tmp_path / "out.zarr", texts, written)
    if not entries:
        return
    file, row, *_ = written[0]
    where = re.escape(file) + (f", row {row}" if row is not None else ".*")
    with pytest.raises(RowsQuarantined, match=rf"{where}.*\(on_error='raise'\)"):
        submit(corpus, tmp_path / "raised.zarr", on_error="raise").result()


def test_many_kinds_of_bad_rows_in_one_corpus(submit_to_cluster, tmp_path):
    files, texts, entries = {}, [], []
    usual = [p for p in ROWS if not p.values[3]]
    for number, parameters in enumerate(usual):
        inside, more, listed, _ = parameters.values
        files |= {f"{number:02}/{name}": data for name, data in inside.items()}
        texts += more
        entries += [(f"{number:02}/{file}", *rest) for file, *rest in listed]
    corpus = pf.open_corpus(write(tmp_path / "corpus", files))
    check(submit_to_cluster(corpus, shard_rows=8).result(), tmp_path / "out.zarr", texts, entries)


# --- what is refused before anything is written ---------------------------------------------------

REFUSED = [
    case(
        "no-column",
        "in no file",
        {"a.csv": b"inhalt\nz\n", "b.jsonl": b'{"body": "x"}'},
        error=(ColumnNotFound, "no column 'text'; the columns there are: body, inhalt"),
    ),
    case(
        "not-text",
        "numbers in every file",
        {"a.parquet": parquet(text=[1, 2])},
        error=(ColumnNotFound, "column 'text' holds int64, not text"),
    ),
    case(
        "no-rows",
        "not one",
        {"a.csv": b"text\n", "b.jsonl": b"\n\n", "c.parquet": b""},
        error=(CorpusEmpty, r"no rows in 3 file\(s\): a\.csv: no rows; .*c\.parquet: not readable"),
    ),
    case(
        "no-rows",
        "a file of 0 bytes",
        {"a.jsonl.gz": b""},
        error=(CorpusEmpty, r"no rows in 1 file\(s\): a\.jsonl\.gz: no rows"),
    ),
    case(
        "no-files",
        "none of a known format",
        {"a.docx": b"x"},
        error=(CorpusNotFound, r"no corpus file in .*: found a\.docx; known endings are"),
    ),
]


@pytest.mark.parametrize(("files", "texts", "entries", "options"), REFUSED)
def test_an_impossible_run_is_refused_and_writes_nothing(
    submit, tmp_path, files, texts, entries, options
):
    kind, words = options["error"]
    folder = write(tmp_path / "corpus", files)
    for on_error in ("quarantine", "raise"):
        with pytest.raises(kind, match=words):
            submit(pf.open_corpus(folder), on_error=on_error).result()
    assert not (tmp_path / "out.zarr").exists()
    assert (texts, entries) == ((), ())


@pytest.mark.documented("no-files")
@pytest.mark.parametrize("what", ["folder", "folder/*.txt", "nowhere.txt"])
def test_a_missing_corpus_is_an_error_that_names_it(tmp_path, what):
    (tmp_path / "folder").mkdir()
    with pytest.raises(CorpusNotFound, match=re.escape(what)):
        pf.open_corpus(tmp_path / what)


# --- ids ------------------------------------------------------------------------------------------


@pytest.mark.documented("id-kinds")
def test_ids_of_mixed_kinds_become_strings_as_written(submit, tmp_path):
    lines = [
        '{"id": 7}',
        '{"id": "007"}',
        '{"id": {"n": [1]}}',
        '{"id": null}',
        "{}",
        '{"id": "\\u0000"}',
    ]
    records = [{**json.loads(line), "text": str(n)} for n, line in enumerate(lines)]
    files = {
        "a.jsonl": "".join(json.dumps(record) + "\n" for record in records).encode(),
        "b.parquet": parquet(id=[7, None], text=["6", "7"]),
        "c.parquet": parquet(id=["007", "é"], text=["8", "9"]),
        "d.csv": b"id,text\n007,10\n",
    }
    corpus = pf.open_corpus(write(tmp_path / "corpus", files))
    summary = submit(corpus).result()
    check(summary, tmp_path / "out.zarr", [str(n) for n in range(11)], [])
    found = pf.open_results(tmp_path / "out.zarr")
    ids = ["7", "007", '{"n": [1]}', "", "", "\0", "7", "", "007", "é", "007"]
    assert found.id.values.tolist() == ids
    assert np.flatnonzero(~found.id_valid.values).tolist() == [3, 4, 7]
    assert (summary.null_ids, summary.repeated_ids) == (3, 3)


@pytest.mark.documented("id-not-utf-8")
def test_an_unreadable_id_does_not_cost_its_text(submit, tmp_path):
    files = {
        "a.jsonl": b'{"id": "a\\ud800", "text": "0"}\n',
        "b.csv": b"id,text\nb\xff,1\n",
        "c.parquet": parquet(id=raw([b"c\xff", b"d"], pa.string()), text=["2", "3"]),
    }
    summary = submit(pf.open_corpus(write(tmp_path / "corpus", files))).result()
    check(summary, tmp_path / "out.zarr", ["0", "1", "2", "3"], [])
    assert pf.open_results(tmp_path / "out.zarr").id.values.tolist() == ["a?", "b\ufffd", "", "d"]
    assert summary.null_ids == 1


@pytest.mark.documented("id-repeated")
def test_repeated_ids_are_kept_and_counted(submit, tmp_path):
    ids = ["x", "y", "x", None, "x", None]
    data = parquet(id=ids, text=["0", "1", "2", "3", "4", None])
    summary = submit(pf.open_corpus(write(tmp_path / "corpus", {"a.parquet": data}))).result()
    assert (summary.done, summary.repeated_ids, summary.null_ids) == (5, 2, 1)
    ids = pf.open_results(tmp_path / "out.zarr").id.values.tolist()
    assert ids == ["x", "y", "x", "", "x", ""]


@pytest.mark.documented("id-kinds")
def test_ids_keep_their_kind_when_a_store_grows(submit, tmp_path):
    folder = write(tmp_path / "corpus", {"1.parquet": parquet(id=[7], text=["0"])})
    submit(pf.open_corpus(folder)).result()
    write(
        folder,
        {"2.parquet": parquet(id=["x"], text=["1"]), "3.parquet": parquet(id=[8], text=["2"])},
    )
    reason = "column 'id' holds string, and in the results int64"
    summary = submit(pf.open_corpus(folder), extend=True).result()
    check(
        summary,
        tmp_path / "out.zarr",
        ["0", None, "2"],
        [("2.parquet", 0, 1, reason, b"")],
    )
    assert pf.open_results(tmp_path / "out.zarr").id.values.tolist() == [7, 0, 8]


# --- special files --------------------------------------------------------------------------


def pipe(path):
    os.mkfifo(path)


def bound_socket(path):
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path may have only a hundred bytes
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(here)


SPECIAL = {
    "pipe": (pipe, "it is a named pipe, and no file"),
    "socket": (bound_socket, "it is a socket, and no file"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "it is a device, and no file"),
    "dangling link": (
        lambda path: path.symlink_to("nowhere"),
        "it is a link that leads to no file",
    ),
    "link to itself": (
        lambda path: path.symlink_to(path.name),
        "it is a link that leads to no file",
    ),
    "link to a folder": (
        lambda path: path.symlink_to(path.parent),
        "it is a link that leads to no file",
    ),
}


@pytest.mark.documented("no-file")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("format", [None, "document"])
@pytest.mark.parametrize("what", SPECIAL)
def test_special_files_are_listed_and_never_opened(submit, tmp_path, what, format):
    make, reason = SPECIAL[what]
    folder = write(tmp_path / "corpus", {"z.txt": b"good"})
    make(folder / "a.txt")
    summary = submit(pf.open_corpus(folder, format=format)).result()
    entries = [("a.txt", None, 0, f"cannot be opened: {reason}", b"")]
    check(summary, tmp_path / "out.zarr", ["good"], entries)
    if what in ("pipe", "socket", "device"):
        with pytest.raises(CorpusEmpty, match=reason):
            submit(pf.open_corpus(folder / "a.txt"), tmp_path / "alone.zarr").result()


@pytest.mark.documented("link")
def test_links_to_files_are_followed_and_loops_left_out(submit, tmp_path):
    (tmp_path / "blob").write_text("good\n")
    os.utime(tmp_path / "blob", (10**9, 10**9))  # of another time than the link
    folder = write(tmp_path / "corpus", {"b/c.txt": b"there\n"})
    (folder / "a.txt").symlink_to(tmp_path / "blob")
    (folder / "b" / "up").symlink_to(folder)
    corpus = pf.open_corpus(folder)
    assert [Path(name).name for name in corpus.ignored] == ["up"]
    check(submit(corpus).result(), tmp_path / "out.zarr", ["good", "there"], [])
    (tmp_path / "linked").symlink_to(folder / "b")
    assert [file.name for file in pf.open_corpus(tmp_path / "linked").files] == ["c.txt"]


# --- files that change ----------------------------------------------------------------------------


def replaced(path):
    other = path.with_name("other")
    other.write_bytes(path.read_bytes()[::-1])
    other.replace(path)


CHANGES = {
    "vanished": (Path.unlink, "no longer exists"),
    "replaced by one of its size": (replaced, "changed after it was indexed"),
    "grown": (lambda path: path.write_bytes(path.read_bytes() + LINE), "changed after it was inde"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-9]), "changed after it was indexed"),
}


@pytest.mark.documented("changed")
@pytest.mark.parametrize("size", [LINE, LINE * 100_000], ids=["small", "large"])
@pytest.mark.parametrize("when", ["before counting", "before reading"])
@pytest.mark.parametrize("what", CHANGES)
def test_a_file_changed_after_listing_ends_the_run(submit, tmp_path, what, when, size):
    change, words = CHANGES[what]
    folder = write(tmp_path / "corpus", {"a.jsonl": size, "b.jsonl": LINE})
    corpus = pf.open_corpus(folder)
    if when == "before reading":
        assert corpus.index.rows
    time.sleep(0.02)  # a clock that files are dated by may be as coarse as that
    change(folder / "a.jsonl")
    began = time.monotonic()
    with pytest.raises(CorpusChanged, match=rf"a\.jsonl {words}"):
        submit(corpus).result()
    assert time.monotonic() - began < 20  # it is not waited for


@pytest.mark.documented("changed")
@pytest.mark.parametrize("rows", [1000, 200_000], ids=["small", "large"])
def test_a_file_changed_while_it_is_read_is_noticed(tmp_path, monkeypatch, rows):
    """In threads of this process, so that the change comes right after the first read."""
    folder = write(tmp_path / "corpus", {"a.txt": b"before\n" * rows})
    corpus = pf.open_corpus(folder)
    assert corpus.index.rows == rows
    small = corpus.nbytes <= opening.SMALL_BYTES
    holder, name = (LocalFileSystem, "cat_file") if small else (opening.RetryingFile, "_attempt")
    read = getattr(holder, name)

    def changing(*arguments, **options):
        data = read(*arguments, **options)
        time.sleep(0.02)
        (folder / "a.txt").write_bytes(b"beyond\n" * rows)
        return data

    monkeypatch.setattr(holder, name, changing)
    with pf.connect("threads", quiet=True) as threads:
        options = {"client": threads, "progress": False}
        run = pf.submit(pf.default_graph(), corpus, tmp_path / "out.zarr", **options)
        if small:  # it was read at once, and what was read is what was indexed
            assert run.result().done == rows
            with pytest.raises(pf.errors.ResultsMismatch, match=r"a\.txt has changed"):
                pf.submit(pf.default_graph(), pf.open_corpus(folder), tmp_path / "out.zarr")
            return
        with pytest.raises(CorpusChanged, match=r"a\.txt changed after it was indexed"):
            run.result()
    with pytest.warns(pf.errors.ResultsIncomplete):
        assert pf.open_results(tmp_path / "out.zarr").attrs["complete"] == 0


@pytest.mark.documented("damaged-later")
def test_a_run_reads_the_checksum_after_the_last_row(submit, tmp_path):
    path = write(tmp_path / "corpus", {"a.jsonl.gz": PACK[".gz"](NOISE)}) / "a.jsonl.gz"
    corpus = pf.open_corpus(path)
    assert corpus.index.rows == 400
    before, data = path.stat(), path.read_bytes()
    path.write_bytes(data[:-8] + bytes(4) + data[-4:])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(CorpusChanged, match=r"a\.jsonl\.gz was damaged after it was indexed"):
        submit(corpus).result()


# --- permissions and full disks --------------------------------------------------------------


def give_up_powers():
    """Drop the capabilities by which root ignores permissions, for programs started next."""
    for power in REACHES_ALL:
        ctypes.CDLL(None).prctl(NOBODY_KNOWS, power, 0, 0, 0)


def paninifs(*arguments, bound=False, inside=()):
    """Run the command, `bound` by permissions even as root, or `inside` another command."""
    command = [sys.executable, "-c", "from paninifs.engine.cli import main; main()"]
    return subprocess.run(
        [*inside, *command, *map(str, arguments)],
        env={**os.environ, "COLUMNS": "300", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        preexec_fn=give_up_powers if bound and os.geteuid() == 0 else None,
    )


def said(ran):
    return " ".join(ran.stderr.split())


@pytest.mark.documented("file-denied")
@pytest.mark.parametrize("format", [None, "document"])
def test_an_unreadable_file_is_quarantined(tmp_path, format):
    folder = write(tmp_path / "corpus", {"a.txt": b"secret", "b.txt": b"good"})
    (folder / "a.txt").chmod(0)
    more = ["--format", format] if format else []
    ran = paninifs("run", folder, tmp_path / "out.zarr", *more, bound=True)
    assert ran.returncode == 3, said(ran)
    (entry,) = quarantine_of(tmp_path / "out.zarr")
    reason = "cannot be opened: [Errno 13] Permission denied"
    assert entry["reason"].startswith(reason)
    assert (entry["file"], entry["file_row"]) == ("a.txt", 0 if format else None)
    assert pf.open_results(tmp_path / "out.zarr").valid.values.tolist() == [False] * bool(
        format
    ) + [True]


@pytest.mark.documented("folder-denied")
def test_an_unlistable_folder_is_an_error(tmp_path):
    folder = write(tmp_path / "corpus", {"a.txt": b"good", "inner/b.txt": b"secret"})
    (folder / "inner").chmod(0)
    ran = paninifs("run", folder, tmp_path / "out.zarr", bound=True)
    (folder / "inner").chmod(0o700)
    assert ran.returncode == 1
    assert re.search(
        r"failed: listing \S+corpus was refused: permission is denied .*inner", said(ran)
    )
    assert not (tmp_path / "out.zarr").exists()


@pytest.mark.documented("results-denied")
def test_an_unwritable_target_is_refused_at_once(tmp_path):
    write(tmp_path / "corpus", {"a.txt": b"good"})
    (tmp_path / "locked").mkdir(mode=0o500)
    ran = paninifs("run", tmp_path / "corpus", tmp_path / "locked/out.zarr", bound=True)
    assert ran.returncode == 1
    assert re.search(
        r"failed: creating \S+out\.zarr/.* was refused: permission is denied", said(ran)
    )
    assert "Traceback" not in ran.stderr
    assert list((tmp_path / "locked").iterdir()) == []


@pytest.mark.documented("results-taken")
@pytest.mark.parametrize("on_error", ["quarantine", "raise"])
@pytest.mark.parametrize(
    ("there", "results", "error", "words"),
    [
        ("out.zarr", "out.zarr", ResultsMismatch, "is a file; results go into a folder"),
        ("out.zarr/thesis.txt", "out.zarr", ResultsMismatch, r"holds thesis\.txt"),
        ("file", "file/out.zarr", StorageRefused, "a file is where a folder should be"),
        ("out.zarr/dhatu/c", "out.zarr", ResultsMismatch, "is not a results store of this engine"),
    ],
)
def test_a_target_with_other_content_is_left_alone(
    submit, tmp_path, there, results, error, words, on_error
):
    corpus = pf.open_corpus(write(tmp_path / "corpus", {"a.txt": b"good"}))
    write(tmp_path, {there: b"precious"})
    for fresh in (False, True):
        with pytest.raises(error, match=words):
            submit(corpus, tmp_path / results, fresh=fresh, on_error=on_error)
    assert (tmp_path / there).read_bytes() == b"precious"


MANY = [{"id": n, "text": f"text {n}"} for n in range(4096)]


@pytest.fixture(scope="module")
def many(inline, tmp_path_factory):
    """A corpus of 32 shards, and its results without failures."""
    folder = tmp_path_factory.mktemp("many")
    (folder / "many.jsonl").write_text("".join(json.dumps(row) + "\n" for row in MANY))
    options = {"client": inline, "shard_rows": 128, "progress": False}
    corpus = pf.open_corpus(folder / "many.jsonl")
    pf.submit(pf.default_graph(), corpus, folder / "out.zarr", **options).result()
    return folder / "many.jsonl", values(LocalTarget(folder / "out.zarr"))


def values(target):
    return {key: target.get(key) for key in target.sizes() if "/c/" in key}


@pytest.fixture(scope="session")
def mounts():
    """Skip the test if no disk can be mounted here."""
    probe = "mount -t tmpfs none /mnt"
    tried = subprocess.run(["unshare", "-m", "sh", "-c", probe], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"no disk can be mounted: {tried.stderr.decode().strip()}")


@pytest.mark.documented("full")
@pytest.mark.usefixtures("mounts")
def test_a_run_resumes_once_a_full_disk_has_space(many, tmp_path):
    corpus, expected = many
    disk = tmp_path / "disk"
    disk.mkdir()
    program = [sys.executable, "-c", "from paninifs.engine.cli import main; main()"]
    run = shlex.join([*program, "run", str(corpus), f"{disk}/out.zarr", "--shard-rows", "128"])
    script = f"""
        mount -t tmpfs -o size=700k none {disk}
        {run}; echo code $? of $(ls {disk}/out.zarr/_run/done | wc -l)
        find {disk} -name .writing-* | wc -l
        mount -o remount,size=30m {disk}
        {run} > /dev/null; echo code $?
        cp -r {disk}/out.zarr {tmp_path}/out.zarr
    """
    began = time.monotonic()
    ran = subprocess.run(
        ["unshare", "-m", "sh", "-c", script],
        env={**os.environ, "COLUMNS": "300", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    done = re.search(r"^code 1 of (\d+)\n0\ncode 0$", ran.stdout, re.MULTILINE)
    assert done, (ran.stdout, ran.stderr)
    assert 0 < int(done[1]) < 32
    words = r"failed: writing [\d,]+ objects to \S+/disk/out\.zarr was refused: no space is left "
    assert re.search(words + r".*[\d,]+ bytes were to be written, [\d,]+ are free", said(ran))
    assert "Traceback" not in ran.stderr
    assert time.monotonic() - began < 60  # it is not waited for
    assert values(LocalTarget(tmp_path / "out.zarr")) == expected


@pytest.mark.documented("read-only")
@pytest.mark.usefixtures("mounts")
def test_a_read_only_disk_is_refused_at_once(tmp_path):
    write(tmp_path / "corpus", {"a.txt": b"good"})
    (tmp_path / "disk").mkdir()
    script = f'mount -t tmpfs -o ro none {tmp_path}/disk && exec "$@"'
    inside = ["unshare", "-m", "sh", "-c", script, "sh"]
    ran = paninifs("run", tmp_path / "corpus", tmp_path / "disk/out.zarr", inside=inside)
    assert ran.returncode == 1
    assert re.search(r"failed: creating \S+ was refused: the filesystem is read-only", said(ran))
    assert "Traceback" not in ran.stderr


class RefusingTarget(OneByOneTarget):
    """Refuses keys that match a pattern permanently, and logs each refusal."""

    def __init__(self, path, number, match):
        super().__init__(path)
        self.number, self.match = number, match

    def _refuse(self, key):
        if re.search(self.match, key):
            with Path(f"{self.url}.log").open("a") as log:
                log.write(f"{key}\n")
            raise OSError(self.number, os.strerror(self.number))

    def put(self, key, data):
        self._refuse(key)
        super().put(key, data)

    def create(self, key, data):
        self._refuse(key)
        return super().create(key, data)


REFUSALS = {
    "full": (errno.ENOSPC, "no space is left"),
    "quota": (errno.EDQUOT, "the quota is used up"),
    "read-only": (errno.EROFS, "the filesystem is read-only"),
    "results-denied": (errno.EACCES, "permission is denied"),
}


@pytest.mark.parametrize(
    "what", [pytest.param(row, marks=pytest.mark.documented(row)) for row in REFUSALS]
)
def test_a_permanent_error_is_not_retried_and_the_run_resumes(
    submit_to_cluster, many, tmp_path, what
):
    corpus, expected = many
    number, words = REFUSALS[what]
    # From the tenth shard on, as when a disk fills up.
    refusing = RefusingTarget(tmp_path / "out.zarr", number, r"^entropy/c/[123]\d$")
    with pytest.raises(StorageRefused, match=rf"entropy/c/\d\d was refused: {words}") as caught:
        submit_to_cluster(pf.open_corpus(corpus), RetryingTarget(refusing), shard_rows=128).result()
    assert "run again to resume" in str(caught.value)
    asked = Path(f"{refusing.url}.log").read_text().split()
    assert len(asked) == len(set(asked))  # dask does not try again
    done = len(list((tmp_path / "out.zarr/_run/done").iterdir()))
    run = submit_to_cluster(pf.open_corpus(corpus), shard_rows=128)
    assert run.result().done == len(MANY)
    assert run.status().rows_before >= done * 128 > 0
    assert values(LocalTarget(tmp_path / "out.zarr")) == expected


@pytest.mark.parametrize(
    "what", [pytest.param(row, marks=pytest.mark.documented(row)) for row in REFUSALS]
)
def test_submit_raises_the_permanent_errors_of_a_target(submit, many, tmp_path, what):
    corpus, _ = many
    number, words = REFUSALS[what]
    refusing = RetryingTarget(RefusingTarget(tmp_path / "out.zarr", number, ""))
    places = [{"results": refusing}]
    if what not in ("full", "quota"):  # a mirror may have space again once all is computed
        places.append({"mirror": refusing})
    for place in places:
        with pytest.raises(StorageRefused, match=rf"creating .*out\.zarr/.* refused: {words}"):
            submit(pf.open_corpus(corpus), **{"results": tmp_path / "other.zarr", **place})
    assert not (tmp_path / "out.zarr").exists()


@pytest.mark.documented("mirror-full")
def test_a_full_mirror_does_not_harm_the_results(submit_to_cluster, many, tmp_path):
    corpus, expected = many
    full = RetryingTarget(
        RefusingTarget(tmp_path / "mirror.zarr", errno.ENOSPC, r"^entropy/c/\d\d")
    )
    run = submit_to_cluster(pf.open_corpus(corpus), shard_rows=128, mirror=full)
    told = []
    run.events.subscribe(told.append)
    with pytest.raises(StorageRefused, match=r"out\.zarr is complete, but .* no space is left"):
        run.result()
    # Only shards in flight are attempted, and again once all are computed.
    assert len([event for event in told if isinstance(event, Notice)]) <= 2
    assert values(LocalTarget(tmp_path / "out.zarr")) == expected
    submit_to_cluster(
        pf.open_corpus(corpus), shard_rows=128, mirror=tmp_path / "mirror.zarr"
    ).result()
    assert values(LocalTarget(tmp_path / "mirror.zarr")) == expected


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        pytest.param("full", "the quota is used up", marks=pytest.mark.documented("quota")),
        pytest.param(
            "denied", "permission is denied", marks=pytest.mark.documented("results-denied")
        ),
    ],
)
@pytest.mark.parametrize("place", ["gcs", "drive"])
def test_permanent_errors_of_a_service_are_not_retried(
    submit_to_cluster, many, request, place, kind, words
):
    server = request.getfixturevalue(place)
    name = uuid.uuid4().hex
    if place == "gcs":
        server.make_bucket(name)
    results, options = server.url(f"{name}/out.zarr"), {"storage_options": server.storage_options}
    corpus, expected = many
    options["shard_rows"] = 1024
    server.inject(rate=1.0, kinds=[kind], match="^(POST|PUT).*(upload|variance)", after=15)
    began = time.monotonic()
    with pytest.raises(StorageRefused, match=words):
        submit_to_cluster(pf.open_corpus(corpus), results, **options).result()
    assert time.monotonic() - began < 30
    server.reset()
    assert submit_to_cluster(pf.open_corpus(corpus), results, **options).result().done == len(MANY)
    assert len(expected)


# --- the documented table -------------------------------------------------------------------------


def documented():
    """Return the rows of the guide's tables of failures."""
    guide = (DEPLOY / "docs/failures.md").read_text("utf-8")
    tables = guide.partition("\n## The quarantine")[0]  # after it: figures
    rows = [line for line in tables.splitlines() if line.startswith("| ")]
    return [row for row in rows if row != "| problem | outcome |"]


def test_every_documented_failure_has_a_test_and_vice_versa():
    rows = documented()
    names = [re.findall(r"<!-- ([a-z0-9-]+) -->", row) for row in rows]
    assert [row for row, found in zip(rows, names, strict=True) if len(found) != 1] == []
    listed = [name for (name,) in names]
    assert len(listed) == len(set(listed))
    tested = {parameters.id.partition(":")[0] for parameters in [*ROWS, *FILES, *REFUSED]}
    tested |= REFUSALS.keys()
    for path in TESTS.rglob("test_*.py"):
        tested |= set(re.findall(r'mark\.documented\("([a-z0-9-]+)"\)', path.read_text("utf-8")))
    assert set(listed) == tested
