"""Walks a folder of any filesystem in a fixed order, one folder at a time.

Files are sorted by the parts of their paths, so that a walk can begin after any of them. Local
links are resolved, and followed to files inside the folder only.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .....storage import COLLECTION_FOLDER
from .....storage.errors import CorpusNotFound
from .....storage.filesystems.filesystem import (
    LOCAL,
    consistent_listings,
    filesystem_of,
    forget_listings,
    info_of,
    protocols_of,
)
from .....storage.filesystems.redaction import shown
from .....storage.filesystems.retry import permanent_errors, retried

DEPTH = 64
"""Maximum depth of subfolders that are entered."""


_OURS = {COLLECTION_FOLDER, "zarr.json"}
"""Names in folders that are not documents: collected corpora, and stores of results."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A file in a folder, or something there that cannot be read as one."""

    parts: tuple[str, ...]
    """Its path relative to the folder."""
    path: str
    """Its path or URL, for fsspec."""
    size: int = 0
    """Bytes."""
    modified: str = ""
    """Time of its last change, ISO 8601 in UTC; empty if unknown."""
    etag: str = ""
    problem: tuple[str, str] | None = None
    """A reason of `outcome.REASONS` and a detail, if it is not to be opened."""

    @property
    def relative(self) -> str:
        """Its path relative to the folder, with slashes."""
        return "/".join(self.parts)


def walk(url: str, after: tuple[str, ...] = ()) -> Iterator[Found]:
    """Yield the files of a folder and its subfolders that are not hidden, or one file.

    Subfolders that hold a collected corpus or results are left out, too.

    Parameters
    ----------
    after
        Parts of the path at which to begin; that file is yielded too, if it is there.

    Raises
    ------
    CorpusNotFound
        The folder or file does not exist.
    StorageRefused
        The folder may not be listed. A subfolder that may not be is yielded with that problem.
    """
    fs, path = filesystem_of(url)
    with permanent_errors(f"listing {shown(url)}"):
        try:
            info = retried(f"looking up {shown(url)}", lambda: info_of(fs, path))
        except FileNotFoundError:
            raise CorpusNotFound(f"{shown(url)}: no such folder or file") from None
        local = bool(protocols_of(fs) & LOCAL)
        if info["type"] == "directory":
            yield from _walk(_Local(path) if local else _Remote(fs, path), (), after)
            return
        folder, _, name = path.rstrip("/").rpartition("/")
        alone = _Local(folder or "/").found((name,)) if local else _described(fs, info, (name,))
        if alone and alone.parts >= after:
            yield alone


def split_glob(url: str) -> tuple[str, str]:
    """Return the folder of a path with wildcards and the glob in it; no glob if it is a name.

    >>> split_glob("memory://a/**/*.pdf"), split_glob("crawl-*.warc.gz"), split_glob("a/b")
    (('memory://a', '**/*.pdf'), ('.', 'crawl-*.warc.gz'), ('a/b', ''))
    """
    magic = re.search(r"[*?\[]", url)
    if magic is None or exists(url):
        return url, ""
    folder = url[: magic.start()].rpartition("/")[0]
    pattern = url[len(folder) :].lstrip("/")
    return folder or ("/" if url.startswith("/") else "."), pattern


def plain_path(path: str | os.PathLike[str]) -> str:
    """Return a local path as a setting of a source: the same however it is written.

    >>> plain_path("./letters/"), plain_path("gs://bucket/letters/")
    ('letters', 'gs://bucket/letters/')
    """
    text = os.fspath(path)
    return text if "://" in text else os.path.normpath(os.path.expanduser(text))  # noqa: PTH111


def exists(url: str) -> bool:
    """Return whether a path or URL names a file or folder."""
    fs, path = filesystem_of(url)
    try:
        retried(f"looking up {shown(url)}", lambda: info_of(fs, path))
    except FileNotFoundError:
        return False
    return True


def _walk(
    walker: _Local | _Remote, folder: tuple[str, ...], after: tuple[str, ...]
) -> Iterator[Found]:
    try:
        names = walker.names(folder)
    except (PermissionError, FileNotFoundError, NotADirectoryError) as error:
        if not folder:
            raise
        reason = "forbidden" if isinstance(error, PermissionError) else "not-found"
        yield Found(parts=folder, path="", problem=(reason, "the folder cannot be listed"))
        return
    if folder and not _OURS.isdisjoint(names):
        return
    for name in names:
        if name.startswith(".") or (after and name < after[0]):
            continue
        below = after[1:] if after and name == after[0] else ()
        parts = (*folder, name)
        if not walker.is_folder(parts):
            found = walker.found(parts)
            if found:
                yield found
        elif len(parts) > DEPTH:
            yield Found(parts=parts, path="", problem=("too-deep", f"{DEPTH} levels of folders"))
        else:
            yield from _walk(walker, parts, below)


