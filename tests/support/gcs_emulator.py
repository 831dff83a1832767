"""An emulated Google Cloud Storage on loopback, for several processes.

It is `gcp-storage-emulator` with additions that the real service has: preconditions and generations
that are enforced, listings in pages, every form of a range, and upload sessions that can be
cancelled and that repeat their final response if it was lost. There is no soft deletion.

Requests are named by their object: an upload is
``POST /upload/storage/v1/b/BUCKET/o/KEY``, a listing ``GET /storage/v1/b/BUCKET/o?prefix=PREFIX``.
"""

from __future__ import annotations

import json
import re
import time
from io import BytesIO
from types import SimpleNamespace
from typing import Any
from urllib.request import Request, urlopen

from loopback import Answer, Asked, Server, Service, parts

OBJECT = re.compile(r"/storage/v1/b/([^/]+)/o/(.+)")
UPLOAD = re.compile(r"/upload/storage/v1/b/([^/]+)/o")
PAGE = 1000


class Emulator(Server):
    """The service as a test uses it; a context manager."""

    def __init__(self) -> None:
        super().__init__(__file__)

    @property
    def storage_options(self) -> dict[str, Any]:
        """The storage options for ``gs://``."""
        return {"token": "anon", "endpoint_url": self.endpoint, "project": "test"}

    def url(self, path: str) -> str:
        """Return the URL of BUCKET/KEY."""
        return f"gs://{path}"

    def make_bucket(self, name: str) -> str:
        """Create an empty bucket; return its name."""
        body = json.dumps({"name": name}).encode()
        headers = {"Content-Type": "application/json"}
        with urlopen(Request(f"{self.endpoint}/storage/v1/b", body, headers)):
            return name


class Gcs(Service):
    """The server process."""

    def __init__(self) -> None:
        from gcp_storage_emulator import server

        server._read_data = _exactly(server._read_data)
        self._storage = _strict_storage()
        self._route = server.Router
        self._finished: dict[str, Answer] = {}  # final responses, by upload session

    def name(self, asked: Asked) -> str:
        name = super().name(asked)
        if UPLOAD.fullmatch(asked.path):
            return f"{name}/{_uploaded(asked)}"
        if asked.path.endswith("/o"):
            return f"{name}?prefix={asked.query.get('prefix', '')}"
        return name

    def answer(self, asked: Asked) -> Answer:
        session = asked.query.get("upload_id", "")
        if session in self._finished:
            return self._finished[session]
        if session and asked.method == "DELETE":
            self._storage.resumable.pop(session, None)
            return Answer(499)
        answer = self._refusal(asked) or self._emulated(asked)
        if session and answer.status == 200:
            self._finished[session] = answer
        return answer

    def _refusal(self, asked: Asked) -> Answer | None:
        """Reject a failed precondition on an object's generation (0 for a missing object)."""
        upload = UPLOAD.fullmatch(asked.path)
        about = OBJECT.search(asked.path)
        if not upload and not about:
            return None
        bucket, key = (upload[1], _uploaded(asked)) if upload else about.groups()
        live = self._storage.objects.get(bucket, {}).get(key, {}).get("generation", "0")
        if asked.query.get("generation", live) != live:
            return Answer.error(404, "notFound")
        if asked.query.get("ifGenerationMatch", live) != live:
            return Answer.error(412, "conditionNotMet")
        return None

    def _emulated(self, asked: Asked) -> Answer:
        headers = {k.lower(): v for k, v in asked.headers.items()}
        span = headers.pop("range", None)
        call = _Call(asked, headers, self._storage)
        self._route(call).handle(asked.method)
        answer = Answer(call.status, call.wfile.getvalue(), call.sent)
        if answer.status != 200 or asked.method != "GET":
            return answer
        if asked.path.endswith("/o"):
            return _page(asked, json.loads(answer.body))
        return answer.part(span) if span else answer


class _Call:
    """A stand-in for `http.server`'s request handler, for the emulator's router."""

    def __init__(self, asked: Asked, headers: dict[str, str], storage: Any) -> None:
        self.path, self.storage = asked.target, storage
        self.headers = _Headers(headers)
        self.rfile, self.wfile = BytesIO(asked.body), BytesIO()
        self.server = SimpleNamespace(server_address=("127.0.0.1", 0))
        self.status, self.sent = 0, dict[str, str]()

    def send_response(self, status: int, _phrase: str) -> None:
        self.status = status

    def send_header(self, key: str, value: str) -> None:
        if key != "Content-Length":
            self.sent[key] = value

    def end_headers(self) -> None:
        """Do nothing: headers are sent with the body."""


class _Headers(dict[str, str]):
    def get(self, key: str, default: str | None = None) -> str | None:
        return super().get(key.lower(), default)


def _uploaded(asked: Asked) -> str:
    """Return the key of an upload: from its query, or else from its first part."""
    if "name" in asked.query:
        return asked.query["name"]
    return json.loads(parts(asked)[0])["name"]


def _exactly(read_data: Any) -> Any:
    """Parse multipart uploads byte by byte: a mail parser drops a final carriage return."""

    def read(call: _Call, query: dict[str, list[str]]) -> Any:
        kind = call.headers.get("Content-Type") or ""
        if not kind.startswith("multipart/related"):
            return read_data(call, query)
        meta, content = parts(Asked("POST", call.path, call.headers, call.rfile.getvalue()))
        return {
            "meta": json.loads(meta),
            "content": content,
            "content-type": "application/octet-stream",
        }

    return read


def _strict_storage() -> Any:
    """Return the emulator's storage, in memory, with generations that only ever grow."""
    from gcp_storage_emulator.storage import Storage

    class Strict(Storage):
        generation = 0

        def create_file(self, bucket, key, content, resource, session=None):
            self.generation = max(self.generation + 1, time.time_ns() // 1000)
            resource["generation"] = str(self.generation)
            resource["id"] = f"{bucket}/{key}/{self.generation}"
            resource["etag"], resource["metageneration"] = f"of-{self.generation}", "1"
            resource.pop("mediaLink")
            super().create_file(bucket, key, content, resource, session)

        def add_to_resumable_upload(self, session, content, total_size=None, expected_start=None):
            """Ignore the bytes that a resent piece repeats."""
            if expected_start is not None:
                known = self.get_resumable_byte_count(session) - expected_start
                content, expected_start = content[max(known, 0) :], expected_start + max(known, 0)
            return super().add_to_resumable_upload(session, content, total_size, expected_start)

        def delete_file(self, bucket, key):
            self._hard_delete_file(bucket, key)

        def _write_config_to_file(self):
            """Do nothing: it would write everything at every write."""

    return Strict(use_memory_fs=True)


def _page(asked: Asked, listing: dict[str, Any]) -> Answer:
    """Cut a listing into pages: `pageToken` is the number of entries listed before."""
    found = [("prefixes", prefix) for prefix in listing["prefixes"]]
    found += [("items", item) for item in listing["items"]]
    first = int(asked.query.get("pageToken", 0))
    last = first + min(int(asked.query.get("maxResults", PAGE)), PAGE)
    page = {"kind": listing["kind"]}
    for kind, one in found[first:last]:
        page.setdefault(kind, []).append(one)
    if last < len(found):
        page["nextPageToken"] = str(last)
    return Answer.of(page)


if __name__ == "__main__":
    import logging

    logging.disable()
    Gcs().run()
