"""The groups that a kept column, or a field with one value per text, divides the texts into.

The labels must be known before the graph of a grouped reduction can be made, so they are computed
when it is called. Only labels are brought together, never rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...storage.errors import GraphError
from .chunks import array_of, fold, is_missing, validity_of

if TYPE_CHECKING:
    import dask.array as da
    import xarray as xr

MOST_GROUPS = 10_000
"""Maximum number of groups."""


def grouped(results: xr.Dataset, by: str) -> tuple[npt.NDArray[Any], da.Array]:
    """Return the labels of the groups, and lazily the group of each text.

    Parameters
    ----------
    by : str
        Name of a kept column or of a field, with one string, number or bool per text.

    Returns
    -------
    labels : array [g]
        Sorted, strings by code point. Missing values, NaN and None are not a label.
    groups : dask.array.Array, int64 [n]
        Position of each text's label; -1 where it is missing.

    Raises
    ------
    GraphError
        The column does not exist, has several values per text, or has more than `MOST_GROUPS`
        different ones.
    """
    import dask.array as da

    column = array_of(results, by)
    if column.ndim != 1 or column.dtype.kind not in "biufOUT":
        raise GraphError(
            f"by={by!r} is {column.dtype} with dimensions {dict(column.sizes)}; groups need one "
            "string, number or bool per text"
        )
    known = validity_of(results, by)
    arrays = [column.data] if known is None else [column.data, known.data]
    found = fold(_labels, _all_labels, arrays).compute()
    if len(found) > MOST_GROUPS:
        raise GraphError(
            f"by={by!r} makes more than {MOST_GROUPS:,} groups of texts (at least "
            f"{len(found):,}); group by a column with fewer different values"
        )
    strings = column.dtype.kind in "OUT"
    labels = np.array(sorted(found), dtype=object if strings else column.dtype)
    positions = {label: position for position, label in enumerate(labels.tolist())}
    groups = da.map_blocks(
        _positions, *arrays, positions=positions, dtype="int64", meta=np.empty(0, "int64")
    )
    return labels, groups


def _labels(values: npt.NDArray[Any], known: npt.NDArray[np.bool_] | None = None) -> set[Any]:
    found = set((values if known is None else values[known]).tolist())
    return _limited({label for label in found if not is_missing(label)})


def _all_labels(states: list[set[Any]]) -> set[Any]:
    return _limited(set().union(*states))


def _limited(labels: set[Any]) -> set[Any]:
    """Return the labels; if there are too many, only enough to show it."""
    if len(labels) <= MOST_GROUPS:
        return labels
    return set(sorted(labels)[: MOST_GROUPS + 1])


def _positions(
    values: npt.NDArray[Any],
    known: npt.NDArray[np.bool_] | None = None,
    *,
    positions: dict[Any, int],
) -> npt.NDArray[np.int64]:
    found = np.fromiter((positions.get(one, -1) for one in values.tolist()), "int64", len(values))
    return found if known is None else np.where(known, found, -1)
