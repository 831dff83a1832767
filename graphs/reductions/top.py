"""`top`: the texts with the greatest or the least values of a field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...storage.errors import GraphError
from ..block import ID, TEXT
from .chunks import (
    array_of,
    field_of,
    fold,
    lazy,
    not_nan,
    rows_of,
    whole_number,
)
from .reduce_block import ReduceBlock

if TYPE_CHECKING:
    import xarray as xr

MOST_TEXTS = 100_000


def top(field: str, *, k: int = 10, smallest: bool = False, name: str | None = None) -> ReduceBlock:
    """Return the reduction to the texts with the greatest values of a field.

    Of texts with equal values, the earlier one comes first.

    Parameters
    ----------
    field : str
        A numeric field or kept column with one value per text.
    k : int
        Number of texts, at most 100,000.
    smallest : bool
        Find the least values instead.
    name : str, optional
        Name of the reduction. By default ``FIELD_top``, or ``FIELD_bottom``.

    Returns
    -------
    ReduceBlock
        Its result is a Dataset of min(k, n) texts, the greatest value first:

        - ``value``: [rank], in the field's dtype;
        - ``row``: int64 [rank], the coordinate ``row`` of the text, or without it the text's
          number among those that are left;
        - ``id``: [rank], the text's identifier, if there are any.

        NaN is left out. Unfilled ranks have row -1, value NaN and an empty id (0 if the ids are
        integers).

    Raises
    ------
    GraphError
        `k` is not valid. When it is computed: the field has several values per text.

    Examples
    --------
    >>> import xarray as xr
    >>> texts = xr.Dataset(
    ...     {"n": ("text", [3, 9, 9, 1])}, coords={"id": ("text", ["a", "b", "c", "d"])}
    ... )
    >>> found = top("n", k=3)(texts).compute()
    >>> found.id.values.tolist(), found.value.values.tolist(), found.row.values.tolist()
    (['b', 'c', 'a'], [9, 9, 3], [1, 2, 0])
    """
    number = whole_number("k", k, 1, MOST_TEXTS)
    return ReduceBlock(
        name=name or f"{field}_{'bottom' if smallest else 'top'}",
        function=_top,
        params={"field": field, "k": number, "smallest": bool(smallest)},
        version="1",
    )


class _Texts(NamedTuple):
    """Some texts, in the order of their values."""

    values: npt.NDArray[Any]
    rows: npt.NDArray[np.int64]
    ids: npt.NDArray[Any]


def _top(results: xr.Dataset, *, field: str, k: int, smallest: bool) -> xr.Dataset:
    import xarray as xr
    from dask.delayed import delayed

    values = field_of(results, field)
    if values.ndim != 1:
        raise GraphError(
            f"{field!r} has dimensions {dict(values.sizes)}; top needs one value per text"
        )
    with_ids = ID in results.variables
    rows = rows_of(results, values.data)
    ids = array_of(results, ID).data if with_ids else rows
    if ids.chunks != rows.chunks:
        raise GraphError(f"{ID!r} and {field!r} are chunked differently")
    places = min(k, values.sizes[TEXT])
    firsts = fold(_first, _Merge(k, smallest), [values.data, rows, ids], k, smallest)
    found = delayed(_padded, pure=True)(firsts, places)
    id_dtype = np.dtype(object) if ids.dtype.kind in "OUT" else ids.dtype
    arrays = {
        "value": ("rank", lazy(found[0], (places,), values.dtype)),
        "row": ("rank", lazy(found[1], (places,), "int64")),
    }
    if with_ids:
        arrays[ID] = ("rank", lazy(found[2], (places,), id_dtype))
    return xr.Dataset(arrays).set_coords([ID] if with_ids else [])


@dataclass(frozen=True)
class _Merge:
    """Merges the first texts of chunks."""

    k: int
    smallest: bool

    def __call__(self, states: list[_Texts]) -> _Texts:
        values, rows, ids = (np.concatenate(parts) for parts in zip(*states, strict=True))
        return _first(values, rows, ids, self.k, self.smallest)


def _first(
    values: npt.NDArray[Any],
    rows: npt.NDArray[np.int64],
    ids: npt.NDArray[Any],
    k: int,
    smallest: bool,
) -> _Texts:
    """Return the first k texts by value; the given order decides between equal values."""
    kept = np.flatnonzero(not_nan(values))
    if smallest:
        order = np.argsort(values[kept], kind="stable")[:k]
    else:
        # Reversed twice, so that equal values keep their order without negating values.
        order = len(kept) - 1 - np.argsort(values[kept][::-1], kind="stable")[::-1][:k]
    chosen = kept[order]
    return _Texts(values[chosen], rows[chosen], _objects(ids[chosen]))


def _objects(ids: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return ids.astype(object) if ids.dtype.kind in "UT" else ids


def _padded(texts: _Texts, places: int) -> _Texts:
    missing = places - len(texts.rows)
    if not missing:
        return texts
    floats = texts.values.dtype.kind == "f"
    empty = "" if texts.ids.dtype.kind == "O" else 0
    return _Texts(
        np.pad(texts.values, (0, missing), constant_values=np.nan if floats else 0),
        np.pad(texts.rows, (0, missing), constant_values=-1),
        np.concatenate([texts.ids, np.full(missing, empty, texts.ids.dtype)]),
    )
