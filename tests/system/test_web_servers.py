"""Corpora on web servers: what their answers mean, and servers that serve whole files only."""

import gzip
import http.server
import io
import json
import threading
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import paninifs as pf
from paninifs.storage.corpus.identity import WHOLE_BYTES
from paninifs.storage.filesystems import retry

LINES = b'{"text": "a"}\n{"text": "b"}\n' * 1000
LONG = "".join(json.dumps({"text": f"{n} " * 20_000}) + "\n" for n in range(64)).encode()


def parquet(rows):
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": rows}), sink, compression="none")
    return sink.getvalue()


FILES = {
    "lines.jsonl": LINES,
    "long.jsonl": LONG,
    "long.jsonl.gz": gzip.compress(LONG, 0),
    "long.parquet": parquet([f"{n} " * 20_000 for n in range(64)]),
    "small.parquet": parquet(["a", "b"]),
}


class Server:
    """A web server; `answers` are statuses to give first, `outage` is when and for how long."""

    def __init__(self):
        self.answers, self.ranges, self.head = [], True, True
        self.fails_at, self.fails_for, self.failing_since = None, 0.0, 0.0
        self.requests, self.sent = 0, 0
        self.lock = threading.Lock()

    def status(self):
        with self.lock:
            self.requests += 1
            if self.requests == self.fails_at:
                self.failing_since = time.monotonic()
            if time.monotonic() - self.failing_since < self.fails_for:
                return 503
            return self.answers.pop(0) if self.answers else 200


@pytest.fixture
def server():
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, body):
            data = FILES.get(self.path.partition("?")[0].strip("/"))
            status = state.status() if data else 404
            wanted = self.headers.get("Range")
            if status == 200 and wanted and state.ranges:
                first, last = wanted.removeprefix("bytes=").split("-")
                stop = int(last) + 1 if last else len(data)
                part, status = data[int(first) : stop], 206
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first}-{stop - 1}/{len(data)}")
            else:
                part = data if status == 200 else b""
                self.send_response(status)
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            if body:
                self.wfile.write(part)
                state.sent += len(part)

        def do_GET(self):
            self.answer(True)

        def do_HEAD(self):
            self.answer(False)

        def log_message(self, *args):
            """Keep quiet."""

        def handle(self):
            try:
                super().handle()
            except ConnectionError:  # the client has read enough
                self.close_connection = True

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        state.url = f"http://127.0.0.1:{listening.server_port}"
        yield state
        listening.shutdown()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(retry, "FIRST_WAIT_SECONDS", 0.02)
    monkeypatch.setattr(retry, "LONGEST_WAIT_SECONDS", 0.1)
    monkeypatch.setenv("PANINIFS_PATIENCE", "10")


@pytest.fixture
def texts_of(inline, tmp_path):
    """Return the texts of a corpus whose results were computed."""

    def run(corpus):
        store = tmp_path / "out.zarr"
        options = {"client": inline, "progress": False, "shard_rows": 16}
        pf.submit(pf.default_graph(), corpus, store, **options).result()
        assert pf.verify(store).passed
        return pf.export(store, columns=["text"], progress=False).text.tolist()

    return run


# --- what an answer means -------------------------------------------------------------------------


@pytest.mark.documented("web-status")
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 520])
def test_what_may_pass_is_waited_for(server, status):
    server.answers = [status] * 4
    assert pf.open_corpus(f"{server.url}/lines.jsonl").index.rows == 2000


@pytest.mark.documented("web-status")
@pytest.mark.parametrize(("status", "why"), [(401, "denied"), (403, "denied"), (451, "status 451")])
def test_what_does_not_pass_is_an_error_at_once(server, monkeypatch, status, why):
    monkeypatch.setenv("PANINIFS_PATIENCE", "60")
    server.answers = [status] * 99
    began = time.monotonic()
    with pytest.raises(pf.errors.StorageRefused, match=why):
        pf.open_corpus(f"{server.url}/lines.jsonl?sig=secret")
    assert time.monotonic() - began < 20


@pytest.mark.documented("web-pattern")
@pytest.mark.parametrize("pattern", ["*.jsonl", "l[io]*.jsonl?key=a"])
def test_a_pattern_on_the_web_asks_for_the_files(server, monkeypatch, pattern):
    page = b"".join(b'<a href="%s">a</a>' % name.encode() for name in FILES)
    monkeypatch.setitem(FILES, "", page)
    with pytest.raises(pf.errors.CorpusNotFound, match="on the web, name each file") as error:
        pf.open_corpus(f"{server.url}/{pattern}")
    assert "key" not in str(error.value)
    assert pf.open_corpus(f"{server.url}/lines.jsonl").index.rows == 2000


