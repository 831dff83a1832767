"""Validation of returned categories: strings, categoricals of pandas and Arrow, or codes."""

from __future__ import annotations

from reprlib import repr as abridged
from typing import Any

import numpy as np
import numpy.typing as npt

from ...storage.field import Field
from .unfit import UnfitError, first, is_missing, objects, row_of

_MISSING = -1


def codes(field: Field, value: Any) -> npt.NDArray[Any]:
    """Return the code of each category; -1 where a value is missing.

    Raises
    ------
    UnfitError
        A value is not one of the field's categories.
    """
    names = field.categories or ()
    if hasattr(value, "combine_chunks"):
        value = value.combine_chunks()
    if hasattr(value, "dictionary_decode"):
        value = value.dictionary_decode()
    array = objects(value) if isinstance(value, list | tuple) else np.asarray(value)
    if array.dtype.kind in "iu":
        wrong = (array < _MISSING) | (array >= len(names))
        if wrong.any():
            at = int(np.argmax(wrong.ravel()))
            raise UnfitError(
                f"returned the code {array.ravel()[at]} for {field.name!r} at row "
                f"{row_of(array, at)}; its {len(names)} categories have the codes 0 to "
                f"{len(names) - 1}"
            )
        return array.astype(field.array_dtype)
    if array.dtype.kind not in "OTU":
        raise UnfitError(
            f"returned {array.dtype} for {field.name!r}, which holds categories; return strings, "
            "or their positions in categories= as integers"
        )
    code_of: dict[Any, int] = {name: code for code, name in enumerate(names)}
    items = array.ravel().tolist()
    found = [_MISSING if is_missing(item) else _code(code_of, item) for item in items]
    at, _ = first(found, lambda code: code is None)
    if at >= 0:
        raise UnfitError(
            f"returned {abridged(items[at])} for {field.name!r} at row {row_of(array, at)}, which "
            f"is not one of its categories: {abridged(list(names))}; add it to categories="
        )
    return np.array(found, field.array_dtype).reshape(array.shape)


def _code(code_of: dict[Any, int], item: Any) -> int | None:
    return code_of.get(item) if isinstance(item, str) else None
