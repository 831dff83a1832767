"""Booleans, integers and floats of 16 to 64 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .kind import PlainKind

if TYPE_CHECKING:
    import pyarrow as pa


class Number(PlainKind):
    """Booleans and numbers of at most 64 bits.

    >>> Number(np.dtype("bool")).fill, Number(np.dtype("float16")).fill
    (False, 0.0)
    """

    is_number = True

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.array_dtype = dtype
        self.width = dtype.itemsize
        self.zarr_dtype = dtype.name

    @property
    def fill(self) -> Any:
        """Zero, or false."""
        return self.array_dtype.type(0).item()

    @property
    def arrow_type(self) -> pa.DataType:
        """The same type; float32 for float16, which few readers of tables know."""
        import pyarrow as pa

        return (
            pa.float32() if self.array_dtype == "float16" else pa.from_numpy_dtype(self.array_dtype)
        )

    def to_arrow(self, values: npt.NDArray[Any], known: npt.NDArray[np.bool_]) -> pa.Array:
        """Return a column of numbers."""
        import pyarrow as pa

        return pa.array(np.ascontiguousarray(values), mask=~known).cast(self.arrow_type)
