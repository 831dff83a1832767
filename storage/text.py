"""`PackedText`: consecutive texts as two flat buffers, the form in which kernels read them.

Only the layout belongs here. Texts are read into memory by `storage.corpus` and `storage.formats`,
and `graphs.kernels` computes with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@dataclass(frozen=True)
class PackedText:
    """Texts laid end to end: Arrow's string layout, without the validity bitmap.

    Text ``i`` is ``data[offsets[i]:offsets[i + 1]]``. The first offset may be non-zero, so that
    a slice can share its parent's buffers. The bytes of a null text are undefined.

    On a GPU both are CuPy arrays, and iterating over texts copies them to the host.

    Parameters
    ----------
    data : uint8 array, shape (bytes,)
        UTF-8, read-only.
    offsets : int32 or int64 array, shape (n + 1,)
        Ascending byte positions in `data`.

    Examples
    --------
    >>> text = PackedText.from_strings(["dhātu", "", "racine"])
    >>> len(text), text.nbytes, text.offsets.dtype
    (3, 12, dtype('int64'))
    >>> text[1:].to_bytes()
    [b'', b'racine']
    """

    data: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int32] | npt.NDArray[np.int64]

    @classmethod
    def from_arrow(cls, array: pa.Array) -> PackedText:
        """View an Arrow ``string``, ``large_string`` or binary array, copying nothing."""
        import pyarrow as pa  # here, because kernels do not need it

        if pa.types.is_string(array.type) or pa.types.is_binary(array.type):
            width: Any = np.int32
        elif pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type):
            width = np.int64
        else:
            raise TypeError(f"text must be an Arrow string array, not {array.type}")
        if len(array) == 0:
            return cls(np.empty(0, np.uint8), np.zeros(1, width))
        _, offsets, data = array.buffers()
        flat = np.empty(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
        ends = np.frombuffer(offsets, width)
        flat.flags.writeable = ends.flags.writeable = False
        return cls(flat, ends[array.offset : array.offset + len(array) + 1])

    @classmethod
    def joined(
        cls,
        texts: Sequence[PackedText],
        buffer: Callable[[int], npt.NDArray[np.uint8]] = lambda nbytes: np.empty(nbytes, np.uint8),
    ) -> PackedText:
        """Return texts of several parts, end to end.

        Parameters
        ----------
        buffer : callable
            Makes the memory, of a number of bytes, for the texts and for their offsets.

        Examples
        --------
        >>> parts = [PackedText.from_strings(["un", "deux"])[1:], PackedText.from_strings(["x"])]
        >>> PackedText.joined(parts).to_strings()
        ['deux', 'x']
        """
        data = buffer(sum(part.nbytes for part in texts))
        offsets = buffer(8 * (1 + sum(map(len, texts)))).view(np.int64)
        offsets[0] = at = row = 0
        for part in texts:
            first, last = int(part.offsets[0]), int(part.offsets[-1])
            data[at : at + last - first] = part.data[first:last]
            np.add(part.offsets[1:], at - first, out=offsets[row + 1 : row + 1 + len(part)])
            at, row = at + last - first, row + len(part)
        data.flags.writeable = offsets.flags.writeable = False
        return cls(data, offsets)

    @classmethod
    def from_series(cls, series: pd.Series) -> list[PackedText]:
        """View a pandas column of Arrow-backed text: one `PackedText` per Arrow chunk, no copy."""
        if not hasattr(series.array, "__arrow_array__"):
            raise TypeError(f"text must be an Arrow-backed column, not {series.dtype}")
        import pyarrow as pa

        column = pa.chunked_array(series.array.__arrow_array__())
        return [cls.from_arrow(chunk) for chunk in column.chunks if len(chunk)]

    @classmethod
    def from_strings(cls, texts: Sequence[str | bytes]) -> PackedText:
        """Pack Python strings (UTF-8) or bytes, for tests and small experiments."""
        raw = [t.encode() if isinstance(t, str) else t for t in texts]
        # Not with pyarrow.array, which would import pandas to check whether this is a Series.
        offsets = np.cumsum([0, *map(len, raw)], dtype=np.int64)
        data = np.frombuffer(b"".join(raw), np.uint8)
        offsets.flags.writeable = False
        return cls(data, offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, rows: slice) -> PackedText:
        """Return consecutive texts, sharing the buffers."""
        start, stop, step = rows.indices(len(self))
        if step != 1:
            raise ValueError(
                "a PackedText can only be sliced into consecutive rows; step must be 1"
            )
        stop = max(start, stop)
        return PackedText(self.data, self.offsets[start : stop + 1])

    def __iter__(self) -> Iterator[memoryview]:
        """Yield each text as a read-only view of its bytes."""
        view = _on_host(self.data).data
        ends = _on_host(self.offsets).tolist()
        for start, stop in pairwise(ends):
            yield view[start:stop]

    def chosen(self, mask: npt.NDArray[np.bool_]) -> PackedText:
        """Return a copy of the texts for which a mask is true. In the host's memory only.

        >>> PackedText.from_strings(["un", "deux", "x"]).chosen(np.array([True, False, True]))[1:]
        ... # doctest: +ELLIPSIS
        PackedText(data=array([117, 110, 120], dtype=uint8), offsets=array([2, 3]...))
        """
        import pyarrow as pa

        wide = self.offsets.dtype == np.int64
        buffers = [None, pa.py_buffer(self.offsets), pa.py_buffer(self.data)]
        kind = pa.large_binary() if wide else pa.binary()
        return PackedText.from_arrow(
            pa.Array.from_buffers(kind, len(self), buffers).filter(pa.array(mask))
        )

    def beginnings(self, rows: slice, most: int) -> list[memoryview]:
        """Return up to `most` bytes of some texts, chosen with a step.

        >>> text = PackedText.from_strings(["un", "deux", "x"])
        >>> [bytes(one) for one in text.beginnings(slice(0, 3, 2), 1)]
        [b'u', b'x']
        """
        starts, ends = self.offsets[:-1][rows], self.offsets[1:][rows]
        ends = starts + np.minimum(ends - starts, most)
        view = self.data.data
        return [view[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]

    @property
    def nbytes(self) -> int:
        """Bytes of text (not of the whole buffer, which a slice shares)."""
        return int(self.offsets[-1] - self.offsets[0])

    def to_strings(self) -> list[str]:
        """Return the texts as Python strings.

        >>> PackedText.from_strings(["dhātu", "le mot"]).to_strings()
        ['dhātu', 'le mot']
        """
        return [str(view, "utf-8") for view in self]

    def to_bytes(self) -> list[bytes]:
        """Return the texts as Python bytes."""
        return [bytes(view) for view in self]


def _on_host(array: Any) -> npt.NDArray[Any]:
    on_host: npt.NDArray[Any] = array if isinstance(array, np.ndarray) else array.get()
    return on_host
