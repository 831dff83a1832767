"""Validation of what a block's code returned: each value becomes the array of a field, or an error.

The errors say what was returned and what to write in its place, so that the advice works. `block`
names the block in them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from reprlib import repr as abridged
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ...storage.field import STRING, Field

_MISSING = "fields have no missing values"


class UnfitError(Exception):
    """What is wrong with a returned value, as a phrase that follows the block's name."""


def by_field(fields: Sequence[Field], returned: Any) -> list[Any]:
    """Return the value of each field, from what a block's code returned.

    Raises
    ------
    UnfitError
        There are more or fewer values than fields.
    """
    names = [field.name for field in fields]
    if isinstance(returned, Mapping):
        if set(returned) != set(names):
            raise UnfitError(f"returned {sorted(map(str, returned))}; return these: {names}")
        return [returned[name] for name in names]
    if len(fields) == 1:
        return [returned]
    if isinstance(returned, Sequence) and len(returned) == len(fields):
        return list(returned)
    kind = type(returned).__name__
    count = f" of {len(returned)}" if isinstance(returned, list | tuple) else ""
    raise UnfitError(
        f"returned {kind}{count} for {len(fields)} fields; return one array per field, as a tuple "
        f"in the order {', '.join(names)}, or as a dictionary"
    )


def array_of(field: Field, value: Any, rows: int) -> npt.NDArray[Any]:
    """Return a field's value as a read-only array of the declared dtype and shape, without a copy.

    Arrays of pandas, Arrow, Polars and other libraries count as NumPy arrays. An array on a GPU
    stays there.

    Raises
    ------
    UnfitError
        It is not an array, or its dtype or shape differs from the declaration, or it holds values
        that cannot be stored.
    """
    on_device = hasattr(value, "__cuda_array_interface__")
    array = value if on_device else _on_host(field, value)
    dtype = _dtype_on_device(array) if on_device else array.dtype
    if field.dtype == STRING and not on_device:
        array = _strings(field, array)
    elif dtype != field.array_dtype:
        raise UnfitError(_wrong_dtype(field, array, dtype))
    if tuple(array.shape) != (rows, *field.shape):
        raise UnfitError(
            f"returned shape {tuple(array.shape)} for {field.name!r}; {rows} texts with values of "
            f"shape {field.shape} need {(rows, *field.shape)}"
        )
    if on_device:
        return cast("npt.NDArray[Any]", array)
    array = array.view()
    array.flags.writeable = False  # blocks share the arrays that are stored
    return cast("npt.NDArray[Any]", array)


def _on_host(field: Field, value: Any) -> npt.NDArray[Any]:
    if isinstance(value, np.ma.MaskedArray):
        masked = np.argwhere(np.ma.getmaskarray(value))
        if len(masked):  # what lies under the mask would be stored
            raise UnfitError(
                f"returned masked values for {field.name!r}, the first at row {masked[0][0]}; "
                f"{_MISSING}, so fill them: .filled(...)"
            )
        return np.asarray(value.data)
    if not hasattr(value, "__array__") or isinstance(value, type):
        raise UnfitError(f"returned {_not_an_array(field, value)}")
    try:
        return np.asarray(value)
    except Exception as error:
        raise UnfitError(
            f"returned {type(value).__name__} for {field.name!r}, which does not convert to a "
            f"NumPy array: {type(error).__name__}: {error}"
        ) from error


def _not_an_array(field: Field, value: Any) -> str:
    dtype = "object" if field.dtype == STRING else field.dtype
    wrong = f"{type(value).__name__} for {field.name!r}, not an array"
    if value is None:
        return f"{wrong}; does the function end with a return?"
    if isinstance(value, Set):
        return f"{wrong}, and a set has no order; return one value per text, in their order"
    if isinstance(value, Iterator):
        return f"{wrong}; wrap it: np.array(list(...), {dtype!r})"
    if hasattr(value, "toarray"):  # a sparse matrix
        return f"{wrong}; convert it: .toarray()"
    if isinstance(value, str | bytes | int | float) or not hasattr(value, "__len__"):
        return f"{wrong}; return one value per text: np.array([...], {dtype!r})"
    return f"{wrong}; wrap it: np.array(..., {dtype!r})"


