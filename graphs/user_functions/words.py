"""Validation of returned strings and bytes, of any length or of at most a declared one."""

from __future__ import annotations

from reprlib import repr as abridged
from typing import Any

import numpy as np
import numpy.typing as npt

from ...storage.field import STRING, Field
from .unfit import NO_MISSING, OR_NULLABLE, UnfitError, first, is_missing, row_of


def strings(field: Field, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array of objects, each exactly a `str` that UTF-8 can encode.

    Raises
    ------
    UnfitError
        It holds something else, or a string is longer than the field allows.
    """
    if array.dtype.kind == "S":
        raise UnfitError(
            f"returned {array.dtype} for {field.name!r}, which holds strings; decode it: "
            "np.char.decode(..., 'utf-8')"
        )
    if array.dtype.kind not in "OTU":
        raise UnfitError(
            f"returned {array.dtype} for {field.name!r}, which holds strings; convert it: "
            ".astype(str), or declare its dtype"
        )
    array = array.astype(object, copy=False)
    items = array.ravel().tolist()
    if {*map(type, items)} - {str}:  # a subclass cannot be stored: np.str_, an enum's member
        items = [_plain(field, array, at, item) for at, item in enumerate(items)]
        array = np.fromiter(items, object, len(items)).reshape(array.shape)
    try:
        "".join(items).encode()
    except UnicodeEncodeError:
        at, item = first(items, _is_not_unicode)
        raise UnfitError(
            f"returned {abridged(item)} for {field.name!r} at row {row_of(array, at)}, which has a "
            "lone surrogate and so is not valid Unicode; replace it: "
            ".encode(errors='replace').decode()"
        ) from None
    return array if field.dtype == STRING else _fixed(field, array, items, "characters", "\0")


def bytes_of(field: Field, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array of `bytes` objects, or of the declared dtype of bytes.

    Raises
    ------
    UnfitError
        It holds something else, or a value is longer than the field allows.
    """
    fixed = field.array_dtype.kind == "S"
    if array.dtype.kind == "S" and not fixed:
        raise UnfitError(
            f"returned {array.dtype} for {field.name!r}; NumPy drops zero bytes at the end of such "
            "values, so return objects: np.array([...], object)"
        )
    if array.dtype.kind not in "OS":
        remedy = "; encode it: np.char.encode(..., 'utf-8')" if array.dtype.kind in "UT" else ""
        raise UnfitError(f"returned {array.dtype} for {field.name!r}, which holds bytes{remedy}")
    items = array.ravel().tolist()
    at, item = first(items, lambda one: not isinstance(one, bytes | bytearray | memoryview))
    if at >= 0:
        remedy = "; encode it: .encode()" if isinstance(item, str) else ""
        if is_missing(item):
            remedy = f"; {NO_MISSING}: use b'', {OR_NULLABLE}"
        raise UnfitError(
            f"returned {abridged(item)} for {field.name!r} at row {row_of(array, at)}, which holds "
            f"bytes{remedy}"
        )
    plain = list(map(bytes, items))
    if fixed:
        return _fixed(field, array, plain, "bytes", b"\0")
    return np.fromiter(plain, object, len(plain)).reshape(array.shape)


def _fixed(
    field: Field, array: npt.NDArray[Any], items: list[Any], unit: str, zero: Any
) -> npt.NDArray[Any]:
    """Return items in the declared dtype, if each fits and NumPy keeps it whole."""
    most = int(field.dtype[1:])
    at, item = first(items, lambda one: len(one) > most)
    if at >= 0:
        word = "string" if unit == "characters" else "bytes"
        raise UnfitError(
            f"returned {abridged(item)} for {field.name!r} at row {row_of(array, at)}, with "
            f"{len(item):,} {unit}; it is declared {field.dtype}, so declare it '{word}', which "
            f"has no limit, or '{field.dtype[0]}{max(map(len, items))}'"
        )
    at, item = first(items, lambda one: one.endswith(zero))
    if at >= 0:
        raise UnfitError(
            f"returned {abridged(item)} for {field.name!r} at row {row_of(array, at)}; NumPy drops "
            f"the zero at the end of a value of dtype {field.dtype}"
        )
    return np.array(items, field.array_dtype).reshape(array.shape)


def _plain(field: Field, array: npt.NDArray[Any], at: int, item: Any) -> str:
    if isinstance(item, str):
        return str.__str__(item)
    remedy = "; decode it: .decode()" if isinstance(item, bytes) else ""
    if is_missing(item):
        remedy = f"; {NO_MISSING}: use '' or a word of your own, {OR_NULLABLE}"
    raise UnfitError(
        f"returned {abridged(item)} for {field.name!r} at row {row_of(array, at)}, which holds "
        f"strings{remedy}"
    )


def _is_not_unicode(item: str) -> bool:
    try:
        item.encode()
    except UnicodeEncodeError:
        return True
    return False
