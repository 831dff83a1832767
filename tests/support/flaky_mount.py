"""A mounted Drive with faults on demand: a folder, accessed through operations that can fail.

It is used through the operations of a `FlakyMount` on plain paths, or through the filesystem
``flaky://``, whose storage options carry the mount as ``mount``. Unpickling a mount in a process
registers the filesystem there.

Faults of any operation: ``eio`` and ``enotconn`` (errno 5 and 107, before anything is done),
``late`` (errno 5, after all is done), ``outage`` (the whole mount is gone for a while: errno 107
for every operation, in every process). Faults of a write: ``torn`` (errno 5, after half of the data
is written), ``short`` (half of the data is written, and success is reported), ``twice`` (the data
is written twice). Fault of a rename: ``copied`` (for a while the target has only half of the data).
Hard links are not supported.
"""

from __future__ import annotations

import errno
import io
import os
import random
import re
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractFileSystem
from witness import log_line

ERRORS = {"eio": errno.EIO, "enotconn": errno.ENOTCONN, "outage": errno.ENOTCONN}
CHANGES = ("write", "rename", "remove", "make")
ONLY_FOR = {
    "late": CHANGES,
    "torn": ("write",),
    "short": ("write",),
    "twice": ("write",),
    "copied": ("rename",),
}


