"""`neighbours`: for every text, the texts whose vectors are nearest to its own.

All texts are compared with all. The texts are taken 4,096 at a time, and for each such block every
shard is read once. How a block and a shard are compared, exactly, is in `closest`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...storage.errors import GraphError
from .chunks import fold, lazy, read_again, rows_of, vector_field_of, whole_number
from .closest import METRICS, Closest, closest_in, distances_of, joined, vectors_of
from .reduce_block import ReduceBlock

if TYPE_CHECKING:
    import xarray as xr

BLOCK_TEXTS = 4096
"""Texts that are compared with a shard at once. The results do not depend on it."""

MOST_NEIGHBOURS = 1000
MOST_TEXTS = 10_000_000

PAIR_SECONDS = 1e-8
"""Seconds that one core needs per pair of texts, beside those of their values."""

VALUE_SECONDS = 4e-11
"""Seconds that one core needs per value of a pair."""


def neighbours(
    field: str,
    *,
    k: int = 10,
    metric: str = "cosine",
    limit: int = 200_000,
    name: str | None = None,
) -> ReduceBlock:
    """Return the reduction to the k nearest other texts of every text, by the vectors of a field.

    The search is exact: distances are computed in float64, summed in the order of the values, so
    that neither the machine nor the number of workers or the size of the shards changes a bit. Of
    equally near texts, the earlier one comes first. Products in float32 only exclude pairs that
    cannot be among the nearest, by a bound on the rounding errors.

    The cost grows with the square of the number of texts. For vectors of 384 values, one core needs
    about four minutes for 100,000 texts, and seven hours for a million. No task holds more than a
    shard, the vectors of 4,096 texts and their nearest texts.

    Parameters
    ----------
    field : str
        A numeric field with one dimension beside ``text``.
    k : int
        Number of neighbours per text, at most 1,000.
    metric : {"cosine", "euclidean"}
        The distance: one minus the cosine of the angle between two vectors, or the length of their
        difference.
    limit : int
        Maximum number of texts, at most 10 million. The result is brought into one process, so it
        may have at most 256 MiB: 2 million texts for 10 neighbours.
    name : str, optional
        Name of the reduction. By default ``FIELD_neighbours``.

    Returns
    -------
    ReduceBlock
        Its result is a Dataset of the texts that are not quarantined:

        - ``neighbour``: int64 [row, rank], the rows of the nearest texts, the nearest first;
        - ``distance``: float32 [row, rank];
        - ``row``: int64 [row], the coordinate ``row`` of each text, or without it the text's number
          among those that are left.

        A text is not its own neighbour. Ranks for which there is no text have neighbour -1 and
        distance NaN. So have all ranks of a text with a value that is not finite, and for cosine of
        a text whose values are all zero, because it has no direction; it is never a neighbour
        either.

    Raises
    ------
    GraphError
        A parameter is not valid. When it is computed: the field has another shape, or there are
        more texts than `limit`.

    See Also
    --------
    peek : finds the texts that are nearest to a sentence.

    Examples
    --------
    >>> import xarray as xr
    >>> vectors = [[1.0, 0.0], [0.0, 2.0], [3.0, 1.0], [0.0, 0.0]]
    >>> texts = xr.Dataset({"x": (("text", "axis"), vectors)})
    >>> found = neighbours("x", k=2)(texts).compute()
    >>> found.neighbour.sel(row=0).values.tolist(), found.neighbour.sel(row=3).values.tolist()
    ([2, 1], [-1, -1])
    """
    if metric not in METRICS:
        raise GraphError(f"metric must be 'cosine' or 'euclidean', not {metric!r}")
    return ReduceBlock(
        name=name or f"{field}_neighbours",
        function=_neighbours,
        params={
            "field": field,
            "k": whole_number("k", k, 1, MOST_NEIGHBOURS),
            "metric": metric,
            "limit": whole_number("limit", limit, 1, MOST_TEXTS),
        },
        version="1",
    )


def _neighbours(results: xr.Dataset, *, field: str, k: int, metric: str, limit: int) -> xr.Dataset:
    import dask.array as da
    import xarray as xr
    from dask.delayed import delayed

    values = vector_field_of(results, field)
    count, width = values.shape
    if count > limit:
        raise GraphError(_too_many(field, count, width, limit))
    rows = rows_of(results, values.data)
    vectors, found_of = delayed(vectors_of, pure=True), delayed(distances_of, pure=True)
    neighbour, distance = [], []
    pair: list[da.Array] = [values.data, rows]
    for start in range(0, count, BLOCK_TEXTS):
        stop = min(start + BLOCK_TEXTS, count)
        block = [_whole(array[start:stop]) for array in pair]
        closest: Any = fold(closest_in, joined, pair, vectors(*block, metric), k)
        found = found_of(closest, metric)
        neighbour.append(lazy(found[0], (stop - start, k), "int64"))
        distance.append(lazy(found[1], (stop - start, k), "float32"))
        pair = read_again([values.data, rows], closest)
    none = Closest.none(0, k)
    return xr.Dataset(
        {
            "neighbour": (_DIMS, da.concatenate(neighbour) if count else none.rows),
            "distance": (_DIMS, da.concatenate(distance) if count else none.keys.astype("f4")),
        },
        {"row": ("row", np.asarray(rows.compute(), "int64"))},
    )


_DIMS = ("row", "rank")


def _whole(array: Any) -> Any:
    """Return, delayed, an array of few rows as one NumPy array."""
    return array.rechunk(array.shape).to_delayed(optimize_graph=False).reshape(-1)[0]


def _too_many(field: str, count: int, width: int, limit: int) -> str:
    hours = count * count * (PAIR_SECONDS + width * VALUE_SECONDS) / 3600
    return (
        f"the neighbours of {count:,} texts by {field!r} need about {hours:,.1f} hours of one "
        f"core, because all are compared with all; the limit is {limit:,} texts. Raise it "
        f"(limit={count}) to compute them"
    )
