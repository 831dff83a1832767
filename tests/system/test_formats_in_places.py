"""The table of deploy/docs/storage.md: every format is read from every location, one by one."""

import http.server
import json
import re
import threading
import uuid

import pyarrow as pa
import pytest
from flaky_mount import FlakyMount
from packed import PACK
from paths import DEPLOY, REPOSITORY

import paninifs as pf
from paninifs.storage.formats.registry import FORMATS
from paninifs.storage.targets.open import open_target

pytestmark = pytest.mark.slow("runs in three kinds of places, half a second each")

PLACES = ["local", "mount", "gs", "gdrive", "http"]


def parquet(rows):
    sink = pa.BufferOutputStream()
    pa.parquet.write_table(pa.Table.from_pylist(rows), sink, row_group_size=30)
    return sink.getvalue().to_pybytes()


def delimited(rows, mark):
    return f"id{mark}text\n" + "".join(f'{r["id"]}{mark}"{r["text"]}"\n' for r in rows)


MAKE = {
    "parquet": parquet,
    "jsonl": lambda rows: "".join(json.dumps(row) + "\n" for row in rows).encode(),
    "csv": lambda rows: delimited(rows, ",").encode(),
    "tsv": lambda rows: delimited(rows, "\t").encode(),
    "text": lambda rows: "".join(row["text"] + "\n" for row in rows).encode(),
    "document": lambda rows: "\n".join(row["text"] for row in rows).encode(),
}
ENDING = {"parquet": ".parquet", "jsonl": ".jsonl", "csv": ".csv", "tsv": ".tsv"}


@pytest.fixture(params=PLACES)
def place(request, tmp_path):
    """Where to write a file, the URL to read it from, and what fsspec has to be told."""
    name = uuid.uuid4().hex
    if request.param == "local":
        yield open_target(tmp_path / "here"), str(tmp_path / "here"), {}
    elif request.param == "mount":
        (tmp_path / "drive").mkdir()
        mount = FlakyMount(str(tmp_path / "drive"), str(tmp_path / "log"), rate=0.05, kinds=["eio"])
        url, options = f"flaky://{tmp_path}/drive/here", {"mount": mount}
        yield open_target(url, options), url, options
    elif request.param == "gs":
        gcs = request.getfixturevalue(request.param)
        url, options = f"gs://{gcs.make_bucket(name)}/here", gcs.storage_options
        yield open_target(url, options), url, options
    elif request.param == "gdrive":
        drive = request.getfixturevalue(request.param)
        url, options = f"gdrive://{name}/here", drive.storage_options
        yield open_target(url, options), url, options
    else:
        gcs = request.getfixturevalue(request.param)
        bucket = gcs.make_bucket(name)
        target = open_target(f"gs://{bucket}/here", gcs.storage_options)
        yield target, f"{gcs.endpoint}/{bucket}/here", {}


def test_the_formats_and_places_here_are_all_there_are():
    assert set(MAKE) == set(FORMATS)
    guide = (DEPLOY / "docs/storage.md").read_text("utf-8")
    section = guide.split("## Where corpora and results live")[1].split("\n\n")[1]
    rows = [line.split("|")[1] for line in section.splitlines()[2:]]
    found = [re.search("`(.*)`", row)[1] for row in rows]
    assert [example.split(":")[0] for example in found] == [
        "/data/x",
        "/content/drive/MyDrive/x",
        "gs",
        "gdrive",
        "https",
    ]
    assert len(found) == len(PLACES)


def test_documented_formats_and_endings():
    guide = (DEPLOY / "docs/formats.md").read_text("utf-8")
    rows = guide.split("## File formats")[1].split("\n\n")[1].splitlines()[2:]
    endings = [set(re.findall(r"`(\.\w+)`", row.split("|")[2])) for row in rows]
    kinds = [{"parquet"}, {"jsonl"}, {"csv", "tsv"}, {"text"}, {"document"}]
    assert set.union(*kinds) == set(FORMATS)
    for found, names in zip(endings, kinds, strict=True):
        assert found == {ending for name in names for ending in FORMATS[name].endings}


def test_short_table_in_the_readme():
    readme = (REPOSITORY / "README.md").read_text("utf-8")
    formats, corpora, results = (
        readme.split("## What it reads, and where")[1].split("\n\n")[1].splitlines()[2:]
    )
    kinds = ["Parquet", "JSON Lines", "CSV", "TSV", "plain text", "documents"]
    assert [kind for kind in kinds if kind not in formats] == []
    assert len(kinds) == len(FORMATS)
    places = ["local disk", "mounted Google Drive", "`gs://`", "`gdrive://`", "`https://`"]
    assert [place for place in places if place not in corpora] == []
    assert len(places) == len(PLACES)
    assert "except `https://`" in results


@pytest.mark.parametrize("format", MAKE)
def test_a_format_is_read_from_a_place(place, format, glosses):
    target, url, options = place
    rows = [row for row in glosses if '"' not in row["text"]][:100]
    packs = [""] if format == "parquet" else PACK
    names = [f"a{ENDING.get(format, '.txt')}{ending}" for ending in packs]
    for name, pack in zip(names, packs, strict=True):
        target.put(name, PACK[pack](MAKE[format](rows)))
    given = [f"{url}/{name}" for name in names]
    corpus = pf.open_corpus(given, format=format, storage_options=options)
    texts = corpus.frame.text.compute(scheduler="synchronous").tolist()
    expected = [row["text"] for row in rows]
    if format == "document":
        expected = ["\n".join(expected)]
    assert texts == expected * len(names)


def test_a_folder_and_a_glob(place, glosses):
    target, url, options = place
    if url.startswith("http"):
        return  # a web server has neither
    for name in ("a.jsonl", "deep/b.jsonl", "c.notes"):
        target.put(name, MAKE["jsonl"](glosses[:10]))
    assert pf.open_corpus(url, storage_options=options).index.rows == 20
    assert pf.open_corpus(f"{url}/*.jsonl", storage_options=options).index.rows == 10
    assert pf.open_corpus(f"{url}/**/*.jsonl", storage_options=options).index.rows == 20
    with pytest.raises(pf.errors.CorpusNotFound, match="absent"):
        pf.open_corpus(f"{url}/absent", storage_options=options)


def test_a_server_that_reports_no_file_size_is_refused():
    class Unmeasured(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"a\n")

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *args):
            """Keep quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Unmeasured) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(pf.errors.UsageError, match="does not report the size; download"):
            pf.open_corpus(f"http://127.0.0.1:{server.server_port}/a.txt")
        server.shutdown()
