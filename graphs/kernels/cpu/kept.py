"""Small files that take long to make, made once a machine: where they are kept, and how read.

They pile up as the sources and versions that they were made from change; all may be deleted.
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
    """Return where they are looked for; the first that takes one keeps it.

    `NUMBA_CACHE_DIR` is where a user who has Numba's own code elsewhere wants these too.
    """
    told = os.environ.get("NUMBA_CACHE_DIR")
    if told:
        return [Path(told)]
    own = Path(__file__).parent / "__pycache__"
    return [own, platformdirs.user_cache_path("paninifs") / "kernels"]


def kept(name: str, make: Callable[[], bytes]) -> bytes:
    """Return the bytes kept under a name, or make and keep them. Damaged ones are not used."""
    for folder in folders():
        found = _read(folder / name)
        if found is not None:
            return found
    made = make()
    for folder in folders():
        try:
            _replace(folder / name, hashlib.sha256(made).digest() + made)
        except OSError as error:
            _log.debug("%s does not take %s: %s", folder, name, error)
        else:
            return made
    _log.warning(
        "no folder takes the compiled kernels, so every process compiles them, for some seconds: "
        "set NUMBA_CACHE_DIR to one that can be written to"
    )
    return made


def _read(path: Path) -> bytes | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    digest, rest = data[:_DIGEST], data[_DIGEST:]
    if hashlib.sha256(rest).digest() != digest:
        _log.warning("%s is damaged and is not used", path)
        return None
    return rest


def _replace(path: Path, data: bytes) -> None:
    """Write a whole file or none: another process may be reading it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{uuid4().hex}")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
