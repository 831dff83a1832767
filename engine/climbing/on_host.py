"""`on_host`: scores and counts as arrays of NumPy, whichever package computed them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def on_host(array: Any) -> npt.NDArray[Any]:
    """Return an array of NumPy, CuPy or JAX as one of NumPy.

    >>> on_host(np.arange(2))
    array([0, 1])
    """
    of_device = hasattr(array, "__cuda_array_interface__") and hasattr(array, "get")
    return np.asarray(array.get() if of_device else array)
