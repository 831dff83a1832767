"""`items_of`: the values of a column, whichever package holds it."""

from __future__ import annotations

from typing import Any

import numpy as np


def items_of(column: Any) -> list[Any] | None:
    """Return the values of a list, or of a column of any package; None if it is neither.

    >>> items_of(("a", "b")), items_of(np.arange(2)), items_of("ab")
    (['a', 'b'], [0, 1], None)
    """
    if isinstance(column, list | tuple):
        return list(column)
    return list(np.asarray(column).tolist()) if hasattr(column, "__array__") else None
