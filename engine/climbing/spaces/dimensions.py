"""Dimensions given as a number or as names, and starts that the user gives for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ....storage.errors import UsageError


def names_of(dimensions: int | Sequence[str]) -> tuple[int, tuple[str, ...] | None]:
    """Return the number of dimensions, and their names if they have any.

    Raises
    ------
    UsageError
        It is neither a number of at least 1 nor different names.

    Examples
    --------
    >>> names_of(3), names_of(["MOUVEMENT", "EMOTION"])
    ((3, None), (2, ('MOUVEMENT', 'EMOTION')))
    """
    if isinstance(dimensions, int | np.integer):
        if dimensions < 1 or isinstance(dimensions, bool):
            raise UsageError(f"a space has at least one dimension, not {dimensions}")
        return int(dimensions), None
    unordered = isinstance(dimensions, set | frozenset)
    if isinstance(dimensions, str) or unordered or not hasattr(dimensions, "__len__"):
        raise UsageError(
            f"the dimensions are given by their number or by a list of names, not {dimensions!r}"
        )
    names = tuple(dimensions)
    wrong = [name for name in names if not isinstance(name, str) or not name]
    if wrong or not names:
        found = repr(wrong[0]) if wrong else "an empty list"
        raise UsageError(f"names of dimensions are strings that are not empty, not {found}")
    if len(set(names)) < len(names):
        twice = next(name for at, name in enumerate(names) if name in names[:at])
        raise UsageError(f"two dimensions are called {twice!r}; give each a name of its own")
    return len(names), names


def numbers_of(start: Any, dimensions: int) -> npt.NDArray[Any]:
    """Return a start as an array of finite numbers, one per dimension, in the dtype it has.

    Raises
    ------
    UsageError
        It holds anything else, or has another length.

    Examples
    --------
    >>> numbers_of([True, False], 2)
    array([ True, False])
    """
    try:
        numbers = np.asarray(start)
    except ValueError as error:
        raise UsageError(f"a start is a list of numbers; this one is uneven: {error}") from error
    if numbers.shape != (dimensions,):
        raise UsageError(
            f"a start of this space has {dimensions} numbers in one dimension, not the shape "
            f"{numbers.shape}"
        )
    if numbers.dtype.kind not in "biuf":
        raise UsageError(f"a start holds numbers, not {numbers.dtype}")
    if not np.isfinite(numbers).all():
        at = int(np.argmin(np.isfinite(numbers)))
        raise UsageError(f"a start holds finite numbers; at position {at} is {numbers[at]}")
    return numbers