def _dtype_on_device(array: Any) -> np.dtype[Any]:
    known = isinstance(array.dtype, np.dtype)  # unlike the dtype of a tensor of PyTorch
    dtype: np.dtype[Any] = np.dtype(
        array.dtype if known else array.__cuda_array_interface__["typestr"]
    )
    return dtype


# --- strings --------------------------------------------------------------------------------------


def _strings(field: Field, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array of objects, each exactly a `str` that UTF-8 can encode."""
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
        at, item = _first(items, _is_not_unicode)
        raise UnfitError(
            f"returned {abridged(item)} for {field.name!r} at row {_row(array, at)}, which has a "
            "lone surrogate and so is not valid Unicode; replace it: "
            ".encode(errors='replace').decode()"
        ) from None
    return array


def _plain(field: Field, array: npt.NDArray[Any], at: int, item: Any) -> str:
    if isinstance(item, str):
        return str.__str__(item)
    remedy = "; decode it: .decode()" if isinstance(item, bytes) else ""
    if _is_missing(item):
        remedy = f"; {_MISSING}: use '' or a word of your own"
    raise UnfitError(
        f"returned {abridged(item)} for {field.name!r} at row {_row(array, at)}, which holds "
        f"strings{remedy}"
    )


def _is_not_unicode(item: str) -> bool:
    try:
        item.encode()
    except UnicodeEncodeError:
        return True
    return False


# --- numbers --------------------------------------------------------------------------------------


def _wrong_dtype(field: Field, array: Any, dtype: np.dtype[Any]) -> str:
    """Describe the difference, with a conversion only if it loses nothing."""
    wrong = f"returned {dtype} for {field.name!r}, which is declared {field.dtype}"
    if field.dtype == STRING:
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
        loss = _loss(array, items, wanted)
        if loss:
            return f"{wrong}; {loss}"
    return wrong if "; " in wrong else f"{wrong}; convert it: .astype({field.dtype!r})"


def _odd_object(field: Field, array: npt.NDArray[Any]) -> str:
    """Describe the first object that is not a number."""
    items = array.ravel().tolist()
    at, item = _first(items, lambda one: not isinstance(one, int | float) or _is_missing(one))
    if at < 0:
        return ""
    odd = f"; it holds {abridged(item)} at row {_row(array, at)}"
    if _is_missing(item):
        own = "np.nan" if field.array_dtype.kind == "f" else "a number of your own, such as -1"
        return f"{odd}, and {_MISSING}: use {own}"
    if hasattr(item, "__len__") and not isinstance(item, str | bytes):
        return f"{odd}: values of different lengths must be filled up to one shape"
    return odd


def _loss(array: npt.NDArray[Any], items: npt.NDArray[Any], wanted: np.dtype[Any]) -> str:
    """Return what a conversion to integers would lose, if anything."""
    if items.dtype.kind == "f" and not np.isfinite(items).all():
        at = int(np.argmin(np.isfinite(items)))
        return (
            f"an integer cannot be {items[at]}, as at row {_row(array, at)}: use a number of your "
            "own, such as -1, or declare a float"
        )
    limits = np.iinfo(wanted)
    for extreme in (items.min(), items.max()):
        if not limits.min <= extreme <= limits.max:
            return f"{extreme} does not fit; declare a wider dtype"
    if items.dtype.kind == "f" and (items != np.rint(items)).any():
        return f"declare a float, or round: np.rint(...).astype({wanted.name!r})"
    return ""


def _is_missing(item: Any) -> bool:
    if item is None or type(item).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(item, float) and math.isnan(item)


def _first(items: Sequence[Any], test: Callable[[Any], bool]) -> tuple[int, Any]:
    return next(((at, item) for at, item in enumerate(items) if test(item)), (-1, None))


def _row(array: npt.NDArray[Any], at: int) -> int:
    """Return the row of the batch that holds the item at a position of the flattened array."""
    return at // max(1, array.size // max(1, len(array))) if array.ndim else 0
