"""`UnfitError`, and how the errors about returned values name a row and advise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

NO_MISSING = "fields have no missing values"
OR_NULLABLE = "or declare the field with nullable=True"


class UnfitError(Exception):
    """An unsuitable returned value; the message is a phrase that follows the block's name."""


def is_missing(item: Any) -> bool:
    """Return whether an object stands for a missing value: None, NA, NaT or NaN.

    >>> [is_missing(one) for one in (None, float("nan"), np.datetime64("NaT", "s"), "")]
    [True, True, True, False]
    """
    if item is None or type(item).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(item, np.datetime64):
        return bool(np.isnat(item))
    return isinstance(item, float | np.floating) and math.isnan(item)


def first(items: Sequence[Any], test: Callable[[Any], bool]) -> tuple[int, Any]:
    """Return the first item that passes a test, with its position; or -1 and None."""
    return next(((at, item) for at, item in enumerate(items) if test(item)), (-1, None))


def row_of(array: npt.NDArray[Any], at: int) -> int:
    """Return the row of the batch that holds the item at a position of the flattened array."""
    return at // max(1, array.size // max(1, len(array))) if array.ndim else 0


def objects(items: Sequence[Any]) -> npt.NDArray[Any]:
    """Return a one-dimensional array of objects, also if the items are arrays of one length.

    >>> objects([np.arange(2), np.arange(2)]).shape
    (2,)
    """
    array = np.empty(len(items), object)
    for at, item in enumerate(items):
        array[at] = item
    return array


def lossless(array: npt.NDArray[Any], wanted: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return numbers of Python in a dtype, if it can hold them; others as they are.

    Floats may be rounded, because Python has only those of 64 bits.

    >>> [lossless(np.array(one), np.dtype("int8")).dtype.name for one in ([1.0], [1.5], [300])]
    ['int8', 'float64', 'int64']
    """
    if array.dtype.kind not in "iuf" or wanted.kind not in "iuf":
        return array
    with np.errstate(over="ignore", invalid="ignore"):
        made = array.astype(wanted)
    fits = np.isfinite(made) == np.isfinite(array) if wanted.kind == "f" else made == array
    return made if fits.all() else array
