"""The kind of a declared dtype, and of a stored array."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from .categories import Category
from .datetimes import UNITS, Datetime
from .kind import Kind
from .numbers import Number
from .ragged import Ragged
from .strings import Bytes, FixedBytes, FixedString, String

STRING, BYTES, CATEGORY = "string", "bytes", "category"

STORED_FORM = frozenset({"ragged", "fixed", "flag_values", "flag_meanings"})
"""Attributes that hold only for an array as it is stored."""

_FIXED = re.compile(r"([US])([1-9]\d{0,5})")
_WORDS: dict[str, type[Kind]] = {STRING: String, BYTES: Bytes}


def canonical(dtype: Any) -> str | None:
    """Return the name under which a dtype is stored; None if no kind has it.

    >>> [canonical(dtype) for dtype in ("f2", "<U8", "M8[s]", "string", "complex64", "M8[D]")]
    ['float16', 'U8', 'datetime64[s]', 'string', None, None]
    """
    if isinstance(dtype, str) and dtype in (*_WORDS, CATEGORY):
        return dtype
    if dtype is None:
        return None
    found = np.dtype(dtype)
    if found.kind in "US":
        name = found.str[1:]
        return name if _FIXED.fullmatch(name) else None
    if found.kind == "M":
        return found.name if np.datetime_data(found) in [(unit, 1) for unit in UNITS] else None
    return found.name if found.kind in "biuf" and found.itemsize <= 8 else None


@lru_cache(maxsize=1024)
def kind_of(dtype: str, ragged: bool = False, categories: tuple[str, ...] | None = None) -> Kind:
    """Return the kind of a canonical dtype.

    >>> type(kind_of("int32", ragged=True)).__name__, kind_of("S3").width
    ('Ragged', 3)
    """
    if ragged:
        return Ragged(kind_of(dtype))
    if dtype == CATEGORY:
        return Category(categories or ())
    if dtype in _WORDS:
        return _WORDS[dtype]()
    fixed = _FIXED.fullmatch(dtype)
    if fixed:
        length = int(fixed[2])
        return FixedString(length) if fixed[1] == "U" else FixedBytes(length)
    declared = np.dtype(dtype)
    if declared.kind == "M":
        return Datetime(np.datetime_data(declared)[0])
    return Number(declared)


def stored_kind(attributes: Mapping[str, Any], dtype: np.dtype[Any]) -> Kind | None:
    """Return the kind of an array whose attributes say how to read it; None for all others.

    Parameters
    ----------
    attributes : mapping
        Attributes of the stored array.
    dtype : dtype
        The dtype in which it is read. An array that a user added may have the same attributes.

    Examples
    --------
    >>> row = np.arange(2, dtype="<i4").tobytes()
    >>> stored_kind({"ragged": "<i4"}, np.dtype(object)).decode(np.array([row], object))[0].tolist()
    [0, 1]
    >>> stored_kind({"categories": ["fr"]}, np.dtype(object)) is None
    True
    """
    if dtype.kind == "i" and isinstance(attributes.get("categories"), list):
        return Category(tuple(map(str, attributes["categories"])))
    for name in ("ragged", "fixed"):
        if name in attributes and dtype.kind in "OTUS":
            try:
                declared = canonical(attributes[name])
            except TypeError:
                return None
            if declared is not None and (name == "ragged" or _FIXED.fullmatch(declared)):
                return kind_of(declared, ragged=name == "ragged")
    return None
