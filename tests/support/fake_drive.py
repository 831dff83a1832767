"""A fake Google Drive on loopback, for several processes that use `gdrive_fsspec`.

The server keeps files as Drive does: by id, with names that need not be unique in a folder. It
implements the methods of files (list, get, generateIds, create, update, delete, contents in
ranges) and uploads of every kind. Like the real Drive it returns only the requested fields, accepts
pieces of an upload (except the last) only in multiples of 256 KiB, repeats the final response of a
finished upload, and refuses to create an id twice.

An `Account` points to the server. It is passed in the storage options as ``creds``, which
``token="anon"`` does not read. In a process that creates or unpickles an account, `gdrive_fsspec`
connects to this Drive, so workers need no configuration. The client is Google's own, with another
host.

Requests are named by paths, not ids: ``GET /drive/v3/files?in=FOLDER``, ``PUT
/upload/drive/v3/files/FOLDER/NAME``.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from loopback import Answer, Asked, Server, Service, parts

GOOGLE = "https://www.googleapis.com"
FOLDER = "application/vnd.google-apps.folder"
FILES, UPLOADS = "/drive/v3/files", "/upload/drive/v3/files"
ROOT = "0AroOtOfTheDrive"
PIECE = 256 << 10
DEFAULT_FIELDS = "kind,id,name,mimeType"


# --- the test's side ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Account:
    """Points a process to the Drive at an address."""

    endpoint: str

    def __post_init__(self) -> None:
        import gdrive_fsspec.core

        gdrive_fsspec.core.build = partial(_build, self.endpoint)

    def __reduce__(self) -> tuple[type[Account], tuple[str]]:
        return Account, (self.endpoint,)


def _build(endpoint: str, *arguments: Any, credentials: object, **options: Any) -> Any:
    """Stand in for `googleapiclient.discovery.build`: the same client, with another host."""
    from googleapiclient.discovery import build
    from googleapiclient.http import build_http

    http = build_http()
    request = http.request
    http.request = lambda url, *a, **k: request(url.replace(GOOGLE, endpoint), *a, **k)
    return build(*arguments, http=http, **options)


class Drive(Server):
    """The server as a test uses it; a context manager."""

    def __init__(self) -> None:
        super().__init__(__file__)

    @property
    def storage_options(self) -> dict[str, Any]:
        """The storage options for ``gdrive://``."""
        return {"token": "anon", "creds": Account(self.endpoint)}

    def url(self, path: str) -> str:
        """Return the URL of a path."""
        return f"gdrive://{path}"


# --- the server's side --------------------------------------------------------------------------


class Refused(Exception):
    """An error response."""

    def __init__(self, status: int, reason: str, message: str = "") -> None:
        self.answer = Answer.error(status, reason, message)


class Files:
    """The content of the Drive: resources by id, and their data."""

    def __init__(self) -> None:
        self.resources: dict[str, dict[str, Any]] = {}
        self.contents: dict[str, bytes] = {}
        self._now = datetime.now(UTC)
        self.save({"id": ROOT, "name": "My Drive", "mimeType": FOLDER}, None)

    def save(self, meta: dict[str, Any], content: bytes | None) -> dict[str, Any]:
        """Create a file, or update the one with that id."""
        self._now = max(datetime.now(UTC), self._now + timedelta(milliseconds=1))
        now = self._now.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        key = meta.get("id") or uuid.uuid4().hex
        if (parents := meta.get("parents")) is not None:
            meta["parents"] = [self.one(parent)["id"] for parent in parents]
        new = {"kind": "drive#file", "id": key, "trashed": False, "version": "0"}
        new |= {"name": "Untitled", "mimeType": "application/octet-stream", "createdTime": now}
        new |= {"parents": [ROOT] if self.resources else []}
        file = self.resources.setdefault(key, new)
        file |= {**meta, "modifiedTime": now, "version": str(int(file["version"]) + 1)}
        if content is not None:
            digest = hashlib.md5(content).hexdigest()
            file |= {"size": str(len(content)), "md5Checksum": digest, "headRevisionId": now}
            self.contents[key] = content
        return file

    def one(self, key: str) -> dict[str, Any]:
        """Return the resource of an id, or of ``root``."""
        key = ROOT if key == "root" else key
        if key not in self.resources:
            raise Refused(404, "notFound", f"File not found: {key}.")
        return self.resources[key]

    def is_trashed(self, file: dict[str, Any]) -> bool:
        """Whether a file, or a folder above it, is in the bin."""
        return file["trashed"] or any(self.is_trashed(self.one(p)) for p in file["parents"])

    def remove(self, key: str) -> None:
        """Delete a file permanently, with everything in it."""
        for child in [k for k, file in self.resources.items() if key in file["parents"]]:
            self.remove(child)
        self.resources.pop(key, None)
        self.contents.pop(key, None)

    def path(self, key: str) -> str:
        """Return the path of an id, or the id itself if it is unknown."""
        key = ROOT if key == "root" else key
        if key not in self.resources or key == ROOT:
            return "" if key == ROOT else key
        file = self.resources[key]
        above = self.path(file["parents"][0])
        return f"{above}/{file['name']}" if above else file["name"]


