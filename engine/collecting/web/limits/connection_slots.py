"""`ConnectionSlots`: limits the connections to a host, over all processes of a user.

Each connection in use holds a lock on one byte of a file, at a hash of the host's name and the
connection's number. The kernel releases it when its process ends, however it ends. If the names of
two hosts hash to the same of 2^40 bytes, one waits for the other.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from .hosts import Host

_POLL_SECONDS = 0.01


class _File:
    """A file of locks, opened once per process.

    Locks of bytes belong to a process, and closing any descriptor of the file releases all of them,
    so a process opens it only once, and keeps a record of its own locks.
    """

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.process = os.getpid()
        self.held: set[int] = set()
        self.waiting: Counter[int] = Counter()
        self.users = 0

    def acquire(self, byte: int) -> bool:
        if byte in self.held:
            return False
        try:
            fcntl.lockf(self.number, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except (BlockingIOError, PermissionError):
            return False
        self.held.add(byte)
        return True

    def release(self, byte: int) -> None:
        self.held.discard(byte)
        fcntl.lockf(self.number, fcntl.LOCK_UN, 1, byte)

    @contextmanager
    def waits(self, byte: int) -> Iterator[None]:
        """Show other processes that this one waits."""
        self.waiting[byte] += 1
        with suppress(BlockingIOError, PermissionError):  # another process tests it at this moment
            fcntl.lockf(self.number, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, byte)
        try:
            yield
        finally:
            self.waiting[byte] -= 1
            if not self.waiting[byte]:
                del self.waiting[byte]
                fcntl.lockf(self.number, fcntl.LOCK_UN, 1, byte)

    def others_wait(self, byte: int) -> bool:
        """Return whether another process waits."""
        try:
            fcntl.lockf(self.number, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except (BlockingIOError, PermissionError):
            return True
        fcntl.lockf(self.number, fcntl.LOCK_SH if byte in self.waiting else fcntl.LOCK_UN, 1, byte)
        return False


_files: dict[Path, _File] = {}


class ConnectionSlots:
    """Allocates connections to hosts.

    Parameters
    ----------
    folder
        Where the file of locks is; it must exist.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder.resolve() / "connections"
        file = _files.get(self._path)
        if file is None or file.process != os.getpid():
            file = _files[self._path] = _File(self._path)
        self._file = file
        file.users += 1

    def close(self) -> None:
        """Close the file once no other user in this process is left."""
        self._file.users -= 1
        if not self._file.users and _files.get(self._path) is self._file:
            del _files[self._path]
            os.close(self._file.number)

    @asynccontextmanager
    async def one(self, host: Host) -> AsyncIterator[None]:
        """Hold one of a host's connections; wait until one is free."""
        slots = [_byte(host.limit, str(number)) for number in range(host.most_connections)]
        waiting = _byte(host.limit, "waiting")
        if self._file.others_wait(waiting):  # or they might never get a free one
            await self._pause(host, 3.0)
        held = self._acquired(slots)
        if held is None:
            with self._file.waits(waiting):
                while (held := self._acquired(slots)) is None:
                    await self._pause(host, 1.0)
        try:
            yield
        finally:
            self._file.release(held)

    def _acquired(self, slots: list[int]) -> int | None:
        return next(filter(self._file.acquire, slots), None)

    @staticmethod
    async def _pause(host: Host, polls: float) -> None:
        with host.waiting():
            await asyncio.sleep(polls * _POLL_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311


def _byte(limit: str, what: str) -> int:
    digest = hashlib.blake2b(f"{what} {limit}".encode(), digest_size=5).digest()
    return int.from_bytes(digest, "big")
