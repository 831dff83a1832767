"""`release`: give a Colab runtime back once nothing would go with it, and not a moment sooner."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...storage.errors import PaniniError, ResultsNotFound, UsageError
from ...storage.filesystems.filesystem import LOCAL
from ...storage.store.reader import ResultsStore
from ...storage.targets.local import DRIVE, kind_of_disk
from ...storage.targets.target import Target
from ..hardware.platform import where

if TYPE_CHECKING:
    from .handle import Run

_BUCKET = "fuse.gcsfuse"
"""A mounted bucket: what was synced there is there."""

_GONE_WITH_THE_PROCESS = "memory"


def release(run: Run, places: Sequence[Target]) -> None:
    """Wait for a run, see that its results are safe, and give the runtime back; see `Run`."""
    if where().name != "Colab":
        raise UsageError("this is no Colab runtime, so there is none to release")
    runtime, drive = _of_colab("runtime"), _of_colab("drive")
    try:
        run.result()
    except PaniniError as error:
        raise UsageError(
            f"the runtime is kept, for the run did not finish: {error}. Submit it again, and "
            "release the runtime then"
        ) from error
    problems = {place.url: _why_unsafe(place) for place in places}
    if all(problems.values()):
        said = "; ".join(f"{url} {why}" for url, why in problems.items())
        raise UsageError(
            f"the runtime is kept, for the results would go with it: {said}. Submit again with a "
            "mirror that stays, as mirror='/content/drive/MyDrive/results.zarr' on a mounted Drive "
            "or mirror='gs://bucket/results.zarr': what is done is only copied"
        )
    if any(_disk(place) == DRIVE for place in places):
        _flush(drive)
    runtime.unassign()


def _of_colab(module: str) -> Any:
    try:
        return import_module(f"google.colab.{module}")
    except ImportError as error:
        raise UsageError(
            f"google.colab.{module} cannot be imported ({error}), so the runtime cannot be "
            "released from here; in the menu choose Runtime, Disconnect and delete runtime"
        ) from error


def _flush(drive: Any) -> None:
    """Have Drive send what it holds: to write to its mount is to write to a disk of the runtime."""
    try:
        drive.flush_and_unmount()
    except Exception as error:
        raise UsageError(
            f"the runtime is kept, for Drive did not take all that was written ({error}); look "
            "whether it has room, mount it again (google.colab.drive.mount), and try again"
        ) from error


def _why_unsafe(place: Target) -> str | None:
    """Say why a place does not hold the results for good; None where it does."""
    if _disk(place) not in (None, DRIVE, _BUCKET):
        return "is on a disk of the runtime"
    if place.url.partition("://")[0] == _GONE_WITH_THE_PROCESS:
        return "is in this process's memory"
    try:
        store = ResultsStore.at(place)
    except ResultsNotFound:
        return "is not marked complete"
    if store.summary is None:
        return "is not marked complete"
    missing = store.layout.shards - len(store.done)
    return f"lacks {missing} of {store.layout.shards} shards" if missing else None


def _disk(place: Target) -> str | None:
    """Return the kind of disk that a place is on; None where it is behind a URL."""
    protocol, separator, path = place.url.partition("://")
    if separator and protocol not in LOCAL:
        return None
    return kind_of_disk(Path(path if separator else place.url))