TERMS = {
    r"'([^']+)' in parents": lambda files, f, key: files.one(key)["id"] in f["parents"],
    r"trashed *= *(true|false)": lambda files, f, yes: files.is_trashed(f) == (yes == "true"),
    r"name *= *'((?:\\.|[^'\\])*)'": lambda files, f, text: f["name"] == text,
    r"mimeType *= *'([^']*)'": lambda files, f, text: f["mimeType"] == text,
    r"mimeType *!= *'([^']*)'": lambda files, f, text: f["mimeType"] != text,
}
"""Search terms: the pattern of each, and the condition that it expresses."""


class Search:
    """The terms of a ``q`` parameter, all of which must hold."""

    def __init__(self, query: str) -> None:
        self._terms = []
        while query := query.strip():
            holds, found = next(
                ((h, m) for term, h in TERMS.items() if (m := re.match(term, query))),
                (None, None),
            )
            if found is None:
                raise Refused(400, "invalid", f"Invalid Value: {query}")
            self._terms.append((holds, re.sub(r"\\(.)", r"\1", found[1])))
            query = query[found.end() :].strip().removeprefix("and ")

    def among(self, files: Files) -> list[dict[str, Any]]:
        """Return the matching files."""
        return [
            file
            for file in files.resources.values()
            if file["id"] != ROOT and all(holds(files, file, x) for holds, x in self._terms)
        ]


