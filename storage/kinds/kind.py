"""`Kind`: what every kind of value defines; `PlainKind` is one that NumPy stores as it holds it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa


class Kind(ABC):
    """How values are held in memory, stored, and seen in a table.

    In memory, values are a NumPy array that can be sliced by rows, concatenated, and filled through
    a mask. Stored, they are a Zarr array that any reader of Zarr opens.

    Attributes
    ----------
    array_dtype : dtype
        The dtype of an array in memory.
    width : int
        Bytes per value before compression; an estimate if values vary in length.
    zarr_dtype : str
        The data type as zarr-python names it.
    codec : str
        The codec between values and bytes: ``bytes``, ``vlen-utf8`` or ``vlen-bytes``.
    is_number : bool
        Whether values can be averaged and ranked.
    """

    array_dtype: np.dtype[Any]
    width: int
    zarr_dtype: str
    codec = "bytes"
    is_number = False

    @property
    @abstractmethod
    def fill(self) -> Any:
        """The value of a row that is not computed yet, quarantined, or missing."""

    @property
    def zarr_fill(self) -> Any:
        """The fill value as zarr-python takes it."""
        return self.fill

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Attributes of the stored array, which say how to read it."""
        return {}

    def filled(self, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """Return an array in which every value is the fill."""
        return np.full(shape, self.fill, self.array_dtype)

    @abstractmethod
    def encode(self, values: Any, items: int) -> bytes:
        """Return `values` as `codec` encodes them, padded with the fill to `items` values."""

    def decode(self, stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return what zarr-python read as it is held in memory."""
        return stored

    def readable(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return values in memory as `open_results` shows them."""
        return values

    def unequal(self, one: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Return by row whether two arrays in memory differ; NaN and NaT equal themselves.

        >>> from paninifs.storage.kinds.numbers import Number
        >>> nan, zero = np.array([np.nan, 0.0]), np.array([np.nan, -0.0])
        >>> Number(np.dtype("float64")).unequal(nan, zero).tolist()
        [False, True]
        """
        differ = one.astype(object) != other.astype(object)
        return _any_of_row(differ)

    @property
    @abstractmethod
    def arrow_type(self) -> pa.DataType:
        """The type of a column of a table."""

    @abstractmethod
    def to_arrow(self, values: npt.NDArray[Any], known: npt.NDArray[np.bool_]) -> pa.Array:
        """Return one-dimensional values as a column, null where they are not known."""


def _any_of_row(differ: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    axes = tuple(range(1, differ.ndim))
    return np.asarray(differ.astype(np.bool_).any(axis=axes), np.bool_)


class PlainKind(Kind):
    r"""Values of a fixed number of bytes, stored as NumPy holds them.

    >>> from paninifs.storage.kinds.numbers import Number
    >>> Number(np.dtype("int16")).encode(np.array([1, 2], "int16"), 3)
    b'\x01\x00\x02\x00\x00\x00'
    """

    def encode(self, values: Any, items: int) -> bytes:
        """Return the values, little-endian, padded with the fill to `items` values."""
        flat = np.ascontiguousarray(values).reshape(-1)
        if len(flat) < items:
            padded = self.filled((items,))
            padded[: len(flat)] = flat
            flat = padded
        data: bytes = flat.astype(self.array_dtype.newbyteorder("<"), copy=False).tobytes()
        return data

    def unequal(self, one: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Return by row whether any bit differs."""
        bits = f"u{self.array_dtype.itemsize}"
        first, second = (
            np.ascontiguousarray(values.astype(self.array_dtype, copy=False)).view(bits)
            for values in (one, other)
        )
        return _any_of_row(first != second)
