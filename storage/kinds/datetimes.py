"""Moments in UTC, or without a time zone, as NumPy's `datetime64`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .kind import PlainKind

if TYPE_CHECKING:
    import pyarrow as pa

UNITS = ("s", "ms", "us", "ns")


class Datetime(PlainKind):
    """Moments counted from 1970 in one unit.

    They are stored in the data type ``numpy.datetime64``, which has a specification. The other
    form, integers with the units of the CF conventions, cannot be used: xarray decodes it to
    nanoseconds, and cannot open a store that holds a single year before 1678 or after 2262 (xarray
    2026.9, without cftime).

    >>> Datetime("s").array_dtype, Datetime("us").fill
    (dtype('<M8[s]'), np.datetime64('NaT','us'))
    """

    width = 8

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self.array_dtype = np.dtype(f"datetime64[{unit}]")
        self.zarr_dtype = self.array_dtype.name

    @property
    def fill(self) -> Any:
        """Not a time."""
        return np.datetime64("NaT", self.unit)  # type: ignore[call-overload]

    @property
    def arrow_type(self) -> pa.DataType:
        """A timestamp without time zone."""
        import pyarrow as pa

        return pa.timestamp(self.unit)

    def to_arrow(self, values: npt.NDArray[Any], known: npt.NDArray[np.bool_]) -> pa.Array:
        """Return a column of timestamps."""
        import pyarrow as pa

        return pa.array(np.ascontiguousarray(values), self.arrow_type, mask=~known)
