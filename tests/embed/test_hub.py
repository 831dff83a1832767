"""Models from a hub, which a server on loopback stands in for."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest

import paninifs as pf

pytestmark = pytest.mark.slow("loads a model")
COMMIT, NEWER = "a" * 40, "b" * 40

CODE = """
import sys
import paninifs as pf
block = pf.embedding("maker/tiny", engine="torch", revision=sys.argv[1])
vectors, _ = block(["a text", "another"])
print(block.params["settings"]["revision"], vectors.tobytes().hex())
"""


class Handler(BaseHTTPRequestHandler):
    """Answers what `huggingface_hub` asks about two revisions of one model."""

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, *, body):
        hub = self.server.hub
        asked = re.match(
            r"/(api/models/)?maker/tiny/(revision|tree|resolve)/(\w+)/?(.*)", self.path
        )
        what, commit, name = asked.groups()[1:]
        if what == "revision":
            commit = {"main": NEWER, "old": COMMIT}.get(commit, commit)
            listed = [{"rfilename": one} for one in hub.files]
            content = {"id": "maker/tiny", "sha": commit, "siblings": listed}
        elif what == "tree":
            content = [
                {"type": "file", "path": one, "size": len(of), "oid": "0" * 40}
                for one, of in hub.files.items()
            ]
        elif hub.broken or name not in hub.files:
            return self.send_error(503 if hub.broken else 404)
        else:
            content = hub.files[name]
            hub.fetched += [name] * body
        return self._send(content, commit, body)

    def _send(self, content, commit, body):
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", commit)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_):
        pass


class Hub:
    """A hub with the files of a folder as a model."""

    def __init__(self, folder):
        self.files = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
        self.files["tiny.h5"] = b"weights of another library"
        self.fetched, self.broken = [], False
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.hub = self
        Thread(target=self.server.serve_forever, daemon=True).start()

    def embed(self, cache, revision=""):
        """Return the ended process that embeds by the model."""
        address = f"http://127.0.0.1:{self.server.server_port}"
        environment = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(cache)}
        environment.pop("HF_HUB_OFFLINE", None)
        return subprocess.run(
            [sys.executable, "-P", "-c", CODE, revision],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def hub(tiny):
    made = Hub(tiny("bert"))
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_model_is_downloaded_once_and_its_revision_recorded(hub, tiny, tmp_path):
    vectors, _ = pf.embedding(tiny("bert"), engine="torch")(["a text", "another"])
    for revision, commit in [("", NEWER), ("", NEWER), ("old", COMMIT)]:
        ran = hub.embed(tmp_path, revision)
        assert ran.returncode == 0, ran.stderr
        found, content = ran.stdout.split()[-2:]
        assert found == commit
        assert np.array_equal(np.frombuffer(bytes.fromhex(content), "f4"), vectors.ravel())
    assert hub.fetched.count("model.safetensors") <= 2  # once per revision, at most
    assert "tiny.h5" not in hub.fetched


def test_a_download_that_fails_says_so_and_can_be_repeated(hub, tmp_path):
    hub.broken = True
    ran = hub.embed(tmp_path)
    assert ran.returncode == 1
    assert "model 'maker/tiny' cannot be fetched from the hub: " in ran.stderr.splitlines()[-1]
    hub.broken = False
    assert hub.embed(tmp_path).returncode == 0
