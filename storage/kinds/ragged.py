"""Lists: for each row an array of its own length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..text import PackedText
from .kind import Kind
from .packing import pack

if TYPE_CHECKING:
    import pyarrow as pa

ITEMS_EXPECTED = 128
"""Estimated items per row, from which the size of a row is estimated."""


class Ragged(Kind):
    r"""One array per row, of any length: in memory an array of objects, each a NumPy array.

    A row is stored as the bytes of its items, little-endian, in the data type ``bytes``. The
    attribute ``ragged`` names their dtype: ``numpy.frombuffer(row, array.attrs["ragged"])``. One
    array of all items, with offsets beside it, would have chunks that are not rows of the corpus.

    Parameters
    ----------
    item : Kind
        The kind of the items: numbers or datetimes.

    Examples
    --------
    >>> from paninifs.storage.kinds.numbers import Number
    >>> kind = Ragged(Number(np.dtype("int16")))
    >>> rows = kind.filled((2,))
    >>> rows[0] = np.array([1, 2], "int16")
    >>> kind.encode(rows, 2)
    b'\x02\x00\x00\x00\x04\x00\x00\x00\x01\x00\x02\x00\x00\x00\x00\x00'
    """

    array_dtype = np.dtype(object)
    zarr_dtype = "variable_length_bytes"
    codec = "vlen-bytes"
    zarr_fill = b""

    def __init__(self, item: Kind) -> None:
        self.item = item
        self.width = item.width * ITEMS_EXPECTED
        self._stored = item.array_dtype.newbyteorder("<")

    @property
    def fill(self) -> Any:
        """An empty list, in an array without axes, which NumPy assigns to any number of rows."""
        nothing = np.empty(0, self.item.array_dtype)
        nothing.flags.writeable = False
        wrapped = np.empty((), object)
        wrapped[()] = nothing
        return wrapped

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The dtype of the items."""
        return {"ragged": self._stored.str}

    def encode(self, values: Any, items: int) -> bytes:
        """Return the items of each row."""
        rows = list(values)
        lengths = np.fromiter(map(len, rows), np.int64, len(rows)) * self._stored.itemsize
        flat = np.concatenate([np.empty(0, self.item.array_dtype), *rows])
        data = flat.astype(self._stored, copy=False).view(np.uint8)
        offsets: npt.NDArray[np.int64] = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return pack(PackedText(data, offsets), items)

    def decode(self, stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return one array per row."""
        rows = np.empty(stored.shape, object)
        for at, data in enumerate(stored.reshape(-1).tolist()):
            rows.flat[at] = np.frombuffer(data, self._stored).astype(
                self.item.array_dtype, copy=False
            )
        return rows

    def unequal(self, one: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Return by row whether the lists differ in length, or in any bit."""
        pairs = zip(one, other, strict=True)
        differ = [first.tobytes() != second.tobytes() for first, second in pairs]
        return np.array(differ, np.bool_)

    @property
    def arrow_type(self) -> pa.DataType:
        """A list, which may have more than 2³¹ items in all."""
        import pyarrow as pa

        return pa.large_list(self.item.arrow_type)

    def to_arrow(self, values: npt.NDArray[Any], known: npt.NDArray[np.bool_]) -> pa.Array:
        """Return a column of lists."""
        import pyarrow as pa

        rows = list(values)
        flat = np.concatenate([np.empty(0, self.item.array_dtype), *rows])
        items = self.item.to_arrow(flat, np.ones(len(flat), np.bool_))
        offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
        missing = pa.array(~known)
        return pa.LargeListArray.from_arrays(pa.array(offsets), items, mask=missing)
