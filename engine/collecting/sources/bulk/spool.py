"""The spool folder: files that are downloaded whole before they are read."""

from __future__ import annotations

import re
from pathlib import Path

from platformdirs import user_cache_path

from ...web.web import Web

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def spool_folder(given: str | None) -> Path:
    """Return the folder for downloads: the given one, or one in the user's cache."""
    return Path(given) if given else user_cache_path("paninifs") / "collecting"


async def downloaded(web: Web, url: str, folder: Path, *, most_bytes: int) -> Path:
    """Return the local copy of a file, downloading it unless it is there already.

    Raises
    ------
    NotKept
        It cannot be downloaded, or is larger than `most_bytes`.
    """
    name = _UNSAFE.sub("_", url.partition("://")[2])[-200:].lstrip(".")
    path = folder / name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        await web.save(url, path, most_bytes=most_bytes)
    return path
