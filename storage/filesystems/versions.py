"""What identifies the version of a corpus file in fsspec's description of it.

A version is a generation, an etag or a time. Comparing the content of files is in `identity`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

_TIMES = ("mtime", "modifiedTime", "updated", "LastModified", "Last-Modified", "created")
_KEYS = ("generation", "etag", "ETag", *_TIMES)


def version_of(info: Mapping[str, Any]) -> str:
    """Return what identifies this version of a file in its description, or "" if nothing does.

    >>> version_of({"name": "a.txt", "size": 3, "mtime": 1795977717.5})
    'mtime=1795977717.5'
    """
    for key in _KEYS:
        value = info.get(key)
        if value is not None:
            # fsspec's memory:// lists a time as a number, and describes it as a datetime.
            return f"{key}={_seconds(value) if isinstance(value, datetime) else value}"
    return ""


def same_version(one: str, other: str) -> bool:
    """Return whether two versions are equal, or the same instant written in two forms.

    Stores of earlier versions hold a datetime where the listing of a filesystem had one.

    >>> same_version("mtime=1795977717.5", "mtime=2026-11-29 18:41:57.500000+00:00")
    True
    """
    return one == other or (_instant(one) is not None and _instant(one) == _instant(other))


def _instant(version: str) -> tuple[str, float] | None:
    """Return the key and the seconds since 1970 of a version that is a time."""
    key, _, value = version.partition("=")
    if key in _TIMES:
        for read in (float, lambda text: _seconds(datetime.fromisoformat(text))):
            with suppress(ValueError, OverflowError):
                return key, read(value)
    return None


def _seconds(time: datetime) -> float:
    """Return the seconds since 1970; a time without a zone is taken for UTC, on every machine."""
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
