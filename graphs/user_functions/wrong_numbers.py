"""What is wrong with returned numbers, and how to convert them if nothing is lost."""

from __future__ import annotations

from reprlib import repr as abridged
from typing import Any

import numpy as np
import numpy.typing as npt

from ...storage.field import Field
from .unfit import NO_MISSING, OR_NULLABLE, first, is_missing, row_of


def wrong_dtype(field: Field, array: Any, dtype: np.dtype[Any]) -> str:
    """Describe the difference, with a conversion only if it loses nothing."""
    wrong = f"returned {dtype} for {field.name!r}, which is declared {field.dtype}"
    if not field.is_number:
        return f"{wrong}; return an array of the host"
    if not isinstance(array, np.ndarray):
        return f"{wrong}; convert it: .astype({field.dtype!r})"
    items = array.ravel()
    if dtype.kind == "O":
        wrong, items = f"{wrong}{_odd_object(field, array)}", np.empty(0)
    elif dtype.kind in "UTS":
        return f"{wrong}; convert each text to a number, or declare the field 'string'"
    elif dtype.kind in "mMcV":
        return f"{wrong}; return numbers of that dtype"
    wanted = field.array_dtype
    if len(items) and wanted.kind in "iu" and dtype.kind in "iuf":
        lost = loss(array, items, wanted)
        if lost:
            return f"{wrong}; {lost}"
    return wrong if "; " in wrong else f"{wrong}; convert it: .astype({field.dtype!r})"


def _odd_object(field: Field, array: npt.NDArray[Any]) -> str:
    """Describe the first object that is not a number."""
    items = array.ravel().tolist()
    at, item = first(items, lambda one: not isinstance(one, int | float) or is_missing(one))
    if at < 0:
        return ""
    odd = f"; it holds {abridged(item)} at row {row_of(array, at)}"
    if is_missing(item):
        own = "np.nan" if field.array_dtype.kind == "f" else "a number of your own, such as -1"
        return f"{odd}, and {NO_MISSING}: use {own}, {OR_NULLABLE}"
    if hasattr(item, "__len__") and not isinstance(item, str | bytes):
        return (
            f"{odd}: values of different lengths must be filled up to one shape, or the field "
            "declared with ragged=True"
        )
    return odd


def loss(array: npt.NDArray[Any], items: npt.NDArray[Any], wanted: np.dtype[Any]) -> str:
    """Return what a conversion to integers would lose, if anything."""
    if items.dtype.kind == "f" and not np.isfinite(items).all():
        at = int(np.argmin(np.isfinite(items)))
        return (
            f"an integer cannot be {items[at]}, as at row {row_of(array, at)}: use a number of "
            f"your own, such as -1, declare a float, {OR_NULLABLE}"
        )
    limits = np.iinfo(wanted)
    for extreme in (items.min(), items.max()):
        if not limits.min <= extreme <= limits.max:
            return f"{extreme} does not fit; declare a wider dtype"
    if items.dtype.kind == "f" and (items != np.rint(items)).any():
        return f"declare a float, or round: np.rint(...).astype({wanted.name!r})"
    return ""
