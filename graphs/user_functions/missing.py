"""Separates missing values from the others in the values returned for a nullable field.

Missing values are None, NA, NaT, nulls of Arrow and Polars, masked values, NaN among objects, and
NaN in a column of pandas. NaN in a NumPy array of floats is a number.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from ...storage.field import Field
from .codes import codes
from .dates import moments
from .unfit import UnfitError, is_missing, lossless, objects

Known = npt.NDArray[np.bool_]  # by row: whether it has a value


def without_missing(field: Field, value: Any, rows: int) -> tuple[Any, Known]:
    """Return a value with valid stand-ins for missing items, and a mask of the known ones.

    Raises
    ------
    UnfitError
        A row is missing in part.
    """
    everything = np.ones(rows, np.bool_)
    if value is None or hasattr(value, "__cuda_array_interface__"):
        return value, everything
    if isinstance(value, np.ma.MaskedArray):
        return _of_masked(field, value)
    if hasattr(value, "to_arrow") and hasattr(value, "null_count"):  # Polars
        value = value.to_arrow()
    if hasattr(value, "null_count") and hasattr(value, "is_valid"):  # Arrow
        return _of_arrow(field, value)
    if hasattr(value, "isna") and hasattr(value, "to_numpy"):  # pandas
        return _of_pandas(field, value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "Miu" and not field.ragged:
        return _of_marked(field, value)
    if isinstance(value, list) or (isinstance(value, tuple) and not field.ragged):
        return _of_objects(field, list(value))
    if isinstance(value, np.ndarray) and value.dtype.kind == "O" and value.ndim == 1:
        return _of_objects(field, list(value))
    return value, everything


def _placeholder(field: Field) -> Any:
    """Return a valid value of one text."""
    if field.categories:
        return field.categories[0]
    if field.ragged:
        return []
    if field.array_dtype.kind == "M":
        return np.zeros((), field.array_dtype)[()]
    return field.filled(1)[0] if field.shape else field.fill


def _of_masked(field: Field, value: Any) -> tuple[Any, Known]:
    mask = np.ma.getmaskarray(value)
    flat = mask.reshape(len(mask), -1) if mask.ndim else mask.reshape(1, 1)
    partly = flat.any(axis=1) & ~flat.all(axis=1)
    if partly.any():
        raise UnfitError(
            f"returned values for {field.name!r} of which some are masked at row "
            f"{int(np.argmax(partly))}; a text's value is missing as a whole, or not at all"
        )
    data = np.array(value.data)
    if data.dtype.kind == "U":
        data = data.astype(object)  # a category may be longer than what was returned
    known = ~np.asarray(flat.all(axis=1), np.bool_)
    if not known.all():
        codes_of = field.categories is not None and data.dtype.kind in "iu"
        with suppress(TypeError, ValueError):  # its dtype is wrong, which the caller finds
            data[~known] = 0 if codes_of else _placeholder(field)
    return data, known


def _of_arrow(field: Field, value: Any) -> tuple[Any, Known]:
    known = np.asarray(value.is_valid())
    if known.all():
        return value, known
    if hasattr(value, "combine_chunks"):
        value = value.combine_chunks()
    if hasattr(value, "dictionary_decode"):
        value = value.dictionary_decode()
    placeholder = _placeholder(field)
    if isinstance(placeholder, list | np.ndarray):
        return _of_objects(field, value.to_pylist())
    if field.array_dtype.kind == "M":
        return _of_moments(field, value)
    try:
        return value.fill_null(placeholder), known
    except (TypeError, ValueError):  # its type is wrong, which the caller finds
        return value, known


def _of_pandas(field: Field, value: Any) -> tuple[Any, Known]:
    known = ~np.asarray(value.isna())
    if known.all():
        return value, known
    if field.array_dtype.kind == "M":
        return _of_moments(field, value)
    dtype = getattr(value.dtype, "numpy_dtype", value.dtype)
    if field.is_number and isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        if dtype == field.array_dtype:
            return value.to_numpy(dtype=dtype, na_value=_placeholder(field)), known
        if dtype.kind != "f":
            return value.dropna().to_numpy(dtype=dtype), known  # the caller finds the wrong dtype
    return _of_objects(field, value.to_numpy(dtype=object).tolist())


def _of_moments(field: Field, value: Any) -> tuple[Any, Known]:
    """Return datetimes, and which are not NaT."""
    array = moments(field, value)
    known = ~np.isnat(array)
    return _filled(array, known)


def _of_marked(field: Field, value: npt.NDArray[Any]) -> tuple[Any, Known]:
    """Separate NaT, and the code that stands for no category, in a NumPy array."""
    if field.array_dtype.kind == "M" and value.dtype.kind == "M":
        return _of_moments(field, value)
    if field.categories and value.dtype.kind in "iu":
        array = codes(field, value)
        return _filled(array, array != field.fill)
    return value, np.ones(len(value) if value.ndim else 1, np.bool_)


def _filled(array: npt.NDArray[Any], known: Known) -> tuple[Any, Known]:
    by_row = np.asarray(known.all(axis=tuple(range(1, known.ndim))), np.bool_)
    if not by_row.all():
        array = array.copy()
        array[~by_row] = 0
    return array, by_row


def _of_objects(field: Field, items: list[Any]) -> tuple[Any, Known]:
    if field.array_dtype.kind == "M":
        return _of_moments(field, items)
    missing = [is_missing(item) for item in items]
    known = ~np.array(missing, np.bool_)
    placeholder = _placeholder(field)
    full = [placeholder if gone else item for gone, item in zip(missing, items, strict=True)]
    if field.ragged or field.categories or field.array_dtype.kind not in "biuf":
        return (full if field.ragged else objects(full)), known
    return _numbers(field, full), known


def _numbers(field: Field, items: list[Any]) -> npt.NDArray[Any]:
    """Return numbers in the declared dtype if nothing is lost; else as NumPy takes them."""
    wanted = field.array_dtype
    try:
        if not field.shape:
            return lossless(np.array(items), wanted)
        given = [one if isinstance(one, np.ndarray) else np.array(one) for one in items]
        return np.stack(
            [
                array if array is one else lossless(array, wanted)
                for array, one in zip(given, items, strict=True)
            ]
        )
    except (ValueError, TypeError, OverflowError):
        return objects(items)
