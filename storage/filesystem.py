"""`filesystem_of`: the one door to fsspec, with errors that say what is wrong with a URL.

Also what the engine has to know of a filesystem that fsspec does not say, and a listing that
leaves nothing out.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import fsspec

from .errors import BackendUnavailable, UsageError

LOCAL = frozenset({"file", "local"})
GCS = frozenset({"gs", "gcs"})
OBJECT_STORES = GCS | frozenset({"s3", "s3a", "abfs", "abfss", "az", "adl"})
"""Where a name is a whole object, replaced at once or not at all, and there are no folders."""

DRIVE = frozenset({"gdrive"})

LISTING_SECONDS = 10
"""How long a Drive's listings are believed; its `invalidate_cache` does nothing."""

_EXTRAS = {"gs": "gcs", "gcs": "gcs", "gdrive": "drive"}


def filesystem_of(url: str, options: Mapping[str, Any] | None = None) -> tuple[Any, str]:
    """Return the filesystem of a URL, and the path there.

    Raises
    ------
    UsageError
        fsspec knows no such protocol, or refuses the options.
    BackendUnavailable
        The package for the protocol is not installed.
    """
    try:
        fs, path = fsspec.url_to_fs(url, **{**_defaults(url), **(options or {})})
    except ImportError as error:
        extra = _EXTRAS.get(url.partition("://")[0])
        advice = f"; pip install 'paninifs[{extra}]'" if extra else ""
        raise BackendUnavailable(f"{url}: {error}{advice}") from error
    except (ValueError, TypeError) as error:
        raise UsageError(f"{url}: {error}") from error
    return fs, path


def _defaults(url: str) -> dict[str, Any]:
    """Return options that a place should have been given."""
    protocol = fsspec.utils.get_protocol(url)
    if protocol in DRIVE:
        return {"listings_expiry_time": LISTING_SECONDS}
    if protocol in GCS and find_spec("aiohttp"):
        import aiohttp

        # gcsfs sets none: a connection that stalls would be waited for as long as it likes.
        return {"requests_timeout": aiohttp.ClientTimeout(sock_connect=30, sock_read=60)}
    return {}


def protocols_of(fs: Any) -> frozenset[str]:
    """Return the names that a filesystem goes by."""
    return frozenset((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)


def files_below(fs: Any, path: str) -> dict[str, dict[str, Any]]:
    """List the files in and below a folder: path to what the filesystem says of it.

    A folder that is not there has none. One that cannot be listed raises; fsspec's own `find`
    leaves it out, as if what lies in it were gone.
    """
    fs.invalidate_cache()
    if protocols_of(fs) & OBJECT_STORES:
        listed: dict[str, dict[str, Any]] = fs.find(path, detail=True)
        return listed
    found = {}
    for _, _, files in fs.walk(path, detail=True, on_error=raise_unless_missing):
        found.update({info["name"]: info for info in files.values()})
    return found


def raise_unless_missing(error: OSError) -> None:
    """Raise an error that a listing met, for its ``on_error``, unless nothing is there."""
    if not isinstance(error, FileNotFoundError):
        raise error
