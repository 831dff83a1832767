"""Cache of compiled code on disk, shared by the processes of a machine.

Entries are named by a digest of what they were made from, and old ones are never removed; all of
them may be deleted at any time. What is cached is decided in `machine_code` and `numba_target`.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import platformdirs

_log = logging.getLogger(__name__)
_DIGEST = hashlib.sha256().digest_size


def folders() -> list[Path]:
    """Return the folders of the cache. A new entry goes to the first one that is writable.

    `NUMBA_CACHE_DIR`, with which users move Numba's own cache, moves this one too.
    """
    configured = os.environ.get("NUMBA_CACHE_DIR")
    if configured:
        return [Path(configured)]
    own = Path(__file__).parent / "__pycache__"
    return [own, platformdirs.user_cache_path("paninifs") / "kernels"]


def cached(name: str, make: Callable[[], bytes]) -> bytes:
    """Return the entry with a name; make and store it if it is missing or damaged."""
    for folder in folders():
        data = _read(folder / name)
        if data is not None:
            return data
    made = make()
    for folder in folders():
        try:
            _replace(folder / name, hashlib.sha256(made).digest() + made)
        except OSError as error:
            _log.debug("%s cannot store %s: %s", folder, name, error)
        else:
            return made
    _log.warning(
        "no folder is writable for compiled kernels, so every process compiles them, which takes "
        "seconds; set NUMBA_CACHE_DIR to a writable folder"
    )
    return made


def _read(path: Path) -> bytes | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    digest, rest = data[:_DIGEST], data[_DIGEST:]
    if hashlib.sha256(rest).digest() != digest:
        _log.warning("%s is damaged and ignored", path)
        return None
    return rest


def _replace(path: Path, data: bytes) -> None:
    """Write a file atomically, because other processes may be reading it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{uuid4().hex}")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