@dataclass
class Upload:
    """An upload session: the future resource, and the data received."""

    meta: dict[str, Any]
    received: bytes = b""
    file: dict[str, Any] | None = None  # once the upload is finished

    def take(self, span: str, piece: bytes) -> bool:
        """Receive a piece; return whether it was the last."""
        first, _, total = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", span).groups()
        start = len(self.received) if first is None else int(first)
        if start > len(self.received):
            raise Refused(400, "badContent", f"{len(self.received)} bytes were received")
        piece = piece[len(self.received) - start :]
        last = total != "*" and len(self.received) + len(piece) == int(total)
        self.received += piece if last else piece[: len(piece) // PIECE * PIECE]
        return last


class FakeDrive(Service):
    """The server process."""

    def __init__(self) -> None:
        self._files = Files()
        self._uploads: dict[str, Upload] = {}

    def name(self, asked: Asked) -> str:
        method, path, query = asked.method, asked.path, asked.query
        if found := re.fullmatch(f"{FILES}/(.+)", path):
            return f"{method} {FILES}/{self._files.path(found[1])}"
        if "q" in query:
            folder = re.search("'([^']+)' in parents", query["q"])
            return f"{method} {path}?in={self._files.path(folder[1]) if folder else ''}"
        if path not in (FILES, UPLOADS):
            return f"{method} {path}"
        session = self._uploads.get(query.get("upload_id", ""))
        meta = session.meta if session else self._meta(asked)
        parent = self._files.path((meta.get("parents") or [ROOT])[0])
        return f"{method} {path}/{f'{parent}/' if parent else ''}{meta.get('name', '')}"

    def answer(self, asked: Asked) -> Answer:
        try:
            if asked.path.startswith(UPLOADS):
                return self._upload(asked)
            if asked.path == FILES:
                return self._list(asked) if asked.method == "GET" else self._create(asked)
            if asked.path == f"{FILES}/generateIds":
                ids = [uuid.uuid4().hex for _ in range(int(asked.query.get("count", 10)))]
                return Answer.of({"kind": "drive#generatedIds", "ids": ids})
            return self._file(asked)
        except Refused as refused:
            return refused.answer

    def _list(self, asked: Asked) -> Answer:
        query = asked.query
        found = Search(query.get("q", "")).among(self._files)
        if order := query.get("orderBy"):
            key, _, down = order.partition(",")[0].partition(" ")
            found.sort(key=lambda file: file[key], reverse=down == "desc")
        first = int(query.get("pageToken", 0))
        last = first + min(int(query.get("pageSize", 100)), 1000)
        wanted = re.search(r"files\((.*)\)", query.get("fields", ""))
        fields = wanted[1] if wanted else DEFAULT_FIELDS
        page = {"kind": "drive#fileList", "files": [_only(f, fields) for f in found[first:last]]}
        if last < len(found):
            page["nextPageToken"] = str(last)
        return Answer.of(page)

    def _create(self, asked: Asked) -> Answer:
        meta = json.loads(asked.body)
        folder = meta.get("mimeType") == FOLDER
        return _sent(asked, self._save(meta, None if folder else b""))

    def _file(self, asked: Asked) -> Answer:
        file = self._files.one(asked.path.removeprefix(f"{FILES}/"))
        if asked.method == "DELETE":
            self._files.remove(file["id"])
            return Answer(204)
        if asked.method == "PATCH":
            meta = json.loads(asked.body or b"{}")
            left, entered = (asked.query.get(f"{verb}Parents") for verb in ("remove", "add"))
            if left or entered:
                kept = [p for p in file["parents"] if p not in (left or "").split(",")]
                meta["parents"] = [*kept, *(entered.split(",") if entered else [])]
            return _sent(asked, self._files.save(meta | {"id": file["id"]}, None))
        if asked.query.get("alt") != "media":
            return _sent(asked, file)
        if file["id"] not in self._files.contents:
            raise Refused(403, "fileNotDownloadable")
        whole = Answer(200, self._files.contents[file["id"]], {"Content-Type": file["mimeType"]})
        span = asked.headers.get("Range")
        return whole.part(span) if span else whole

    def _upload(self, asked: Asked) -> Answer:
        key, kind = asked.query.get("upload_id"), asked.query.get("uploadType")
        if key is not None:
            return self._piece(asked, key)
        meta = self._meta(asked)
        if kind == "resumable":
            key = uuid.uuid4().hex
            self._uploads[key] = Upload(meta)
            where = f"{GOOGLE}{asked.path}?uploadType=resumable&upload_id={key}"
            return Answer(200, headers={"Location": where})
        content = parts(asked)[1] if kind == "multipart" else asked.body
        return _sent(asked, self._save(meta, content))

    def _piece(self, asked: Asked, key: str) -> Answer:
        session = self._uploads.get(key)
        if session is None:
            raise Refused(404, "notFound")
        if asked.method == "DELETE":
            del self._uploads[key]
            return Answer(499)
        if session.file is None:
            if session.take(asked.headers.get("Content-Range", "bytes */*"), asked.body):
                session.file = self._save(session.meta, session.received)
            else:
                end = len(session.received) - 1
                return Answer(308, headers={"Range": f"bytes=0-{end}"} if end >= 0 else {})
        return _sent(asked, session.file)

    def _meta(self, asked: Asked) -> dict[str, Any]:
        """Return the metadata of an upload or creation, with the id from its path."""
        kind, body = asked.query.get("uploadType"), asked.body
        text = {"multipart": lambda: parts(asked)[0], "media": lambda: b""}.get(kind, lambda: body)
        meta = json.loads(text() or b"{}")
        old = asked.path.removeprefix(UPLOADS).strip("/") if kind else ""
        return meta | {"id": old, "changes": True} if old else meta

    def _save(self, meta: dict[str, Any], content: bytes | None) -> dict[str, Any]:
        meta = dict(meta)
        if meta.pop("changes", False):
            self._files.one(meta["id"])
        elif meta.get("id") in self._files.resources:
            why = "A file already exists with the provided ID."
            raise Refused(409, "fileIdInUse", why)
        return self._files.save(meta, content)


def _sent(asked: Asked, file: dict[str, Any]) -> Answer:
    return Answer.of(_only(file, asked.query.get("fields", DEFAULT_FIELDS)))


def _only(file: dict[str, Any], fields: str) -> dict[str, Any]:
    names = [name.strip() for name in fields.split(",")]
    return file if "*" in names else {name: file[name] for name in names if name in file}


if __name__ == "__main__":
    FakeDrive().run()
