"""A target on Google Drive without a mount: names are not unique, so files are addressed by id.

On a Drive, writing to an existing name creates a second file of that name, and two workers that
create the same folder create two. In this target, a name stands for the oldest file or folder that
has it, and content is replaced by id. A new file gets its id beforehand, so that repeating a
request whose answer was lost does not create a second file.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from io import BytesIO
from typing import Any

from ..filesystems.filesystem import filesystem_of
from ..filesystems.redaction import shown
from ..filesystems.retry import retried
from .one_by_one import put_each
from .safe_keys import confined

_FOLDER = "application/vnd.google-apps.folder"
_BINARY = "application/octet-stream"
_FIELDS = "nextPageToken,files(id,name,size,mimeType,createdTime)"
_PAGE = 1000
_GONE = 404
_TAKEN = 409

File = Mapping[str, Any]


class DriveTarget:
    """A folder of a Drive, opened through fsspec's ``gdrive://``."""

    grouped = False
    """Objects are written one by one."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self._url = url.rstrip("/")
        self._options = dict(options)
        self._reset()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the cache of folders and the lock; each process has its own."""
        return {"_url": self._url, "_options": self._options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the state with an empty cache."""
        self.__dict__.update(state)
        self._reset()

    def _reset(self) -> None:
        self._folders: dict[str, str] = {}  # path below the root folder, to id
        self._making = threading.Lock()

    @property
    def url(self) -> str:
        """The folder's URL, without a password."""
        return shown(self._url)

    @property
    def storage_options(self) -> Mapping[str, Any]:
        """The options given for fsspec."""
        return self._options

    @property
    def slow_to_create(self) -> bool:
        """True: creating a file takes several requests, and a Drive allows a few per second."""
        return True

    def _drive(self) -> tuple[Any, str]:
        # A filesystem for this thread alone, because its client is not thread-safe.
        fs, path = filesystem_of(self._url, self._options)
        return fs, path.strip("/")

    def get(self, key: str) -> bytes | None:
        """Return an object, or None if it does not exist."""
        fs, _ = self._drive()
        found = self._find(fs, key)
        if found is None:
            return None
        if not int(found["size"]):
            return b""
        from googleapiclient.errors import HttpError

        try:
            return bytes(fs.files.get_media(fileId=found["id"], supportsAllDrives=True).execute())
        except HttpError as error:
            if error.resp.status == _GONE:
                return None
            raise

    def put(self, key: str, data: bytes) -> None:
        """Write a whole object."""
        fs, _ = self._drive()
        found = self._find(fs, key)
        if found is None:
            self._upload(fs, key, data)
        else:
            fs.files.update(
                fileId=found["id"], media_body=_media(data), supportsAllDrives=True
            ).execute()

    def put_all(self, *steps: Mapping[str, bytes]) -> None:
        """Write whole objects, each by itself, step by step."""
        put_each(self.put, steps)

    def create(self, key: str, data: bytes) -> bool:
        """Write an object only if it does not exist; of two made at once, the older one stays."""
        fs, _ = self._drive()
        if self._find(fs, key) is not None:
            return False
        made = self._upload(fs, key, data)
        found = self._find(fs, key)
        if found is None or found["id"] == made:
            return True
        fs.files.delete(fileId=made, supportsAllDrives=True).execute()
        return False

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects."""
        from googleapiclient.errors import HttpError

        fs, _ = self._drive()
        for key in [confined(key, self.url) for key in keys]:
            folder, _, name = key.rpartition("/")
            parent = self._folder(fs, folder)
            for found in self._children(fs, parent, name, "!=") if parent else []:
                try:
                    fs.files.delete(fileId=found["id"], supportsAllDrives=True).execute()
                except HttpError as error:
                    if error.resp.status != _GONE:
                        raise

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """List the objects under a folder."""
        fs, _ = self._drive()
        folder = self._folder(fs, confined(prefix, self.url))
        return dict(self._below(fs, folder, prefix)) if folder else {}

    def _below(self, fs: Any, folder: str, path: str) -> Iterator[tuple[str, int]]:
        seen: set[str] = set()
        for file in self._listed(fs, f"'{folder}' in parents"):
            name = f"{path}/{file['name']}".lstrip("/")
            if name in seen:
                continue  # a younger file of the same name
            seen.add(name)
            if file["mimeType"] == _FOLDER:
                yield from self._below(fs, file["id"], name)
            else:
                yield name, int(file["size"])

    def _find(self, fs: Any, key: str) -> File | None:
        folder, _, name = confined(key, self.url).rpartition("/")
        parent = self._folder(fs, folder)
        return self._child(fs, parent, name, "!=") if parent else None

    def _child(self, fs: Any, parent: str, name: str, is_folder: str) -> File | None:
        return next(iter(self._children(fs, parent, name, is_folder)), None)

    def _children(self, fs: Any, parent: str, name: str, is_folder: str) -> list[File]:
        quoted = name.replace("\\", "\\\\").replace("'", "\\'")
        query = f"'{parent}' in parents and name='{quoted}' and mimeType{is_folder}'{_FOLDER}'"
        return self._listed(fs, query)

    @staticmethod
    def _listed(fs: Any, query: str) -> list[File]:
        """Return the files that match a query, the oldest first."""
        found: list[File] = []
        token = None
        while True:
            request = partial(
                fs.files.list,
                q=f"{query} and trashed=false",
                spaces=fs.spaces,
                fields=_FIELDS,
                pageSize=_PAGE,
                pageToken=token,
                **fs._drive_kw(),
            )
            page = retried("listing a Drive", lambda: request().execute())  # noqa: B023 (called in this iteration)
            found += page.get("files", [])
            token = page.get("nextPageToken")
            if token is None:
                return sorted(found, key=lambda file: (file["createdTime"], file["id"]))

    def _folder(self, fs: Any, path: str, *, make: bool = False) -> str | None:
        """Return the id of a folder below the root folder; None if it does not exist."""
        _, root = self._drive()
        whole = f"{root}/{path}".strip("/")
        if whole in self._folders:
            return self._folders[whole]
        parent: str = fs.root_file_id
        for end, part in enumerate(whole.split("/"), 1):
            here = "/".join(whole.split("/")[:end])
            if here not in self._folders:
                found = self._child(fs, parent, part, "=")
                if found is None and make:
                    found = self._made(fs, parent, part)
                if found is None:
                    return None
                self._folders[here] = found["id"]
            parent = self._folders[here]
        return parent

    def _made(self, fs: Any, parent: str, name: str) -> File | None:
        """Make a folder; return the oldest of that name, which may be another worker's."""
        (made,) = fs.files.generateIds(count=1).execute()["ids"]
        body = {"id": made, "name": name, "parents": [parent], "mimeType": _FOLDER}
        _once(name, lambda: fs.files.create(body=body, supportsAllDrives=True))
        found = self._child(fs, parent, name, "=")
        if found is None:  # not listed yet
            return body
        if found["id"] != made:
            fs.files.delete(fileId=made, supportsAllDrives=True).execute()  # nothing is in it yet
        return found

    def _upload(self, fs: Any, key: str, data: bytes) -> str:
        folder, _, name = key.rpartition("/")
        with self._making:  # so that threads of one process do not create a folder twice
            parent = self._folder(fs, folder, make=True)
        made: str
        (made,) = fs.files.generateIds(count=1).execute()["ids"]
        body = {"id": made, "name": name, "parents": [parent]}
        _once(
            key,
            lambda: fs.files.create(body=body, media_body=_media(data), supportsAllDrives=True),
        )
        return made


def _media(data: bytes) -> Any:
    from googleapiclient.http import MediaIoBaseUpload

    return MediaIoBaseUpload(BytesIO(data), _BINARY, chunksize=-1, resumable=bool(data))


def _once(name: str, request: Callable[[], Any]) -> None:
    """Execute a request that creates a file with a given id, so that a retry finds that file.

    The request is built again for each attempt: the client's own retries (``num_retries``) send an
    upload without its content, and wait forever for an answer.
    """
    from googleapiclient.errors import HttpError

    def attempt() -> None:
        try:
            request().execute()
        except HttpError as error:
            if error.resp.status != _TAKEN:
                raise

    retried(f"creating {name}", attempt)
