"""`DeviceText`: texts that lie on the device from the start, with their offsets on the host.

The host cuts texts into micro-batches, so it must know how long they are. It need not know what
they say. Who decodes texts on the device is in `parquet_texts`, and copying texts of the host there
in `transfer`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ....storage.text import PackedText
from .copies import on_host, to_device
from .device import load_cupy
from .program import kernel_of
from .streams import current_stream, device_errors

THREADS = 256
"""Threads of a block of the kernels in decoded_texts.cu, which have a warp per text."""

_WARP = 32

Array = Any  # a CuPy array


class DeviceText(PackedText):
    """Texts whose bytes are on the device.

    `data` copies the bytes to the host, each time that it is asked for. So do iterating, and
    `to_strings`, for these texts alone.

    Parameters
    ----------
    there : CuPy array, uint8 [bytes]
        The bytes, complete: nothing is queued that writes to them.
    offsets : int64 array, shape (n + 1,)
        Ascending positions in `there`, in the host's memory.
    """

    def __init__(self, there: Array, offsets: npt.NDArray[np.int64]) -> None:
        vars(self).update(there=there, offsets=offsets)

    there: Array
    offsets: npt.NDArray[np.int64]

    @property
    def data(self) -> npt.NDArray[np.uint8]:
        """The bytes in the host's memory."""
        return self._copied(0, len(self.there))

    def _copied(self, start: int, stop: int) -> npt.NDArray[np.uint8]:
        with device_errors(), current_stream():
            return on_host(self.there[start:stop])

    def __getitem__(self, rows: slice) -> DeviceText:
        start, stop, _ = rows.indices(len(self))
        return DeviceText(self.there, self.offsets[start : max(start, stop) + 1])

    def __iter__(self) -> Iterator[memoryview]:
        first = int(self.offsets[0])
        view = self._copied(first, int(self.offsets[-1])).data
        for start, stop in pairwise((self.offsets - first).tolist()):
            yield view[start:stop]

    def chosen(self, mask: npt.NDArray[np.bool_]) -> DeviceText:
        """Return the texts for which a mask is true; copied unless the others are empty."""
        kept = np.where(mask, self._lengths, 0)
        if kept.sum() == self.nbytes:
            return DeviceText(self.there, np.append(self.offsets[:1], self.offsets[1:][mask]))
        return self._gathered(self.offsets[:-1][mask], self._lengths[mask])

    def emptied(self, mask: npt.NDArray[np.bool_]) -> DeviceText:
        """Return the texts with those empty for which a mask is true."""
        kept = np.where(mask, 0, self._lengths)
        return self if kept.sum() == self.nbytes else self._gathered(self.offsets[:-1], kept)

    def beginnings(self, rows: slice, most: int) -> list[memoryview]:
        """Return up to `most` bytes of some texts."""
        lengths = np.minimum(self._lengths[rows], most)
        return list(self._gathered(self.offsets[:-1][rows], lengths))

    @property
    def _lengths(self) -> npt.NDArray[np.int64]:
        return np.diff(self.offsets)

    def _gathered(
        self, starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
    ) -> DeviceText:
        """Return copies of bytes, end to end: `lengths` of them from each of `starts` on."""
        offsets = np.zeros(len(starts) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        staged: list[npt.NDArray[Any]] = []
        with device_errors(), current_stream() as stream:
            copy = load_cupy().empty(int(offsets[-1]), np.uint8)
            begin = to_device(np.ascontiguousarray(starts), stream, staged)
            ends = to_device(offsets, stream, staged)
            launch(
                "copy_texts", len(starts), (self.there, begin, ends, np.int64(len(starts)), copy)
            )
        return DeviceText(copy, offsets)

    @classmethod
    def joined(
        cls,
        texts: Sequence[PackedText],
        buffer: Callable[[int], npt.NDArray[np.uint8]] | None = None,  # noqa: ARG003 (of the host)
    ) -> DeviceText:
        """Return texts of several parts, end to end; only parts of different columns are copied."""
        parts: list[Any] = list(texts)
        together = [parts[0].offsets, *(part.offsets[1:] for part in parts[1:])]
        if all(
            part.there is parts[0].there and part.offsets[0] == before.offsets[-1]
            for before, part in pairwise(parts)
        ):
            return cls(parts[0].there, np.concatenate(together))
        moved, at = [np.zeros(1, np.int64)], 0
        for part in parts:
            moved.append(part.offsets[1:] + (at - int(part.offsets[0])))
            at += part.nbytes
        with device_errors(), current_stream():
            pieces = [part.there[int(part.offsets[0]) : int(part.offsets[-1])] for part in parts]
            whole = load_cupy().concatenate(pieces)
        return cls(whole, np.concatenate(moved))


def launch(name: str, texts: int, arguments: tuple[Any, ...]) -> None:
    """Run a kernel of decoded_texts.cu on the current stream."""
    if texts:
        blocks = -(-texts // (THREADS // _WARP))
        kernel_of(_SOURCE, name)((blocks,), (THREADS,), arguments)


_SOURCE = Path(__file__).with_name("decoded_texts.cu").read_text(encoding="utf-8")
