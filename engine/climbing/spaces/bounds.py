"""Bounds of a space, the same for all of its dimensions or one for each."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ....storage.errors import UsageError


class Bounds:
    """The least and the greatest value of each dimension.

    Parameters
    ----------
    low, high : float or sequence of float
        One for all dimensions, or one for each; both are values of the space.
    dimensions : int
        Number of dimensions.
    dtype : dtype
        ``int64`` or ``float64``; bounds of ``int64`` must be whole.
    most : float
        Greatest magnitude of a bound.

    Attributes
    ----------
    low, high : array [d]
        Read-only, of the given dtype.
    width : array [d]
        Their differences.
    free : array of int64
        Dimensions with more than one value.

    Raises
    ------
    UsageError
        A bound is not such a number, or a lower one is above the upper one.

    Examples
    --------
    >>> bounds = Bounds(0, [3, 0], dimensions=2, dtype=np.dtype("int64"), most=2**53)
    >>> bounds.width, bounds.free
    (array([3, 0]), array([0]))
    """

    def __init__(
        self, low: Any, high: Any, *, dimensions: int, dtype: np.dtype[Any], most: float
    ) -> None:
        self.low = _bound("lower", low, dimensions=dimensions, dtype=dtype, most=most)
        self.high = _bound("upper", high, dimensions=dimensions, dtype=dtype, most=most)
        crossed = self.low > self.high
        if crossed.any():
            at = int(np.argmax(crossed))
            raise UsageError(
                f"the lower bound {self.low[at]} is above the upper bound {self.high[at]}, in "
                f"dimension {at}; exchange them"
            )
        self.width = self.high - self.low
        self.free = np.flatnonzero(self.width > 0)

    def clip(self, states: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return states with the nearest bound in place of numbers outside of the bounds."""
        within: npt.NDArray[Any] = np.clip(states, self.low, self.high)
        return within

    def check(self, numbers: npt.NDArray[Any]) -> None:
        """Raise `UsageError` for a number outside of the bounds of its dimension."""
        outside = (numbers < self.low) | (numbers > self.high)
        if outside.any():
            at = int(np.argmax(outside))
            raise UsageError(
                f"at position {at} of the start is {numbers[at]}, outside of the bounds "
                f"{self.low[at]} to {self.high[at]}"
            )

    def describe(self) -> dict[str, Any]:
        """Return the bounds for a description in JSON: a number if they are all the same."""
        return {"low": _described(self.low), "high": _described(self.high)}


def _bound(
    which: str, given: Any, *, dimensions: int, dtype: np.dtype[Any], most: float
) -> npt.NDArray[Any]:
    try:
        numbers = np.asarray(given)
    except ValueError as error:
        raise UsageError(f"the {which} bounds are a list of uneven lists: {error}") from error
    if numbers.dtype.kind not in "iuf" or not ((numbers >= -most) & (numbers <= most)).all():
        raise UsageError(f"{which} bounds are numbers from {-most:g} to {most:g}, not {given!r}")
    if numbers.shape not in {(), (dimensions,)}:
        raise UsageError(
            f"give one {which} bound, or one for each of {dimensions} dimensions, not an array of "
            f"the shape {numbers.shape}"
        )
    if dtype.kind == "i" and (numbers != np.rint(numbers)).any():
        raise UsageError(f"{which} bounds of integers are whole numbers, not {given!r}")
    bound = np.broadcast_to(numbers, dimensions).astype(dtype)
    bound += dtype.type(0)  # 0.0 for -0.0, so that equal bounds have the same description
    bound.flags.writeable = False
    return bound


def _described(bound: npt.NDArray[Any]) -> Any:
    values = bound.tolist()
    return values[0] if len(set(values)) == 1 else values
