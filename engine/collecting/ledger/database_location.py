"""Location of a corpus's working database: in the user's cache folder, whatever the corpus's URL.

It is not beside the corpus, which may be in a bucket, a Drive or a network folder, where SQLite's
locks do not work. A corpus that is moved, or continued on another machine, gets a new database,
rebuilt from its ledger.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from ....storage.errors import StorageRefused
from ....storage.targets.mounts import is_mount


def database_folder(url: str, cache: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder for the working database of a corpus, and for downloads.

    Parameters
    ----------
    url
        The corpus.
    cache
        Parent of such folders; by default in the user's cache, or, if that is on a network, in the
        folder for temporary files.
    """
    place = url if "://" in url else os.path.realpath(url)
    name = hashlib.sha256(place.encode("utf-8", "surrogateescape")).hexdigest()[:24]
    return (_cache() if cache is None else Path(cache)) / name


def require_writable(folder: Path, remedy: str) -> None:
    """Make a folder on a local disk.

    Raises
    ------
    StorageRefused
        It cannot be made, or not be written into; with the remedy.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        problem = "" if os.access(folder, os.W_OK | os.X_OK) else "it cannot be written into"
    except OSError as error:
        problem = error.strerror or type(error).__name__
    if problem:
        raise StorageRefused(f"{folder} is needed for working files: {problem}; {remedy}")


def _cache() -> Path:
    from platformdirs import user_cache_path

    usual = user_cache_path("paninifs") / "collecting"
    if not is_mount(usual):
        return usual
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    return Path(tempfile.gettempdir()) / f"paninifs-collecting-{user}"
