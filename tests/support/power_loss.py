"""A disk that may lose whatever was not synced, to see what is left after a power loss.

A `Disk` records what is done to the files below a folder of the real disk, in order. `left` makes
from it what a power loss at some moment could leave. What POSIX permits is assumed, not what one
filesystem does: a file whose data was not synced may be empty, torn, full of zeros or whole; of the
changes of a folder since it was last synced (files made, renamed, linked, removed; folders made),
any may be there and any may be missing; and a folder whose own entry is missing is lost with all
that is in it. Only writes through `pathlib` and `os.fsync`, `os.link` are seen.
"""

from __future__ import annotations

import io
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class _Folder:
    """A folder on the disk that is left: entries that are certain, and changes that are not."""

    certain: dict[str, int] = field(default_factory=dict)
    pending: list[dict[str, int | None]] = field(default_factory=list)

    def entries(self, keep: Callable[[], bool]) -> dict[str, int]:
        entries: dict[str, int | None] = dict(self.certain)
        for change in self.pending:
            if keep():
                entries |= change
        return {name: inode for name, inode in entries.items() if inode is not None}

    def sync(self) -> None:
        self.certain, self.pending = self.entries(lambda: True), []


class Disk:
    """Records changes below `root`, which exists and counts as durable.

    Attributes
    ----------
    events : list of tuple
        ``("entries", folder, {name: inode or None})``, ``("written", inode, bytes)``,
        ``("synced", inode)``. Inodes are those of the real disk.
    """

    def __init__(self, root: Path, monkeypatch: Any) -> None:
        self.root = root
        self.events: list[tuple[Any, ...]] = []
        self._lock = threading.RLock()
        self._folders = {root.stat().st_ino}
        self._patch(monkeypatch)

    def left(self, moment: int, folder: Path, keep: Callable[[], bool]) -> None:
        """Write what is left if the power is lost after `moment` events.

        Parameters
        ----------
        folder : Path
            Where it is written.
        keep : callable
            Whether the next change that was not synced is kept.
        """
        folders = {self.root.stat().st_ino: _Folder()}
        data: dict[int, bytes] = {}
        synced: dict[int, bytes] = {}
        for kind, inode, *rest in self.events[:moment]:
            if kind == "entries":
                folders.setdefault(inode, _Folder()).pending.append(rest[0])
            elif kind == "written":
                data[inode] = rest[0]
            elif inode in self._folders:
                folders.setdefault(inode, _Folder()).sync()
            else:
                synced[inode] = data.get(inode, b"")

        def rebuild(inode: int, path: Path) -> None:
            path.mkdir(parents=True)
            for name, child in folders.get(inode, _Folder()).entries(keep).items():
                if child in self._folders:
                    rebuild(child, path / name)
                else:
                    whole = data.get(child, b"")
                    lost = synced.get(child) != whole and not keep()
                    (path / name).write_bytes(_torn(whole, keep) if lost else whole)

        rebuild(self.root.stat().st_ino, folder)

    def _patch(self, monkeypatch: Any) -> None:
        disk, fsync, link = self, os.fsync, os.link
        real = {name: getattr(Path, name) for name in ("open", "mkdir", "replace", "unlink")}

        def opened(path: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
            if disk.root not in path.parents or not {"x", "w"} & {*mode}:
                return real["open"](path, mode, *args, **options)
            with disk._lock:
                file = real["open"](path, mode, *args, **options)
                disk._change(path.parent, {path.name: os.fstat(file.fileno()).st_ino})
            return _Recorded(file, disk)

        def mkdir(path: Path, *args: Any, **options: Any) -> None:
            with disk._lock:
                real["mkdir"](path, *args, **options)
                if disk.root in path.parents:
                    disk._folders.add(path.stat().st_ino)
                disk._change(path.parent, {path.name: path.stat().st_ino})

        def replace(path: Path, other: Path) -> Path:
            with disk._lock:
                inode = path.stat().st_ino
                renamed = real["replace"](path, other)
                disk._change(path.parent, {path.name: None, Path(other).name: inode})
            return renamed

        def unlink(path: Path, missing_ok: bool = False) -> None:
            with disk._lock:
                real["unlink"](path, missing_ok)
                disk._change(path.parent, {path.name: None})

        def linked(path: Path, other: Path) -> None:
            with disk._lock:
                link(path, other)
                disk._change(other.parent, {other.name: other.stat().st_ino})

        def synced(handle: int) -> None:
            with disk._lock:
                found = os.fstat(handle)
                if not stat.S_ISDIR(found.st_mode):
                    written = Path(f"/proc/self/fd/{handle}").read_bytes()
                    disk.events.append(("written", found.st_ino, written))
                fsync(handle)
                disk.events.append(("synced", found.st_ino))

        monkeypatch.setattr(Path, "open", opened)
        monkeypatch.setattr(Path, "mkdir", mkdir)
        monkeypatch.setattr(Path, "replace", replace)
        monkeypatch.setattr(Path, "unlink", unlink)
        monkeypatch.setattr(os, "link", linked)
        monkeypatch.setattr(os, "fsync", synced)

    def _change(self, folder: Path, entries: dict[str, int | None]) -> None:
        if self.root in (folder, *folder.parents):
            self.events.append(("entries", folder.stat().st_ino, entries))


class _Recorded:
    """A file that is written; what was not synced is recorded when it is closed."""

    def __init__(self, file: io.BufferedWriter, disk: Disk) -> None:
        self._file, self._disk = file, disk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _Recorded:
        return self

    def __exit__(self, *error: object) -> None:
        with self._disk._lock:
            self._file.flush()
            handle = self._file.fileno()
            written = Path(f"/proc/self/fd/{handle}").read_bytes()
            self._disk.events.append(("written", os.fstat(handle).st_ino, written))
        self._file.close()


def _torn(data: bytes, keep: Callable[[], bool]) -> bytes:
    half = len(data) // 2
    if keep():
        return data[:half] + bytes(len(data) - half) if keep() else data[:half]
    return bytes(len(data)) if keep() else b""
