"""Keys in URLs and storage options open files, and appear nowhere afterwards."""

from __future__ import annotations

import base64
import http.server
import json
import logging
import os
import subprocess
import sys
import threading
import traceback
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from one_by_one import OneByOneTarget
from typer.testing import CliRunner

import paninifs as pf
from paninifs.engine.cli import app
from paninifs.engine.monitoring.display.notes import notes_of
from paninifs.engine.results.overview import overview, status_of
from paninifs.storage.errors import (
    CorpusNotFound,
    PaniniError,
    RunFailed,
    StorageUnreachable,
    UsageError,
)
from paninifs.storage.filesystems.filesystem import filesystem_of
from paninifs.storage.filesystems.retry import retried
from paninifs.storage.targets.remote import FsspecTarget

SIGNATURE, RENEWED, PASSWORD, TOKEN = "sIgNaTuRe0", "rEnEwEd0", "pAsSwOrD0", "tOkEn0123"
SECRETS = (SIGNATURE, RENEWED, PASSWORD, TOKEN)
BASIC = "Basic " + base64.b64encode(f"me:{PASSWORD}".encode()).decode()
FILES = {
    "a.jsonl": b'{"text": "un", "id": "x"}\nnot json\n{"text": null}\n',
    "b.csv": b"id,text\n7,deux\n8\n",
    "torn.parquet": b"PAR1 but no Parquet",
    "c.txt": b"trois\n",
}


class Locked(http.server.BaseHTTPRequestHandler):
    """Serves files to requests with a key, with failures on demand."""

    def do_GET(self):
        url = urlsplit(self.path)
        given = parse_qs(url.query).get("X-Goog-Signature", [None])[0]
        with self.server.lock:
            failing = self.server.failures > 0 and self.command == "GET"
            self.server.failures -= failing
        keys = (BASIC, f"Bearer {TOKEN}")
        if failing:
            self.send_error(503)
        elif given not in self.server.signatures and self.headers["Authorization"] not in keys:
            self.send_error(403)
        elif (data := FILES.get(url.path.strip("/"))) is None:
            self.send_error(404)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("ETag", f'"{len(data)}"')
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *args):
        """Log nothing."""


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Locked) as server:
        server.lock, server.failures = threading.Lock(), 0
        server.signatures = {SIGNATURE, RENEWED}
        threading.Thread(target=server.serve_forever, daemon=True).start()
        server.host = f"127.0.0.1:{server.server_port}"
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def near():
    with pf.connect("threads", threads=2, quiet=True) as client:
        yield client


@pytest.fixture
def said(caplog, capfd):
    """Collect everything logged, printed and handed in; `check` asserts that it has no secret."""
    caplog.set_level(logging.DEBUG, logger="paninifs")

    class Said(list):
        def check(self, *folders):
            self += [record.getMessage() for record in caplog.records]
            self.append(caplog.text)  # tracebacks too
            self.extend(capfd.readouterr())
            every = "\n".join(map(str, self)).encode()
            for folder in folders:
                every += b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())
                every += "\n".join(map(str, folder.rglob("*"))).encode()
            assert [secret for secret in SECRETS if secret.encode() in every] == []
            return every

    return Said()


def signed(server, key=SIGNATURE, userinfo="", names=FILES):
    query = f"?X-Goog-Credential=me%2Fx/y&X-Goog-Signature={key}" if key else ""
    return [f"http://{userinfo}{server.host}/{name}{query}" for name in names]


def run(server, results, client, said, urls=None, failures=0, **options):
    """Run; collect the text of the handle, its events and its displays."""
    corpus = pf.open_corpus(urls or signed(server), **options.pop("corpus", {}))
    events = []
    server.failures = failures
    going = pf.submit(pf.default_graph(), corpus, results, client=client, progress=False, **options)
    going.events.subscribe(events.append)
    summary = going.result()
    said += [repr(corpus), repr(corpus.files), repr(going), repr(events), repr(summary)]
    said += [repr(corpus.index), json.dumps(corpus.index.to_json()), corpus.index.notes]
    said.append(going._repr_html_())
    said += [note for event in events for note in notes_of(event)]
    return summary


