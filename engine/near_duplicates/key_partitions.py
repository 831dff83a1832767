"""`Partitions`: band keys with their rows, divided by key, in memory or in scratch files.

Equal keys of a band are in the same partition, and a partition is small enough to be sorted in
memory.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

ENTRY = np.dtype([("key", "<u8"), ("row", "<i8")])
"""One band key of one text, and its row."""

SORTING_BYTES = 48
"""Bytes of memory per entry while a partition is sorted: the entry, its position, and copies."""

MOST_PARTS = 4096
"""Maximum partitions (files) per band: enough for 40 billion texts with 1 GiB of memory."""

Entries = npt.NDArray[np.void]


class Partitions:
    """Entries, partitioned by band and by the first bits of their key.

    Parameters
    ----------
    bands : int
    entries : int
        Approximate number of entries per band.
    memory : int
        Bytes that may be held: half of it for entries that are not in files yet, and half for the
        partition that is sorted.
    folder : path, optional
        Where scratch files are created and removed again; by default the system's.
    """

    def __init__(self, bands: int, entries: int, memory: int, folder: str | None = None) -> None:
        self._share = max(memory // 2, 1)
        wanted = -(-entries * SORTING_BYTES // self._share)
        self._bits = min(max(wanted - 1, 0), MOST_PARTS - 1).bit_length()
        self.bands = bands
        self.parts = 1 << self._bits
        self._held: dict[tuple[int, int], list[Entries]] = defaultdict(list)
        self._held_bytes = 0
        self._folder: Path | None = None
        self._parent = folder

    def add(self, band: int, keys: npt.NDArray[np.uint64], rows: npt.NDArray[np.int64]) -> None:
        """Add keys of a band, uint64 [n], with their rows."""
        entries = np.empty(len(keys), ENTRY)
        entries["key"], entries["row"] = keys, rows
        if self.parts == 1:
            self._hold(band, 0, entries)
            return
        parts = (keys >> np.uint64(64 - self._bits)).astype(np.int64)
        entries = entries[np.argsort(parts, kind="stable")]
        ends = np.cumsum(np.bincount(parts, minlength=self.parts)).tolist()
        start = 0
        for part, end in enumerate(ends):
            if end > start:
                self._hold(band, part, entries[start:end])
            start = end

    def _hold(self, band: int, part: int, entries: Entries) -> None:
        self._held[band, part].append(entries)
        self._held_bytes += entries.nbytes
        if self._held_bytes > self._share:
            self._spill()

    def _spill(self) -> None:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="paninifs-keys-", dir=self._parent))
        for (band, part), pieces in self._held.items():
            with (self._folder / f"{band}-{part}").open("ab") as file:
                for piece in pieces:
                    file.write(piece.tobytes())
        self._held.clear()
        self._held_bytes = 0

    def take(self, band: int, part: int) -> Entries:
        """Return and forget the entries of a partition, in the order in which they were added."""
        pieces = self._held.pop((band, part), [])
        self._held_bytes -= sum(piece.nbytes for piece in pieces)
        file = None if self._folder is None else self._folder / f"{band}-{part}"
        if file is not None and file.exists():
            pieces.insert(0, np.fromfile(file, ENTRY))
            file.unlink()
        return np.concatenate(pieces) if pieces else np.empty(0, ENTRY)

    @property
    def spilled(self) -> bool:
        """Whether scratch files were written."""
        return self._folder is not None

    def __enter__(self) -> Partitions:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the scratch files."""
        self._held.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
