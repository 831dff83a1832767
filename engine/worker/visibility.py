"""`Visible`: whether a worker sees the corpus and the store that the client sees.

On one machine it always does. Workers elsewhere may have another disk under the same path. Files
in the client's memory are sent to them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...storage.errors import LeaseLost
from ...storage.filesystems.filesystem import filesystem_of
from ...storage.rows import SourceFile
from ...storage.rows.in_memory import InMemory, hold
from ...storage.store.leases.lease import LeaseTicket
from ...storage.targets.target import Target

MAX_FOLDERS = 8
"""Maximum number of the corpus's folders in which a file is looked for."""

_OWN = ("file://", "memory://")
"""Beginnings of URLs that may mean something else in another process."""


@dataclass(frozen=True)
class Visible:
    """What a worker must see: some files of the corpus, and the store with the run's lease.

    Remote files are not looked for: a bucket is the same everywhere, and reading reports errors.
    """

    files: tuple[tuple[str, int], ...]  # URLs, and sizes in bytes
    target: Target
    ticket: LeaseTicket
    contents: tuple[tuple[str, bytes], ...] = ()  # of files in memory: digests, and bytes

    @classmethod
    def of(cls, files: Iterable[SourceFile], target: Target, ticket: LeaseTicket) -> Visible:
        """Select a file of each folder, up to `MAX_FOLDERS`, that this process sees as listed."""
        found: dict[str, tuple[str, int]] = {}
        contents = []
        for file in files:
            if isinstance(file.content, InMemory):
                contents.append((file.content.digest, file.content.data))
            folder, _, _ = file.location.rpartition("/")
            if not folder.startswith(_OWN) or file.problem or folder in found:
                continue
            if len(found) == MAX_FOLDERS:
                break
            if _missing(file.location, file.size) is None:
                found[folder] = (file.location, file.size)
        return cls(tuple(found.values()), target, ticket, tuple(contents))

    def hold(self) -> list[InMemory]:
        """Return the files of the corpus that lie in memory, which this process holds from now on.

        Tasks find them as long as the list exists.
        """
        return [hold(digest, data) for digest, data in self.contents]

    def problem(self) -> str | None:
        """Return what this process does not see, with the remedy, or None."""
        for url, size in self.files:
            missing = _missing(url, size)
            if missing:
                return f"{missing}: put the corpus where every worker finds it under this path"
        try:
            self.ticket.check(self.target)
        except LeaseLost:
            return (
                f"does not see the store that the client writes at {self.target.url}: use a folder "
                "that all machines share, or a bucket"
            )
        return None


def _missing(url: str, size: int) -> str | None:
    try:
        fs, path = filesystem_of(url, {})
        found = fs.info(path)["size"]
    except OSError as error:
        return f"cannot find {url} ({error.strerror or type(error).__name__})"
    return None if found == size else f"sees {url} with {found:,} bytes instead of {size:,}"
