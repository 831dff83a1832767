"""`release`: gives a Colab runtime back, once the results of a run are safe without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from ...storage.errors import PaniniError, ResultsNotFound, UsageError
from ...storage.filesystems.filesystem import LOCAL
from ...storage.store.history import Summary
from ...storage.store.reader import ResultsStore
from ...storage.targets.mounts import DRIVE, filesystem_type
from ...storage.targets.target import Target
from ..hardware.platform import current_platform

_BUCKET = "fuse.gcsfuse"
"""File system type of a mounted bucket: synced files are in the bucket."""

_IN_MEMORY = "memory"
"""fsspec's protocol for objects that vanish with this process."""


def release(result: Callable[[], Summary], targets: Sequence[Target]) -> None:
    """Wait for a run's result, check that the results are safe, and give the runtime back.

    See `Run.release_runtime`.

    Parameters
    ----------
    result : callable
        Waits for the run and returns its summary, or raises `PaniniError`.
    targets : sequence of Target
        The targets of the run: the results, and the mirror.
    """
    if current_platform().name != "Colab":
        raise UsageError("this is not a Colab runtime, so there is no runtime to release")
    runtime, drive = _colab_module("runtime"), _colab_module("drive")
    try:
        result()
    except PaniniError as error:
        raise UsageError(
            f"the runtime is kept, because the run did not finish: {error}. Submit it again, and "
            "release the runtime then"
        ) from error
    problems = {target.url: _why_unsafe(target) for target in targets}
    if all(problems.values()):
        reasons = "; ".join(f"{url} {why}" for url, why in problems.items())
        raise UsageError(
            f"the runtime is kept, because the results would be lost with it: {reasons}. Submit "
            "again with a mirror that outlives it, such as "
            "mirror='/content/drive/MyDrive/results.zarr' on a mounted Drive or "
            "mirror='gs://bucket/results.zarr': finished shards are copied, not computed again"
        )
    if any(_disk(target) == DRIVE for target in targets):
        _flush(drive)
    runtime.unassign()


def _colab_module(name: str) -> Any:
    try:
        return import_module(f"google.colab.{name}")
    except ImportError as error:
        raise UsageError(
            f"google.colab.{name} cannot be imported ({error}), so the runtime cannot be "
            "released from here; in the menu choose Runtime, Disconnect and delete runtime"
        ) from error


def _flush(drive: Any) -> None:
    """Make Drive upload its files: writing to its mount only writes to the runtime's disk."""
    try:
        drive.flush_and_unmount()
    except Exception as error:
        raise UsageError(
            f"the runtime is kept, because Drive did not accept all that was written ({error}); "
            "check that it has free space, mount it again (google.colab.drive.mount), and retry"
        ) from error


def _why_unsafe(target: Target) -> str | None:
    """Return why a target would not keep the results without the runtime; None if it would."""
    if _disk(target) not in (None, DRIVE, _BUCKET):
        return "is on a disk of the runtime"
    if target.url.partition("://")[0] == _IN_MEMORY:
        return "is in this process's memory"
    try:
        store = ResultsStore.at(target)
    except ResultsNotFound:
        return "is not marked complete"
    if store.summary is None:
        return "is not marked complete"
    missing = store.layout.shards - len(store.done)
    return f"lacks {missing} of {store.layout.shards} shards" if missing else None


def _disk(target: Target) -> str | None:
    """Return the kind of disk that a target is on; None if it is behind a URL."""
    protocol, separator, path = target.url.partition("://")
    if separator and protocol not in LOCAL:
        return None
    return filesystem_type(Path(path if separator else target.url))
