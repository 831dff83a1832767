"""Checks of how a field's values are declared: its dtype, its categories, and lists."""

from __future__ import annotations

from collections.abc import Iterable
from reprlib import repr as abridged
from typing import Any

from ..errors import GraphError
from .table import CATEGORY, canonical, kind_of


def declared_dtype(name: str, dtype: Any) -> str:
    """Return the name under which the dtype of a field is stored.

    Raises
    ------
    GraphError
        No kind has this dtype.
    """
    try:
        known = canonical(dtype)
    except TypeError as error:
        hint = "; for text use 'string'" if _names_text(dtype) else ""
        raise GraphError(f"field {name!r}: {dtype!r} is not a NumPy dtype{hint}") from error
    if known is None:
        raise GraphError(
            f"field {name!r}: {dtype!r} cannot be stored; use 'string', 'bytes', 'U8' or 'S8' (at "
            "most 8 characters or bytes), 'category', 'datetime64[s]' (or ms, us, ns), or a "
            "boolean, integer or float dtype of at most 64 bits"
        )
    return known


def declared_categories(name: str, dtype: str, given: Any) -> tuple[str, ...] | None:
    """Return the categories of a field; None if it has none.

    Raises
    ------
    GraphError
        They do not fit the dtype, or are not different strings.
    """
    if (dtype == CATEGORY) != (given is not None):
        raise GraphError(
            f"field {name!r}: dtype 'category' and categories= need each other: "
            f"Field({name!r}, 'category', categories=('a', 'b'))"
        )
    if given is None:
        return None
    words = () if isinstance(given, str) or not isinstance(given, Iterable) else tuple(given)
    different = words and {*map(type, words)} == {str} and len({*words}) == len(words)
    if not different or not is_unicode(words):
        raise GraphError(
            f"field {name!r}: categories must be different strings, at least one, not "
            f"{abridged(given)}"
        )
    return words


def require_list(name: str, dtype: str, shape: tuple[int, ...]) -> None:
    """Raise `GraphError` unless a field may have a list of values of this dtype for each text."""
    if shape:
        raise GraphError(
            f"field {name!r}: a list per text (ragged=True) has no shape; leave out shape={shape}"
        )
    if not (kind_of(dtype).is_number or dtype.startswith("datetime")):
        raise GraphError(
            f"field {name!r}: lists (ragged=True) hold numbers or datetimes, not {dtype!r}; join "
            "strings with a separator, or store their numbers"
        )


def is_unicode(strings: Iterable[str]) -> bool:
    """Return whether UTF-8 can encode strings, which it cannot if they have lone surrogates."""
    try:
        "".join(strings).encode()
    except UnicodeEncodeError:
        return False
    return True


def _names_text(dtype: Any) -> bool:
    return isinstance(dtype, str) and any(word in dtype.lower() for word in ("text", "str", "utf"))
