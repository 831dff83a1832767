"""Validation of returned lists: lists of lists or arrays, of Arrow, or flat with offsets."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from reprlib import repr as abridged
from typing import Any

import numpy as np
import numpy.typing as npt

from ...storage.field import Field
from .dates import moments
from .unfit import NO_MISSING, OR_NULLABLE, UnfitError, first, is_missing, lossless, objects
from .wrong_numbers import loss


def lists(field: Field, value: Any, rows: int) -> npt.NDArray[Any]:
    """Return an array of objects: one array of the declared dtype per text.

    Accepted are a list or array with one list or array per text; an array of two axes; a list array
    of Arrow; and a tuple ``(values, offsets)``, in which text i has ``values[offsets[i] :
    offsets[i + 1]]``. A tuple always means the latter, so that two texts are not taken for it.

    Raises
    ------
    UnfitError
        It is none of these, or an item cannot be stored without loss.
    """
    if isinstance(value, tuple):
        return _of_pair(field, value, rows)
    if hasattr(value, "flatten") and hasattr(value, "null_count"):  # Arrow
        return _of_arrow(field, value)
    if isinstance(value, np.ndarray) and value.ndim > 1:
        value = list(value)
    if isinstance(value, str | bytes) or not hasattr(value, "__len__"):
        raise UnfitError(
            f"returned {type(value).__name__} for {field.name!r}; return one list or array per "
            f"text: [np.array([...], {field.dtype!r}), ...]"
        )
    items = list(value)
    if len(items) != rows:
        raise UnfitError(
            f"returned {len(items):,} lists for {field.name!r}; {rows:,} texts need {rows:,}"
        )
    return objects([_row(field, at, item) for at, item in enumerate(items)])


def _of_arrow(field: Field, value: Any) -> npt.NDArray[Any]:
    import pyarrow.compute as pc

    if value.null_count:
        row = int(np.argmax(np.asarray(value.is_null())))
        raise UnfitError(_without_value(field, None, row))
    lengths = np.asarray(pc.list_value_length(value))
    return _split(field, value.flatten(), np.concatenate([[0], np.cumsum(lengths)]))


def _without_value(field: Field, item: Any, row: int) -> str:
    return (
        f"returned {item!r} for {field.name!r} at row {row}, which holds lists; {NO_MISSING}: "
        f"use [], {OR_NULLABLE}"
    )


def _of_pair(field: Field, value: Sequence[Any], rows: int) -> npt.NDArray[Any]:
    advice = f"return a list with one list per text, or (values, offsets) with {rows + 1:,} offsets"
    if len(value) != 2:
        raise UnfitError(f"returned a tuple of {len(value)} for {field.name!r}; {advice}")
    items, offsets = value[0], np.asarray(value[1])
    if offsets.dtype.kind not in "iu" or offsets.shape != (rows + 1,):
        raise UnfitError(
            f"returned offsets of shape {offsets.shape}, {offsets.dtype} for {field.name!r}; "
            f"{advice}, as integers"
        )
    ascend = (offsets[1:] >= offsets[:-1]).all()
    if (offsets[0], offsets[-1]) != (0, len(items)) or not ascend:
        raise UnfitError(
            f"returned offsets for {field.name!r} that do not ascend from 0 to {len(items):,}, the "
            "number of values"
        )
    return _split(field, items, offsets)


def _split(field: Field, items: Any, offsets: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if getattr(items, "null_count", 0):
        raise UnfitError(
            f"returned a list with a null for {field.name!r}; items of a list cannot be missing"
        )
    flat = _exact(field, np.asarray(items), "among the values")
    return objects([flat[start:stop] for start, stop in pairwise(offsets.tolist())])


def _row(field: Field, row: int, item: Any) -> npt.NDArray[Any]:
    if is_missing(item):
        raise UnfitError(_without_value(field, item, row))
    if isinstance(item, str | bytes) or not hasattr(item, "__len__"):
        raise UnfitError(
            f"returned {abridged(item)} for {field.name!r} at row {row}, which holds lists; return "
            f"a list or array per text: np.array([...], {field.dtype!r})"
        )
    at, missing = first(item, is_missing) if isinstance(item, list | tuple) else (-1, None)
    if at >= 0:
        raise UnfitError(
            f"returned a list with {missing!r} for {field.name!r} at row {row}; items of a list "
            "cannot be missing: leave them out"
        )
    return _exact(field, item, f"at row {row}")


def _exact(field: Field, item: Any, where: str) -> npt.NDArray[Any]:
    """Return items in the declared dtype; Python's own numbers are converted if nothing is lost."""
    wanted = field.item_dtype
    try:
        array = np.asarray(item)
        if array.shape == (0,):
            return np.empty(0, wanted)
        if wanted.kind == "M":
            array = moments(field, item)
        elif isinstance(item, list | tuple):
            array = lossless(array, wanted)
    except (ValueError, OverflowError):  # lists of different lengths, or too large a number
        array = np.empty((), object)
    if array.ndim != 1:
        raise UnfitError(
            f"returned {abridged(item)} for {field.name!r} {where}; return a list or array with "
            f"one axis, of values that {field.dtype} can hold"
        )
    if array.dtype != wanted:
        numbers = wanted.kind in "iu" and array.dtype.kind in "iuf"
        advice = numbers and loss(array, array, wanted)
        raise UnfitError(
            f"returned {array.dtype} for {field.name!r} {where}, whose lists are declared "
            f"{field.dtype}; {advice or f'convert it: .astype({field.dtype!r})'}"
        )
    array = array.view()
    array.flags.writeable = False
    return array