@pytest.mark.documented("web-status")
def test_a_file_that_is_not_there_is_said_to_be_missing(server):
    with pytest.raises(pf.errors.CorpusNotFound, match=r"no files found at .*absent\.jsonl"):
        pf.open_corpus(f"{server.url}/absent.jsonl")


@pytest.mark.documented("web-status")
@pytest.mark.parametrize("url", ["http://127.0.0.1:9/a.txt", "http://no-such-host.invalid/a.txt"])
def test_no_connection_is_waited_for(monkeypatch, url):
    monkeypatch.setenv("PANINIFS_PATIENCE", "0.3")
    with pytest.raises(pf.errors.StorageUnreachable, match="failed for 0 s"):
        pf.open_corpus(url)


@pytest.mark.soak("waits for servers")
@pytest.mark.documented("web-status")
@pytest.mark.parametrize("name", ["lines.jsonl", "long.jsonl"])
@pytest.mark.parametrize("at", [3, 5, 8])
def test_an_outage_in_the_middle_is_waited_for(server, texts_of, name, at):
    server.fails_at, server.fails_for = at, 0.3
    assert len(texts_of(pf.open_corpus(f"{server.url}/{name}"))) in (64, 2000)
    assert server.requests > at


def test_a_refusal_in_the_middle_is_no_missing_file(server, texts_of):
    corpus = pf.open_corpus(f"{server.url}/long.jsonl")
    assert corpus.index.rows == 64
    server.answers = [403] * 999
    with pytest.raises(pf.errors.StorageRefused, match="permission is denied"):
        texts_of(corpus)


def test_a_file_that_is_removed_in_the_middle_is_named(server, texts_of, monkeypatch):
    corpus = pf.open_corpus(f"{server.url}/long.jsonl")
    assert corpus.index.rows == 64
    monkeypatch.delitem(FILES, "long.jsonl")
    with pytest.raises(pf.errors.CorpusChanged, match=r"long\.jsonl no longer exists"):
        texts_of(corpus)


# --- servers that serve whole files ---------------------------------------------------------------


@pytest.mark.documented("no-ranges")
@pytest.mark.parametrize("name", ["lines.jsonl", "long.jsonl", "long.jsonl.gz", "small.parquet"])
def test_a_server_without_ranges_is_read_from_the_front(server, texts_of, name):
    server.ranges = False
    assert name in ("lines.jsonl", "small.parquet") or len(FILES[name]) > WHOLE_BYTES
    texts = texts_of(pf.open_corpus(f"{server.url}/{name}"))
    long = [f"{n} " * 20_000 for n in range(64)]
    assert texts == {"lines.jsonl": ["a", "b"] * 1000, "small.parquet": ["a", "b"]}.get(name, long)


@pytest.mark.documented("no-ranges")
def test_what_needs_parts_of_files_says_so(server):
    server.ranges = False
    with pytest.raises(pf.errors.UsageError, match=r"range requests\), which parquet needs; downl"):
        _ = pf.open_corpus(f"{server.url}/long.parquet").index


def test_large_files_are_digested_by_small_requests(server):
    index = pf.open_corpus(f"{server.url}/long.parquet").index
    assert index.files[0].file.digest.startswith("blocks:")
    assert server.sent < 1.5 * WHOLE_BYTES + len(FILES["long.parquet"])


@pytest.mark.documented("moved")
def test_a_corpus_is_the_same_after_its_download(server, inline, tmp_path):
    options = {"client": inline, "progress": False, "shard_rows": 16}
    urls = [f"{server.url}/{name}" for name in ("lines.jsonl", "long.jsonl")]
    store = tmp_path / "out.zarr"
    summary = pf.submit(pf.default_graph(), pf.open_corpus(urls), store, **options).result()
    for name in ("lines.jsonl", "long.jsonl"):
        (tmp_path / name).write_bytes(FILES[name])
    corpus = pf.open_corpus(str(tmp_path / "*.jsonl"))
    assert pf.submit(pf.default_graph(), corpus, store, **options).result() == summary
    assert pf.verify(store).passed