@pytest.mark.documented("secrets")
@pytest.mark.parametrize("way", ["signature", "password", "token"])
def test_a_run_reveals_no_secret_of_its_corpus(server, near, said, tmp_path, way):
    urls, corpus = signed(server, None if way != "signature" else SIGNATURE), {}
    if way == "password":
        urls = signed(server, None, f"me:{PASSWORD}@")
    elif way == "token":
        corpus = {"storage_options": {"headers": {"Authorization": f"Bearer {TOKEN}"}}}
    places = out, mirror = tmp_path / "out.zarr", tmp_path / "mirror.zarr"
    summary = run(server, out, near, said, urls, failures=4, corpus=corpus, mirror=mirror)
    assert all((place / "_run/manifest.json").exists() for place in places)
    assert (summary.done, summary.quarantined, summary.files_unread) == (3, 3, 1)
    said += [repr(status_of(out)), repr(overview(out, **corpus)), repr(pf.open_results(out))]
    every = said.check(tmp_path)
    assert b"failed, retrying: ClientResponseError: 503" in every
    assert f"http://{server.host}/a.jsonl".encode() in every


def test_a_url_with_a_new_signature_is_the_same_file(server, near, said, tmp_path):
    run(server, tmp_path / "out.zarr", near, said, signed(server)[:2])
    (tmp_path / "out.zarr/_run/done/00000000.json").unlink()  # as if it had been stopped
    server.signatures = {RENEWED}
    again = run(server, tmp_path / "out.zarr", near, said, signed(server, RENEWED)[:2])
    assert again.done == 2
    grown = run(server, tmp_path / "out.zarr", near, said, signed(server, RENEWED), extend=True)
    assert grown.done == 3
    said.check(tmp_path)


def test_files_that_differ_only_by_a_key_are_refused(server, said):
    urls = [*signed(server, SIGNATURE, names=["c.txt"]), *signed(server, RENEWED, names=["c.txt"])]
    with pytest.raises(
        UsageError, match=r"more than once: http://[\d.:]+/c.txt; the part of a URL after a \?"
    ) as told:
        pf.open_corpus(urls)
    said += traceback.format_exception(told.value)
    said.check()


@pytest.mark.parametrize("status", [403, 404, 503])
def test_errors_and_their_causes_keep_the_secret(server, near, said, tmp_path, monkeypatch, status):
    monkeypatch.setenv("PANINIFS_PATIENCE", "0.1")
    urls = signed(server, SIGNATURE, f"me:{PASSWORD}@", names=["c.txt", "a.jsonl"])
    corpus = pf.open_corpus(urls)
    assert corpus.index.rows == 4
    if status == 503:
        server.failures = 10**9
    elif status == 404:
        monkeypatch.delitem(FILES, "c.txt")
    else:
        server.signatures.clear()
        monkeypatch.setitem(globals(), "BASIC", "no longer")
    for attempt in (
        lambda: pf.open_corpus(urls).index,
        lambda: pf.submit(
            pf.default_graph(), corpus, tmp_path / "out.zarr", client=near, progress=False
        ).result(),
        lambda: list(corpus.frame.text.compute(scheduler="synchronous")),
    ):
        with pytest.raises((PaniniError, OSError)) as raised:
            attempt()
        said += [*traceback.format_exception(raised.value), repr(raised.value)]
    every = said.check(tmp_path)
    assert f"http://{server.host}/c.txt".encode() in every


def test_chained_errors_of_other_libraries_are_redacted():
    def fail():
        try:
            raise ValueError(f"https://me:{PASSWORD}@host/a?sig={SIGNATURE}")
        except ValueError as error:
            raise ConnectionResetError(f"GET https://host/a?sig={SIGNATURE}") from error

    os.environ["PANINIFS_PATIENCE"] = "0"
    try:
        with pytest.raises(StorageUnreachable) as raised:
            retried(f"reading https://host/a?sig={SIGNATURE}", fail)
    finally:
        del os.environ["PANINIFS_PATIENCE"]
    told = "".join(traceback.format_exception(raised.value))
    assert isinstance(raised.value.__cause__, ConnectionResetError)
    assert "GET https://host/a" in told
    assert not any(secret in told for secret in SECRETS)


class Leaky(OneByOneTarget):
    """A user's own target, whose errors contain URLs with secrets."""

    def put(self, key, data):
        if key.startswith("dhatu/c/"):
            raise OSError(f"PUT https://host/{key}?sig={SIGNATURE} was refused")
        super().put(key, data)


