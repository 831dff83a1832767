"""Validation of returned datetimes: those of NumPy, pandas, Arrow and Python.

Datetimes with a time zone are converted to UTC. Those without one are stored as they are, because
their zone is unknown; a field must not mix the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from reprlib import repr as abridged
from typing import Any

import numpy as np
import numpy.typing as npt

from ...storage.field import Field
from .unfit import UnfitError, first, is_missing, objects, row_of


def moments(field: Field, value: Any) -> npt.NDArray[Any]:
    """Return datetimes in the declared unit; NaT where a value is missing.

    Raises
    ------
    UnfitError
        A value is not a datetime, or the declared unit cannot hold it.
    """
    zone = getattr(getattr(value, "dtype", None), "tz", None)
    if zone is not None:  # pandas: as UTC, without the zone
        accessor = getattr(value, "dt", value)
        value = accessor.tz_convert(None)
    if getattr(getattr(value, "type", None), "tz", None):  # Arrow holds them as UTC
        value = value.cast(_without_zone(value.type))
    array = objects(value) if isinstance(value, list | tuple) else np.asarray(value)
    if array.dtype.kind == "O":
        array = _of_objects(field, array)
    if array.dtype.kind != "M":
        raise UnfitError(
            f"returned {array.dtype} for {field.name!r}, which is declared {field.dtype}; convert "
            f"it: np.array(..., {field.dtype!r})"
        )
    return _in_unit(field, array, range(len(array)) if array.ndim else (0,))


def _without_zone(type_: Any) -> Any:
    import pyarrow as pa

    return pa.timestamp(type_.unit)


def _of_objects(field: Field, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    items = array.ravel().tolist()
    at, item = first(items, lambda one: not (is_missing(one) or isinstance(one, _DATES)))
    if at >= 0:
        raise UnfitError(
            f"returned {abridged(item)} for {field.name!r} at row {row_of(array, at)}, which is "
            "not a datetime; convert it: datetime.fromisoformat(...)"
        )
    zoned = {getattr(item, "tzinfo", None) is not None for item in items if not is_missing(item)}
    if len(zoned) > 1:
        raise UnfitError(
            f"returned datetimes with and without a time zone for {field.name!r}; give all of them "
            "one: .replace(tzinfo=datetime.UTC)"
        )
    made = [_NOT_A_TIME if is_missing(item) else _exact(item) for item in items]
    converted = np.empty(len(made), field.item_dtype)
    for dtype in dict.fromkeys(item.dtype for item in made):  # they differ in range and precision
        these = [at for at, item in enumerate(made) if item.dtype == dtype]
        rows = [row_of(array, at) for at in these]
        converted[these] = _in_unit(field, np.array([made[at] for at in these], dtype), rows)
    return converted.reshape(array.shape)


_DATES = (datetime, date, np.datetime64)
_NOT_A_TIME = np.datetime64("NaT", "s")  # NumPy 2.5 warns about one without a unit


def _exact(item: Any) -> np.datetime64:
    if isinstance(item, np.datetime64):
        return item
    if getattr(item, "tzinfo", None) is not None:
        item = item.astimezone(UTC).replace(tzinfo=None)
    if hasattr(item, "to_datetime64"):  # pandas, which has nanoseconds
        exact: np.datetime64 = item.to_datetime64()
        return exact
    return np.datetime64(item)


def _in_unit(field: Field, array: npt.NDArray[Any], rows: Sequence[int]) -> npt.NDArray[Any]:
    wanted = field.item_dtype
    converted = array.astype(wanted)
    lost = ((converted.astype(array.dtype) != array) & ~np.isnat(array)).ravel()
    if lost.any():
        at = int(np.argmax(lost))
        returned = (
            f"returned {array.ravel()[at]} for {field.name!r} at row {rows[row_of(array, at)]}"
        )
        if np.result_type(array.dtype, wanted) != wanted:
            raise UnfitError(
                f"{returned}, whose fraction {field.dtype} cannot hold; declare a finer unit, or "
                f"truncate: .astype({field.dtype!r})"
            )
        raise UnfitError(
            f"{returned}, which is out of the range of {field.dtype}; declare a coarser unit, such "
            "as 'datetime64[s]'"
        )
    return converted
