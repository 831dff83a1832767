"""`filesystem_of`: the only access to fsspec, with errors that say what is wrong with a URL.

This module also covers complete listings, and properties of filesystems that fsspec does not
report. Which failures are retried is decided in `retry`.
"""

from __future__ import annotations

import errno
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import fsspec
from fsspec.utils import glob_translate

from ..errors import BackendUnavailable, UsageError
from .failures import is_missing, unmasked
from .redaction import shown, without_options
from .retry import retried

LOCAL = frozenset({"file", "local"})
GCS = frozenset({"gs", "gcs"})
OBJECT_STORES = GCS | frozenset({"s3", "s3a", "abfs", "abfss", "az", "adl"})
"""Protocols of object stores, which replace objects atomically and have no folders."""

DRIVE = frozenset({"gdrive"})

WEB = frozenset({"http", "https"})

LISTING_SECONDS = 10
"""Seconds for which a Drive's listings are cached: looking up one file lists its folder."""

_REFERENCE = re.compile("(^|::)reference:")  # fsspec's files that refer to files elsewhere
_LEADS_NOWHERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES})

_EXTRAS = {"gs": "gcs", "gcs": "gcs", "gdrive": "drive"}


def filesystem_of(url: str, options: Mapping[str, Any] | None = None) -> tuple[Any, str]:
    """Return the filesystem of a URL, and the path on it.

    Raises
    ------
    UsageError
        fsspec does not know the protocol, or refuses the options. The message contains none of
        the options' values.
    BackendUnavailable
        The package for the protocol is not installed.
    """
    given = options or {}
    if _REFERENCE.search(url):
        raise UsageError(
            f"{shown(url)}: reference:// is not supported, because such a file names others by "
            "templates that are executed; name the files themselves"
        )
    try:
        fs, path = fsspec.url_to_fs(url, **{**_defaults(url), **given})
    except ImportError as error:
        extra = _EXTRAS.get(url.partition("://")[0])
        advice = f"; pip install 'paninifs[{extra}]'" if extra else ""
        raise BackendUnavailable(f"{_message(url, error, given)}{advice}") from None
    except (ValueError, TypeError, FileNotFoundError) as error:
        raise UsageError(_message(url, error, given)) from None  # its cause may quote a token
    return fs, path


def _message(url: str, error: Exception, options: Mapping[str, Any]) -> str:
    return f"{shown(url)}: {without_options(str(error), options)}"


def _defaults(url: str) -> dict[str, Any]:
    """Return the options that a protocol needs and does not set by itself."""
    protocol = fsspec.utils.get_protocol(url)
    if protocol in DRIVE:
        return {"listings_expiry_time": LISTING_SECONDS}
    if protocol in GCS and find_spec("aiohttp"):
        import aiohttp

        # gcsfs sets no timeout, so a stalled connection would hang forever.
        return {"requests_timeout": aiohttp.ClientTimeout(sock_connect=30, sock_read=60)}
    if protocol in WEB and find_spec("aiohttp"):
        import aiohttp

        # aiohttp's default allows five minutes for a whole response, however long a file is.
        timeout = aiohttp.ClientTimeout(sock_connect=30, sock_read=60)
        return {"client_kwargs": {"timeout": timeout}}
    return {}


def protocols_of(fs: Any) -> frozenset[str]:
    """Return all names of a filesystem's protocol."""
    return frozenset((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)


def forget_listings(fs: Any) -> None:
    """Drop a filesystem's cached listings."""
    fs.invalidate_cache()
    if protocols_of(fs) & DRIVE:
        fs.dircache.clear()  # its invalidate_cache does nothing


def info_of(fs: Any, path: str) -> dict[str, Any]:
    """Return a filesystem's description of a file or folder.

    Raises
    ------
    FileNotFoundError
        It does not exist. For any other failure, that failure is raised, also where the filesystem
        calls it a missing file: fsspec's ``http`` does so for whatever a server answers.
    """
    try:
        described: dict[str, Any] = fs.info(path)
    except FileNotFoundError as error:
        if is_missing(error):
            raise
        raise unmasked(error) from None
    return described


@contextmanager
def consistent_listings(fs: Any) -> Iterator[None]:
    """Turn an inconsistency between cached listings into a transient `OSError`.

    gdrive_fsspec lists a path level by level. If a level was cached before the next one was made,
    it finds a folder whose id it does not know, and raises KeyError.
    """
    try:
        yield
    except KeyError as error:
        if not protocols_of(fs) & DRIVE:
            raise
        forget_listings(fs)
        raise OSError(errno.EIO, f"cached listings are inconsistent: no {error}") from error


def files_below(fs: Any, path: str, depth: float = math.inf) -> dict[str, dict[str, Any]]:
    """List the files in and below a folder: path to fsspec's description of the file.

    A missing folder counts as empty. A folder that cannot be listed raises; fsspec's own `find` and
    `walk` would skip it, as if it were empty.

    Parameters
    ----------
    depth : int, optional
        Number of levels of folders to list.
    """
    if protocols_of(fs) & OBJECT_STORES and depth == math.inf:
        fs.invalidate_cache()
        listed: dict[str, dict[str, Any]] = fs.find(path, detail=True)
        return listed
    found = {}
    folders = [(path, 1)]
    while folders:
        folder, level = folders.pop()
        for info in _list_folder(fs, folder):
            name = info["name"].rstrip("/")
            if info["type"] != "directory":
                found[name] = info
            elif name != folder and level < depth:
                folders.append((name, level + 1))
    return dict(sorted(found.items()))


def _list_folder(fs: Any, folder: str) -> list[dict[str, Any]]:
    def attempt() -> list[dict[str, Any]]:
        # A Drive with the parent's listing cached would list the folder as its own content.
        forget_listings(fs)
        try:
            with consistent_listings(fs):
                listed: list[dict[str, Any]] = fs.ls(folder, detail=True)
        except (FileNotFoundError, NotADirectoryError) as error:
            if isinstance(error, FileNotFoundError) and not is_missing(error):
                raise unmasked(error) from None
            return []
        return [_follow_link(fs, info) for info in listed]

    # Retried folder by folder: if every tenth request fails, a whole listing never succeeds.
    return retried(f"listing {folder}", attempt)


def _follow_link(fs: Any, info: dict[str, Any]) -> dict[str, Any]:
    """Return a description of a link's target, or of the link if its target is missing or a folder.

    fsspec's listing describes the link, but opening the file describes its target, and their times
    differ. A link to a folder is not followed, because it may form a loop.
    """
    if not info.get("islink"):
        return info
    try:
        linked = info_of(fs, info["name"])
    except OSError as error:
        if error.errno not in _LEADS_NOWHERE:
            raise
        return info
    return info if linked["type"] == "directory" else linked


def files_matching(fs: Any, pattern: str) -> dict[str, dict[str, Any]]:
    """List the files that match a glob, as `files_below` does."""
    magic = re.search(r"[*?\[]", pattern)
    if magic is None:
        return {}
    folder = pattern[: magic.start()].rpartition("/")[0]
    levels = pattern.count("/") - folder.count("/") if folder else pattern.count("/") + 1
    depth = math.inf if "**" in pattern else levels
    matches = re.compile(glob_translate(pattern))
    found = files_below(fs, folder or fs.root_marker, depth)
    return {name: info for name, info in found.items() if matches.match(name)}