def test_errors_of_a_users_target_are_redacted(near, tmp_path):
    (tmp_path / "c.txt").write_text("trois\n")
    corpus = pf.open_corpus(tmp_path / "c.txt")
    going = pf.submit(
        pf.default_graph(), corpus, Leaky(tmp_path / "out.zarr"), client=near, progress=False
    )
    with pytest.raises(RunFailed, match=r"OSError: PUT https://host/\w+/c/[\d/]+ was") as raised:
        going.result()
    # This is the run's error: dask's log on the worker has it as it was raised.
    assert SIGNATURE not in "".join(traceback.format_exception(raised.value))


class Vault(MemoryFileSystem):
    """A filesystem whose URLs contain a user and a password."""

    protocol = "vault"
    store: ClassVar = {}
    pseudo_dirs: ClassVar = [""]

    def __init__(self, *args, token="", **options):
        if token == TOKEN:
            raise ValueError(f"the token {token} is of yesterday")
        super().__init__(*args, **options)

    @classmethod
    def _strip_protocol(cls, path):
        path = path.removeprefix("vault://").rpartition("@")[2]
        return "/" + path.strip("/") if path.strip("/") else ""

    def unstrip_protocol(self, name):
        return f"vault://{name.strip('/')}"


@pytest.fixture
def vault():
    fsspec.register_implementation("vault", Vault, clobber=True)
    Vault.store.clear()
    yield f"vault://me:{PASSWORD}@host/out.zarr"
    Vault.store.clear()


@pytest.mark.parametrize("part", ["results", "mirror"])
def test_the_password_of_the_results_is_not_stored(
    vault, server, near, said, tmp_path, monkeypatch, part
):
    places = {"results": tmp_path / "out.zarr", "mirror": vault}
    if part == "results":
        places = {"results": vault, "mirror": tmp_path / "mirror.zarr"}
    urls = signed(server, names=["c.txt"])
    run(server, places["results"], near, said, urls, mirror=places["mirror"])
    slow = pf.open_results(vault)
    monkeypatch.setattr(FsspecTarget, "slow_to_create", False)  # now as a bucket: by zarr itself
    opened = pf.open_results(vault)
    assert opened.load().identical(slow.load())
    assert opened.encoding["source"] == "vault://host/out.zarr"
    said += [repr(opened), opened._repr_html_(), repr(opened.encoding), repr(status_of(vault))]
    said += [f"{name} {file.getvalue()!r}" for name, file in Vault.store.items()]
    assert b"vault://host/out.zarr" in said.check(tmp_path)


def test_a_refused_option_is_named_without_its_value(vault):
    with pytest.raises(UsageError, match=r"out\.zarr: the token <token> is of") as told:
        filesystem_of(vault, {"token": TOKEN})
    shown = "".join(traceback.format_exception(told.value))
    assert not any(secret in shown for secret in SECRETS)


def test_the_command_line_prints_no_key(server, said, tmp_path):
    def paninifs(*arguments):
        ran = subprocess.run(
            [sys.executable, "-c", "from paninifs.engine.cli import main; main()", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PANINIFS_PATIENCE": "0"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        said.extend([ran.stdout, ran.stderr])
        return ran.returncode

    assert paninifs("run", *signed(server), "out.zarr") == 3
    assert paninifs("show", "out.zarr") == 0  # without its texts: their key is not in the store
    assert paninifs("show", "out.zarr", "--json") == 0
    assert paninifs("verify", "out.zarr") == 1
    assert paninifs("run", f"http://me:{PASSWORD}@{server.host}/none.txt", "out.zarr") == 2
    assert paninifs("status", f"http://me:{PASSWORD}@{server.host}/out.zarr") != 0
    said.check(tmp_path)


def test_the_command_line_prints_no_password_of_a_mirror(vault, said, tmp_path):
    (tmp_path / "c.txt").write_text("trois\n")
    arguments = ["run", str(tmp_path / "c.txt"), str(tmp_path / "out.zarr"), "--mirror", vault]
    ran = CliRunner().invoke(app, arguments)
    assert ran.exit_code == 0, ran.output
    assert "mirrored to vault://host/out.zarr" in ran.output
    again = CliRunner().invoke(app, [*arguments[:2], vault])
    assert again.exit_code == 0, again.output
    said += [ran.output, again.output]
    said.check(tmp_path)


def test_a_missing_signed_url_is_not_a_wildcard(server, said):
    with pytest.raises(CorpusNotFound, match=r"no files found at .*/none\.txt; ") as raised:
        pf.open_corpus(signed(server, names=["none.txt"]))
    said += traceback.format_exception(raised.value)
    said.check()