class _Local:
    """Lists local folders by name, and looks files up one by one."""

    def __init__(self, root: str) -> None:
        self._root = Path(root)
        self._real = Path(os.path.realpath(root))

    def names(self, folder: tuple[str, ...]) -> list[str]:
        return sorted(os.listdir(self._root.joinpath(*folder)))  # noqa: PTH208 (names only)

    def is_folder(self, parts: tuple[str, ...]) -> bool:
        path = self._root.joinpath(*parts)
        return os.path.isdir(path) and not os.path.islink(path)  # noqa: PTH112, PTH114 (no errors)

    def found(self, parts: tuple[str, ...]) -> Found | None:
        path = self._root.joinpath(*parts)
        problem = None
        if os.path.islink(path):  # noqa: PTH114 (no errors)
            target = Path(os.path.realpath(path))
            if not target.is_relative_to(self._real):
                problem = "unsafe-path", "a link out of the folder"
            elif target.is_dir():
                return None  # its files are listed under their own folder
        if problem is None:
            try:
                status = path.stat()
            except FileNotFoundError:
                problem = "not-found", "a link to nothing, or removed since it was listed"
            except PermissionError:
                problem = "forbidden", "it may not be looked at"
            except OSError as error:
                problem = "damaged", f"{error.strerror}"
        if problem is None and not stat.S_ISREG(status.st_mode):
            problem = "unknown-type", "not a regular file"
        if problem is not None:
            return Found(parts=parts, path=str(path), problem=problem)
        modified = _local_time(status.st_mtime)
        return Found(parts=parts, path=str(path), size=status.st_size, modified=modified)


class _Remote:
    """Lists folders through fsspec, whose listings describe the files."""

    def __init__(self, fs: Any, root: str) -> None:
        self._fs, self._root = fs, root.rstrip("/")
        self._listed: dict[tuple[str, ...], dict[str, Any]] = {}

    def names(self, folder: tuple[str, ...]) -> list[str]:
        path = "/".join((self._root, *folder))
        listed = retried(f"listing {path}", lambda: self._list(path))
        found: dict[str, dict[str, Any]] = {}
        for info in listed:
            name = info["name"].rstrip("/").rpartition("/")[2]
            inside = info["name"].rstrip("/") != path.rstrip("/")
            if name and inside:  # some stores list a folder among its own files
                found[name] = info
        for name, info in found.items():
            self._listed[(*folder, name)] = info
        return sorted(found)

    def _list(self, path: str) -> list[dict[str, Any]]:
        forget_listings(self._fs)
        with consistent_listings(self._fs):
            listed: list[dict[str, Any]] = self._fs.ls(path, detail=True)
        return listed

    def is_folder(self, parts: tuple[str, ...]) -> bool:
        folder = bool(self._listed[parts]["type"] == "directory")
        if folder:
            del self._listed[parts]
        return folder

    def found(self, parts: tuple[str, ...]) -> Found:
        return _described(self._fs, self._listed.pop(parts), parts)


def _described(fs: Any, info: dict[str, Any], parts: tuple[str, ...]) -> Found:
    """Return a file as fsspec describes it."""
    given = info.get("size")
    size = given if isinstance(given, int) and given >= 0 else -1
    return Found(
        parts=parts,
        path=fs.unstrip_protocol(info["name"]),
        size=max(0, size),
        modified=_time(info),
        etag=str(info.get("etag") or info.get("ETag") or "").strip('"'),
        problem=None if size >= 0 else ("bad-headers", "its size is unknown"),
    )


def _local_time(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):  # before year 1, or after 9999
        return ""


def _time(info: dict[str, Any]) -> str:
    for key in ("mtime", "LastModified", "updated", "last_modified", "modifiedTime", "created"):
        value = info.get(key)
        if isinstance(value, int | float) and 0 < value < 1e11:
            value = datetime.fromtimestamp(value, UTC)
        if isinstance(value, datetime):
            zoned = value if value.tzinfo else value.replace(tzinfo=UTC)
            return zoned.astimezone(UTC).isoformat(timespec="seconds")
        if isinstance(value, str) and value:
            return value[:40]
    return ""
