"""Validation of what a block's code returned: each value becomes the array of a field, or an error.

The errors say what was returned and what to write in its place, so that the advice works. `block`
names the block in them. Missing values are separated in `missing`; each other module here validates
one kind of values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ...storage.field import BYTES, STRING, Field
from .codes import codes
from .dates import moments
from .lists import lists
from .missing import without_missing
from .unfit import NO_MISSING, OR_NULLABLE, UnfitError, row_of
from .words import bytes_of, strings
from .wrong_numbers import wrong_dtype

__all__ = ["UnfitError", "array_of", "arrays_of", "by_field"]


def by_field(fields: Sequence[Field], returned: Any) -> list[Any]:
    """Return the value of each field, from what a block's code returned.

    Raises
    ------
    UnfitError
        There are more or fewer values than fields.
    """
    names = [field.name for field in fields]
    if isinstance(returned, Mapping):
        if set(returned) != set(names):
            raise UnfitError(f"returned {sorted(map(str, returned))}; return these: {names}")
        return [returned[name] for name in names]
    if len(fields) == 1:
        return [returned]
    if isinstance(returned, Sequence) and len(returned) == len(fields):
        return list(returned)
    kind = type(returned).__name__
    count = f" of {len(returned)}" if isinstance(returned, list | tuple) else ""
    raise UnfitError(
        f"returned {kind}{count} for {len(fields)} fields; return one array per field, as a tuple "
        f"in the order {', '.join(names)}, or as a dictionary"
    )


def arrays_of(field: Field, value: Any, rows: int) -> dict[str, npt.NDArray[Any]]:
    """Return every stored array of a field by name: its values and, if it is nullable, its mask.

    Raises
    ------
    UnfitError
        See `array_of`.

    Examples
    --------
    >>> found = arrays_of(Field("year", "int16", nullable=True), [1900, None], 2)
    >>> found["year"].tolist(), found["year_valid"].tolist()
    ([1900, 0], [True, False])
    """
    if not field.nullable:
        return {field.name: array_of(field, value, rows)}
    filled, known = without_missing(field, value, rows)
    array = array_of(replace(field, nullable=False), filled, rows)
    if known.shape != (rows,):
        raise UnfitError(
            f"returned {known.size:,} values for {field.name!r}; {rows:,} texts need {rows:,}"
        )
    if not known.all():  # what lies under the mask must be the same whatever was returned
        array = array.copy()
        array[~known] = field.fill
    return {field.name: _read_only(array), field.mask: _read_only(known)}


def array_of(field: Field, value: Any, rows: int) -> npt.NDArray[Any]:
    """Return a field's value as a read-only array of the declared dtype and shape.

    Arrays of pandas, Arrow, Polars and other libraries count as NumPy arrays. Numbers and strings
    are not copied. An array on a GPU stays there.

    Raises
    ------
    UnfitError
        It is not an array, or its dtype or shape differs from the declaration, or it holds values
        that cannot be stored.
    """
    on_device = hasattr(value, "__cuda_array_interface__")
    if on_device:
        array = value
        dtype = _dtype_on_device(array)
    else:
        array = _on_host(field, value, rows)
        dtype = array.dtype
    if dtype != field.array_dtype or (on_device and not field.is_number):
        raise UnfitError(wrong_dtype(field, array, dtype))
    if tuple(array.shape) != (rows, *field.shape):
        raise UnfitError(
            f"returned shape {tuple(array.shape)} for {field.name!r}; {rows} texts with values of "
            f"shape {field.shape} need {(rows, *field.shape)}"
        )
    return _read_only(array)


def _read_only(array: Any) -> npt.NDArray[Any]:
    if isinstance(array, np.ndarray):  # else it is on a GPU
        array = array.view()
        array.flags.writeable = False  # blocks share the arrays that are stored
    return cast("npt.NDArray[Any]", array)


def _on_host(field: Field, value: Any, rows: int) -> npt.NDArray[Any]:
    """Return a value as a NumPy array, checked as far as its kind needs it."""
    if field.ragged and hasattr(value, "to_arrow"):  # Polars
        value = value.to_arrow()
    if isinstance(value, np.ma.MaskedArray):
        value = _unmasked(field, value)
    if value is not None and not isinstance(value, Set | Iterator):
        if field.ragged:
            return lists(field, value, rows)
        if field.categories is not None:
            return _all_known(field, codes(field, value))
        if field.array_dtype.kind == "M":
            return _all_known(field, moments(field, value))
    array = _as_array(field, value)
    if field.dtype == STRING or field.array_dtype.kind == "U":
        return strings(field, array)
    if field.dtype == BYTES or field.array_dtype.kind == "S":
        return bytes_of(field, array)
    return array


def _unmasked(field: Field, value: Any) -> npt.NDArray[Any]:
    masked = np.argwhere(np.ma.getmaskarray(value))
    if len(masked):  # what lies under the mask would be stored
        raise UnfitError(
            f"returned masked values for {field.name!r}, the first at row {masked[0][0]}; "
            f"{NO_MISSING}, so fill them: .filled(...), {OR_NULLABLE}"
        )
    return np.asarray(value.data)


def _all_known(field: Field, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array of datetimes or codes, unless a value in it is missing."""
    missing = (np.isnat(array) if array.dtype.kind == "M" else array == field.fill).ravel()
    if missing.any():
        row = row_of(array, int(np.argmax(missing)))
        raise UnfitError(
            f"returned a missing value for {field.name!r} at row {row}; {NO_MISSING}: use a value "
            f"of your own, {OR_NULLABLE}"
        )
    return array


def _as_array(field: Field, value: Any) -> npt.NDArray[Any]:
    if not hasattr(value, "__array__") or isinstance(value, type):
        raise UnfitError(f"returned {_not_an_array(field, value)}")
    try:
        return np.asarray(value)
    except Exception as error:
        raise UnfitError(
            f"returned {type(value).__name__} for {field.name!r}, which does not convert to a "
            f"NumPy array: {type(error).__name__}: {error}"
        ) from error


def _not_an_array(field: Field, value: Any) -> str:
    dtype = "object" if field.array_dtype.kind in "OUS" else field.dtype
    wrong = f"{type(value).__name__} for {field.name!r}, not an array"
    if value is None:
        return f"{wrong}; does the function end with a return?"
    if isinstance(value, Set):
        return f"{wrong}, and a set has no order; return one value per text, in their order"
    if isinstance(value, Iterator):
        return f"{wrong}; wrap it: np.array(list(...), {dtype!r})"
    if hasattr(value, "toarray"):  # a sparse matrix
        return f"{wrong}; convert it: .toarray()"
    if isinstance(value, str | bytes | int | float) or not hasattr(value, "__len__"):
        return f"{wrong}; return one value per text: np.array([...], {dtype!r})"
    return f"{wrong}; wrap it: np.array(..., {dtype!r})"


def _dtype_on_device(array: Any) -> np.dtype[Any]:
    known = isinstance(array.dtype, np.dtype)  # unlike the dtype of a tensor of PyTorch
    dtype: np.dtype[Any] = np.dtype(
        array.dtype if known else array.__cuda_array_interface__["typestr"]
    )
    return dtype
