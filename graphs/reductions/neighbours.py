"""`neighbours`: the nearest other texts of each text, by a field of vectors.

The search within two blocks of texts is in `nearest_pairs`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...storage.errors import GraphError
from .chunks import fold, lazy, read_again, rows_of, vector_field_of, whole_number
from .nearest_pairs import METRICS, Nearest, Vectors, merged_nearest, nearest_pairs
from .reduce_block import ReduceBlock

if TYPE_CHECKING:
    import xarray as xr

MOST_NEIGHBOURS = 1000
MOST_TEXTS = 100_000_000

BLOCK_VALUES = 1 << 22
"""Components of the vectors that a task compares with as many others. Results do not depend on it."""

MOST_BLOCK_TEXTS = 16_384

SECONDS_PER_PAIR = 7e-9
SECONDS_PER_COMPONENT = 6e-11
"""Time that one core of a CPU of 2023 takes to compare two texts, and for each of their components;
measured with vectors of 9 and 384 components."""


def neighbours(
    field: str,
    *,
    k: int = 10,
    metric: str = "cosine",
    limit: int = 100_000,
    name: str | None = None,
) -> ReduceBlock:
    """Return the reduction to the k nearest other texts of each text.

    The search is exact, and its bits do not depend on shards, workers or threads. Every text is
    compared with every other: the field is read once per 16,384 texts (fewer, if vectors have more
    than 256 components), and the time grows with the square of their number. On one core, 10,000
    texts with 384 components take about 3 seconds, 100,000 take 5 minutes, and a million 8 hours.

    Parameters
    ----------
    field : str
        A numeric field with one dimension beside ``text``, such as an embedding.
    k : int
        Number of neighbours, at most 1,000.
    metric : {"cosine", "euclidean"}
        The distance: 1 − cosine, or the length of the difference.
    limit : int
        Maximum number of texts, so that nobody starts hours of work unintentionally.
    name : str, optional
        Name of the reduction. By default ``FIELD_neighbours``.

    Returns
    -------
    ReduceBlock
        Its result is a Dataset of the texts that are not quarantined. The nearest neighbour is the
        first one, and of equally near ones the one with the least row:

        - ``neighbour``: int64 [row, rank], the row of the neighbour;
        - ``distance``: float32 [row, rank];
        - ``row``: int64 [row], the coordinate ``row`` of the texts, or without it their numbers.

        A text with a value that is not finite, and with the metric ``cosine`` a text whose values
        are all zero, has no neighbours and is none. Places without a neighbour have -1 and NaN.

    Raises
    ------
    GraphError
        A parameter is not valid. When it is computed: the field has another shape, or there are
        more texts than `limit`; the message says how long it would take.

    Examples
    --------
    >>> import xarray as xr
    >>> texts = xr.Dataset({"x": (("text", "axis"), [[1.0, 0.0], [0.0, 0.0], [3.0, 4.0]])})
    >>> found = neighbours("x", k=1, metric="euclidean")(texts).compute()
    >>> found.neighbour.values.tolist(), found.distance.values.tolist()
    ([[1], [0], [0]], [[1.0], [1.0], [4.4721360206604]])
    """
    if metric not in METRICS:
        raise GraphError(f"metric must be one of {', '.join(METRICS)}, not {metric!r}")
    params = {
        "field": field,
        "k": whole_number("k", k, 1, MOST_NEIGHBOURS),
        "metric": metric,
        "limit": whole_number("limit", limit, 1, MOST_TEXTS),
    }
    return ReduceBlock(
        name=name or f"{field}_neighbours", function=_neighbours, params=params, version="1"
    )


def expected_seconds(texts: int, components: int) -> float:
    """Return roughly how long one core takes to find the neighbours of a number of texts."""
    return texts**2 * (SECONDS_PER_PAIR + components * SECONDS_PER_COMPONENT)


def _neighbours(results: xr.Dataset, *, field: str, k: int, metric: str, limit: int) -> xr.Dataset:
    import dask.array as da
    import xarray as xr

    values = vector_field_of(results, field)
    texts, width = values.shape
    if texts > limit:
        hours = expected_seconds(texts, width) / 3600
        raise GraphError(
            f"the neighbours of {texts:,} texts by {field!r} would take about {hours:,.1f} hours on "
            f"one core; the limit is {limit:,} texts. Pass limit={texts} to compute them, or choose "
            "some of the texts"
        )
    block = min(MOST_BLOCK_TEXTS, max(1, BLOCK_VALUES // width))
    vectors = values.data.rechunk({0: block})
    rows = rows_of(results, values.data)
    once = again = [vectors, rows.rechunk({0: block})]
    scores, found = [], []
    for number, size in enumerate(vectors.chunks[0]):
        queries = [array.blocks[number].to_delayed(optimize_graph=False).item() for array in again]
        state = fold(_of_block, merged_nearest, again, *queries, k, metric)
        scores.append(lazy(state[0], (size, k), "float64"))
        found.append(lazy(state[1], (size, k), "int64"))
        # Blocks are read again for each of them, so that they are not all held at once.
        again = read_again(once, state)
    distances = da.map_blocks(
        _distances, da.concatenate(scores), metric=metric, dtype="float32", meta=np.empty((0, 0))
    )
    arrays = {
        "neighbour": (("row", "rank"), da.concatenate(found)),
        "distance": (("row", "rank"), distances),
    }
    return xr.Dataset(arrays, {"row": ("row", once[1])})


def _of_block(
    values: npt.NDArray[Any],
    rows: npt.NDArray[np.int64],
    queries: npt.NDArray[Any],
    query_rows: npt.NDArray[np.int64],
    k: int,
    metric: str,
) -> Nearest:
    return nearest_pairs(Vectors(query_rows, queries), Vectors(rows, values), k, METRICS[metric])


def _distances(scores: npt.NDArray[np.float64], metric: str) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore"):
        distances = METRICS[metric].distances(scores).astype("float32")
    return np.where(np.isfinite(scores), distances, np.float32("nan"))