@dataclass(frozen=True)
class FlakyMount:
    """A folder and its faults. Operations are counted over all processes."""

    root: str
    log: str  # a file outside the root, one line per fault: "KIND OPERATION PATH"
    rate: float = 0.0
    kinds: Sequence[str] = ("eio", "enotconn")
    seed: int = 0
    match: str = ""  # regular expression searched in "OPERATION PATH"
    limit: int | None = None  # maximum number of faults
    seconds: float = 1.0  # duration of an outage, or of copying a renamed file

    def read(self, path: str | os.PathLike[str]) -> bytes:
        """Return the content of a file."""
        self._meets("read", path)
        return Path(path).read_bytes()

    def write(self, path: str | os.PathLike[str], data: bytes, *, exclusive: bool = False) -> None:
        """Write a file; optionally only if it is new."""
        fault = self._meets("write", path)
        half = data[: len(data) // 2]
        with Path(path).open("xb" if exclusive else "wb") as file:
            file.write({"torn": half, "short": half, "twice": data * 2}.get(fault, data))
        _fail_if(fault in ("torn", "late"), path)

    def rename(self, path: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
        """Rename a file, replacing an existing target."""
        fault = self._meets("rename", path)
        if fault == "copied":
            data = Path(path).read_bytes()
            with Path(target).open("wb", buffering=0) as file:
                file.write(data[: len(data) // 2])
                time.sleep(self.seconds)
                file.write(data[len(data) // 2 :])
            Path(path).unlink()
        else:
            Path(path).replace(target)
        _fail_if(fault == "late", path)

    def remove(self, path: str | os.PathLike[str]) -> None:
        """Remove a file."""
        fault = self._meets("remove", path)
        Path(path).unlink()
        _fail_if(fault == "late", path)

    def make(self, path: str | os.PathLike[str]) -> None:
        """Make a folder and its parents, unless they exist."""
        fault = self._meets("make", path)
        Path(path).mkdir(parents=True, exist_ok=True)
        _fail_if(fault == "late", path)

    def list(self, path: str | os.PathLike[str]) -> list[str]:
        """Return the names in a folder."""
        self._meets("list", path)
        return sorted(entry.name for entry in Path(path).iterdir())

    def stat(self, path: str | os.PathLike[str]) -> os.stat_result:
        """Return size and times of a file or folder."""
        self._meets("stat", path)
        return Path(path).stat()

    def link(self, path: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
        """Fail, as FUSE does."""
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), str(target))

    def outage(self, seconds: float) -> None:
        """Make the whole mount unavailable for `seconds`, from now on."""
        new = self._until.with_suffix(f".{uuid.uuid4().hex}")
        new.write_text(str(time.time() + seconds))
        new.replace(self._until)

    def injected(self) -> dict[str, int]:
        """Return the number of faults of each kind; ``away`` counts operations during an outage."""
        log = Path(self.log)
        lines = log.read_text().splitlines() if log.exists() else []
        return Counter(line.split(" ", 1)[0] for line in lines)

    @property
    def _until(self) -> Path:
        return Path(f"{self.log}.until")

    def _meets(self, operation: str, path: str | os.PathLike[str]) -> str | None:
        """Draw the fault of an operation; raise it if it is an error, otherwise return it."""
        path = os.fspath(path)
        if not Path(path).is_relative_to(self.root):
            return None
        if self._until.exists() and time.time() < float(self._until.read_text()):
            log_line(self.log, f"away {operation} {path}")
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN), path)
        fault = self._drawn(operation, path)
        if fault:
            log_line(self.log, f"{fault} {operation} {path}")
        if fault == "outage":
            self.outage(self.seconds)
        if fault in ERRORS:
            raise OSError(ERRORS[fault], os.strerror(ERRORS[fault]), path)
        return fault

    def _drawn(self, operation: str, path: str) -> str | None:
        kinds = [k for k in self.kinds if operation in ONLY_FOR.get(k, (operation,))]
        if not kinds or not re.search(self.match, f"{operation} {path}"):
            return None
        chance = random.Random(f"{self.seed} {log_line(f'{self.log}.asked', 'a')}")
        if chance.random() >= self.rate:
            return None
        if self.limit is not None and log_line(f"{self.log}.drawn", "d") // 2 > self.limit:
            return None
        return chance.choice(kinds)


def _fail_if(wrong: bool, path: str | os.PathLike[str]) -> None:
    if wrong:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))


class FlakyFileSystem(LocalFileSystem):
    """``flaky://``: files under the root of a mount."""

    protocol = "flaky"

    @classmethod
    def _strip_protocol(cls, path):
        # Older versions of fsspec strip only their own protocol.
        if isinstance(path, str):
            path = path.removeprefix("flaky://")
        return super()._strip_protocol(path)

    def __init__(self, mount: FlakyMount, **options: object) -> None:
        super().__init__(**options)
        self._mount = mount

    isfile, isdir = AbstractFileSystem.isfile, AbstractFileSystem.isdir

    def _open(self, path, mode="rb", **options):
        path = self._strip_protocol(path)
        if mode == "rb":
            self._mount.stat(path)
            file = io.BufferedReader(_Reading(path, self._mount), 1 << 20)
            file.size = os.fstat(file.fileno()).st_size  # the name may be gone by now
            return file
        if mode in ("wb", "xb"):
            return _Writing(path, self._mount, mode == "xb")
        raise ValueError(f"mode {mode}")

    def info(self, path, **options):
        if not isinstance(path, os.DirEntry):
            self._mount.stat(self._strip_protocol(path))
        return super().info(path, **options)

    def ls(self, path, detail=False, **options):
        path = self._strip_protocol(path)
        if self.info(path)["type"] == "directory":
            self._mount.list(path)
        return super().ls(path, detail, **options)

    def makedirs(self, path, exist_ok=False):
        path = self._strip_protocol(path)
        if not exist_ok and Path(path).exists():
            raise FileExistsError(path)
        self._mount.make(path)

    def rm_file(self, path):
        self._mount.remove(self._strip_protocol(path))

    def cp_file(self, path1, path2, **options):
        path1, path2 = self._strip_protocol(path1), self._strip_protocol(path2)
        self._mount.write(path2, self._mount.read(path1))

    def mv(self, path1, path2, **options):
        self._mount.rename(self._strip_protocol(path1), self._strip_protocol(path2))

    def link(self, path1, path2, **options):
        self._mount.link(self._strip_protocol(path1), self._strip_protocol(path2))


class _Reading(io.FileIO):
    """A file whose every read may fail."""

    def __init__(self, path: str, mount: FlakyMount) -> None:
        super().__init__(path, "rb")
        self._mount = mount

    def readinto(self, buffer):
        self._mount._meets("read", self.name)
        return super().readinto(buffer)

    def readall(self):
        self._mount._meets("read", self.name)
        return super().readall()


class _Writing(io.BytesIO):
    """A file that is written when it is closed."""

    def __init__(self, path: str, mount: FlakyMount, exclusive: bool) -> None:
        super().__init__()
        self._path, self._mount, self._exclusive = path, mount, exclusive

    def close(self):
        if not self.closed:
            data = self.getvalue()
            super().close()
            self._mount.write(self._path, data, exclusive=self._exclusive)


fsspec.register_implementation("flaky", FlakyFileSystem)
