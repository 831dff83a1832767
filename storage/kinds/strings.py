"""Strings and bytes of any length, and of at most a declared length."""

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


class String(Kind):
    r"""Unicode strings of any length: in memory an array of `str` objects, or an Arrow array.

    >>> String().encode(np.array(["é"], object), 1)
    b'\x01\x00\x00\x00\x02\x00\x00\x00\xc3\xa9'
    """

    array_dtype = np.dtype(object)
    width = 32
    zarr_dtype = "string"
    codec = "vlen-utf8"

    @property
    def fill(self) -> Any:
        """The empty string."""
        return ""

    def encode(self, values: Any, items: int) -> bytes:
        """Return the strings in UTF-8."""
        if not isinstance(values, np.ndarray):
            return pack(PackedText.from_arrow(values), items)
        from numcodecs import VLenUTF8  # faster than `pack`, which needs encoded strings

        flat = values.reshape(-1)
        if len(flat) < items:
            flat = np.concatenate([flat, self.filled((items - len(flat),))])
        return bytes(VLenUTF8().encode(flat))

    @property
    def arrow_type(self) -> pa.DataType:
        """A string."""
        import pyarrow as pa

        return pa.string()

    def to_arrow(self, values: npt.NDArray[Any], known: npt.NDArray[np.bool_]) -> pa.Array:
        """Return a column of strings, or of bytes."""
        return _column(values, known, self.arrow_type)


class Bytes(Kind):
    r"""Bytes of any length, as `bytes` objects.

    Stored in the data type ``bytes`` with the codec ``vlen-bytes``, which have specifications
    among the extensions of Zarr.

    >>> Bytes().encode(np.array([b"\0"], object), 1)
    b'\x01\x00\x00\x00\x01\x00\x00\x00\x00'
    """

    array_dtype = np.dtype(object)
    width = 256
    zarr_dtype = "variable_length_bytes"
    codec = "vlen-bytes"

    @property
    def fill(self) -> Any:
        """No bytes."""
        return b""

    def encode(self, values: Any, items: int) -> bytes:
        """Return the bytes."""
        return pack(PackedText.from_strings(values.reshape(-1).tolist()), items)

    @property
    def arrow_type(self) -> pa.DataType:
        """Bytes."""
        import pyarrow as pa

        return pa.binary()

    def to_arrow(self, values: npt.NDArray[Any], known: npt.NDArray[np.bool_]) -> pa.Array:
        """Return a column of bytes."""
        return _column(values, known, self.arrow_type)


class FixedString(String):
    """Strings of at most a fixed number of characters: NumPy's ``U8``, stored like other strings.

    The data type that zarr-python has for them lacks a specification.

    >>> FixedString(8).array_dtype, FixedString(8).attributes
    (dtype('<U8'), {'fixed': 'U8'})
    """

    def __init__(self, length: int) -> None:
        self.array_dtype = np.dtype(f"U{length}")
        self.width = self.array_dtype.itemsize

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The dtype in memory."""
        return {"fixed": self.array_dtype.str[1:]}

    def encode(self, values: Any, items: int) -> bytes:
        """Return the strings in UTF-8."""
        return super().encode(values.astype(object), items)

    def decode(self, stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the strings in the declared dtype."""
        return stored.astype(self.array_dtype)


class FixedBytes(Bytes):
    """At most a fixed number of bytes: NumPy's ``S8``, stored like other bytes.

    >>> FixedBytes(8).array_dtype, FixedBytes(8).attributes
    (dtype('S8'), {'fixed': 'S8'})
    """

    def __init__(self, length: int) -> None:
        self.array_dtype = np.dtype(f"S{length}")
        self.width = self.array_dtype.itemsize

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The dtype in memory."""
        return {"fixed": self.array_dtype.str[1:]}

    def decode(self, stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the bytes in the declared dtype."""
        return stored.astype(self.array_dtype)


def _column(values: npt.NDArray[Any], known: npt.NDArray[np.bool_], type_: pa.DataType) -> pa.Array:
    import pyarrow as pa

    pairs = zip(values.tolist(), known.tolist(), strict=True)
    return pa.array([value if is_known else None for value, is_known in pairs], type_)
