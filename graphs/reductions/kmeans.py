"""`kmeans`: k centres of a field by Lloyd's algorithm, from a fixed seed.

The first centres are chosen from a sample of the texts, by a hash of their numbers and of the seed.
Then every pass reads all texts once. `nearest` is the map-block that assigns texts to the centres.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...storage.errors import GraphError
from ...storage.field import Field
from ..block import MapBlock
from .chunks import (
    coordinates_of,
    fold,
    lazy,
    read_again,
    rows_of,
    vector_field_of,
    whole_number,
)
from .covariance import finite_rows
from .reduce_block import ReduceBlock

if TYPE_CHECKING:
    import xarray as xr

SAMPLE = 4096
"""Texts from which the first centres are chosen."""

MOST_CENTRES = 1024
MOST_PASSES = 100
DISTANCES = 1 << 20
"""Distances that are computed at once."""

Floats = npt.NDArray[np.float64]
UInts = npt.NDArray[np.uint64]


def kmeans(
    field: str, *, k: int, seed: int = 0, passes: int = 10, name: str | None = None
) -> ReduceBlock:
    """Return the reduction to k centres of a field, by Lloyd's algorithm.

    The first centres are chosen as in k-means++ [1]_ from a sample of 4,096 texts (all, if there
    are fewer): those with the least hash of their row and of the seed. Each pass over all texts
    moves every centre to the mean of the texts that are nearest to it. The field is read once more
    before and once more after the passes. Convergence is not tested; `moved` shows it. No
    task holds more than a shard, the sample or the centres.

    Parameters
    ----------
    field : str
        A numeric field with one dimension beside ``text``.
    k : int
        Number of centres, at most 1,024.
    seed : int
        Another seed chooses other first centres.
    passes : int
        Number of passes, at most 100.
    name : str, optional
        Name of the reduction. By default ``FIELD_kmeans``.

    Returns
    -------
    ReduceBlock
        Its result is a Dataset, for a field with the dimension d. The cluster with most texts is
        the first one:

        - ``centres``: float64 [cluster, d];
        - ``count``: int64 [cluster], number of texts nearest to this centre. A centre without texts
          stays where it is; centres are equal if there are fewer than k different texts;
        - ``inertia``: float64, the sum of all texts' squared distances to their centre;
        - ``moved``: float64, the greatest distance that the last pass moved a centre.

        Texts with a value that is not finite are left out. If none is left, centres are NaN.

    Raises
    ------
    GraphError
        A parameter is not valid. When it is computed: the field has another shape.

    See Also
    --------
    nearest : computes each text's cluster.

    References
    ----------
    .. [1] D. Arthur and S. Vassilvitskii, "k-means++: the advantages of careful seeding",
       SODA 2007.

    Examples
    --------
    >>> import xarray as xr
    >>> texts = xr.Dataset({"x": (("text", "axis"), [[0.0], [2.0], [101.0], [103.0], [102.0]])})
    >>> found = kmeans("x", k=2)(texts).compute()
    >>> found.centres.values.tolist(), found["count"].values.tolist(), float(found.inertia)
    ([[102.0], [1.0]], [3, 2], 4.0)
    """
    params = {
        "field": field,
        "k": whole_number("k", k, 1, MOST_CENTRES),
        "seed": whole_number("seed", seed, 0, 2**64 - 1),
        "passes": whole_number("passes", passes, 1, MOST_PASSES),
    }
    return ReduceBlock(name=name or f"{field}_kmeans", function=_kmeans, params=params, version="1")


def _kmeans(results: xr.Dataset, *, field: str, k: int, seed: int, passes: int) -> xr.Dataset:
    import xarray as xr
    from dask.delayed import delayed

    values = vector_field_of(results, field)
    width, dim = values.shape[1], values.dims[1]
    once = [values.data, rows_of(results, values.data)]
    sample = fold(_sample, _merged_sample, once, seed)
    state: Any = delayed(_first_centres, pure=True)(sample, k, seed)
    for _ in range(passes):
        sums = fold(_assigned, _added, read_again(once[:1], state), state)
        state = delayed(_moved, pure=True)(state, sums)
    sums = fold(_assigned, _added, read_again(once[:1], state), state)
    found = delayed(_in_order, pure=True)(state, sums)
    return xr.Dataset(
        {
            "centres": (("cluster", dim), lazy(found[0], (k, width), "float64")),
            "count": ("cluster", lazy(found[1], (k,), "int64")),
            "inertia": ((), lazy(found[2], (), "float64")),
            "moved": ((), lazy(found[3], (), "float64")),
        },
        coordinates_of(values),
    )


# --- the first centres ----------------------------------------------------------------------------


class _Sample(NamedTuple):
    hashes: UInts  # ascending
    rows: Floats  # [n, d]


def _sample(values: npt.NDArray[Any], numbers: npt.NDArray[np.int64], seed: int) -> _Sample:
    finite = np.isfinite(values).all(axis=1)
    hashes = _hashed(numbers[finite].astype("uint64") + _hashed(np.array([seed], "uint64")))
    order = np.argsort(hashes, kind="stable")[:SAMPLE]
    return _Sample(hashes[order], values[finite][order].astype("float64"))


def _merged_sample(states: list[_Sample]) -> _Sample:
    hashes, rows = (np.concatenate(parts) for parts in zip(*states, strict=True))
    order = np.argsort(hashes, kind="stable")[:SAMPLE]
    return _Sample(hashes[order], rows[order])


def _hashed(numbers: UInts) -> UInts:
    """Return the next values of SplitMix64, which maps 64 bits one to one (Steele et al. 2014)."""
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


class _Centres(NamedTuple):
    centres: Floats  # [k, d]
    moved: float  # the greatest distance by which the last pass moved a centre


def _first_centres(sample: _Sample, k: int, seed: int) -> _Centres:
    """Choose centres from the sample, with probabilities by the distance to earlier centres."""
    rows = sample.rows
    if not len(rows):
        return _Centres(np.full((k, rows.shape[1]), np.nan), np.nan)
    chances = (
        _hashed(np.arange(1, k + 1, dtype="uint64") * np.uint64(2) + np.uint64(seed)) / 2.0**64
    )
    chosen = [0]
    squares = _squares(rows, rows[:1])[:, 0]
    for chance in chances[: k - 1].tolist():
        upto = squares.cumsum()
        at = int(np.searchsorted(upto, chance * upto[-1], side="right"))
        chosen.append(at if upto[-1] > 0 and at < len(rows) else 0)
        squares = np.minimum(squares, _squares(rows, rows[chosen[-1:]])[:, 0])
    return _Centres(rows[chosen], np.nan)


# --- the passes -----------------------------------------------------------------------------------


class _Sums(NamedTuple):
    """Sums over the texts nearest to each centre."""

    counts: npt.NDArray[np.int64]  # [k]
    steps: Floats  # [k, d]: Σ(x − centre)
    inertia: float


def _assigned(values: npt.NDArray[Any], state: _Centres) -> _Sums:
    rows, centres = finite_rows(values), state.centres
    k, width = centres.shape
    sums = _Sums(np.zeros(k, "int64"), np.zeros((k, width)), 0.0)
    size = max(1, DISTANCES // k)
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        squares = _squares(part, centres)
        cluster = squares.argmin(axis=1)
        rest = part - centres[cluster]
        steps = [np.bincount(cluster, rest[:, axis], k) for axis in range(width)]
        inertia = float(squares[np.arange(len(part)), cluster].sum())
        here = _Sums(np.bincount(cluster, minlength=k), np.stack(steps, axis=1), inertia)
        sums = _added([sums, here])
    return sums


def _added(states: list[_Sums]) -> _Sums:
    counts, steps, inertia = zip(*states, strict=True)
    return _Sums(sum(counts), sum(steps), sum(inertia))


def _moved(state: _Centres, sums: _Sums) -> _Centres:
    step = sums.steps / np.maximum(sums.counts, 1)[:, np.newaxis]
    return _Centres(state.centres + step, float(np.sqrt((step * step).sum(axis=1)).max()))


def _in_order(state: _Centres, sums: _Sums) -> tuple[Floats, npt.NDArray[np.int64], float, float]:
    order = np.argsort(-sums.counts, kind="stable")
    inertia = sums.inertia if sums.counts.any() else np.nan
    return state.centres[order], sums.counts[order], inertia, state.moved


def _squares(rows: Any, centres: Any) -> Any:
    """Return the squared distances, summed in the order of the values: [rows, centres]."""
    found = 0.0
    for axis in range(rows.shape[1]):
        rest = rows[:, axis : axis + 1] - centres[:, axis]
        found = found + rest * rest
    return found


def nearest(field: str, kmeans: ReduceBlock, *, name: str | None = None) -> MapBlock:
    """Return the map-block that finds the centre of a `kmeans` that is nearest to each text.

    A row's result depends on that row alone. Of equally near centres, the first is taken.

    Parameters
    ----------
    field : str
        The field, or another one of the same shape.
    kmeans : ReduceBlock
        Made by `kmeans`; it must be before this block in the graph.
    name : str, optional
        Name of the block and of its first field. By default ``FIELD_cluster``.

    Returns
    -------
    MapBlock
        Its fields are ``NAME``, int32, the position along ``cluster``, and ``NAME_distance``,
        float32, the Euclidean distance. A text with a value that is not finite has -1 and NaN.

    Raises
    ------
    GraphError
        The reduction is not a `kmeans`.

    Examples
    --------
    >>> import xarray as xr
    >>> texts = xr.Dataset({"x": (("text", "axis"), [[0.0], [2.0], [101.0], [103.0], [102.0]])})
    >>> found = kmeans("x", k=2)
    >>> cluster, distance = nearest("x", found)(texts.x.values, found(texts).compute())
    >>> cluster.tolist(), distance.tolist()
    ([1, 1, 0, 0, 0], [1.0, 1.0, 1.0, 1.0, 0.0])
    """
    if not isinstance(kmeans, ReduceBlock) or kmeans.function is not _kmeans:
        raise GraphError(f"nearest() needs a reduction made by kmeans(), not {kmeans!r}")
    label = name or f"{field}_cluster"
    fields = (Field(label, "int32"), Field(f"{label}_distance", "float32"))
    return MapBlock(label, (field, kmeans.name), fields, function=_nearest, version="1")


def _nearest(values: Any, kmeans: xr.Dataset) -> Any:
    centres = np.asarray(kmeans["centres"].values, like=values)
    squares = _squares(values.astype("float64"), centres)
    least = np.min(squares, axis=1)
    finite = np.isfinite(least)
    cluster = np.where(finite, np.argmin(squares, axis=1), -1).astype("int32")
    return cluster, np.where(finite, np.sqrt(least).astype("float32"), np.float32("nan"))
