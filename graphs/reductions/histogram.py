"""`histogram`: how many values of a field are in each bin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...storage.errors import GraphError
from .chunks import (
    components_of,
    coordinates_of,
    field_of,
    fold,
    lazy,
    read_again,
    require_small_state,
    whole_number,
)
from .reduce_block import ReduceBlock

if TYPE_CHECKING:
    import xarray as xr

MOST_BINS = 65_536


def histogram(
    field: str,
    *,
    bins: int | Sequence[float] = 10,
    range: tuple[float, float] | None = None,
    name: str | None = None,
) -> ReduceBlock:
    r"""Return the reduction to the histogram of a field, as `numpy.histogram` counts.

    Parameters
    ----------
    field : str
        A numeric field or kept column, of any shape. Each component has its own histogram, all of
        them with the same edges.
    bins : int or sequence of float
        Number of bins of equal width, or their ascending edges. A bin contains its left edge; the
        last bin contains both.
    range : (float, float), optional
        First and last edge of equal bins. By default the least and the greatest finite value of all
        components, for which the field is read twice.
    name : str, optional
        Name of the reduction. By default ``FIELD_histogram``.

    Returns
    -------
    ReduceBlock
        Its result is a Dataset:

        - ``count``: int64 [\*shape, bin]. NaN and values outside the edges are not counted;
        - ``edges``: float64 [bin_edge].

    Raises
    ------
    GraphError
        Bins or range are not valid. When it is computed: the counts of a shard would take more than
        64 MiB, because the field has too many components for so many bins.

    Examples
    --------
    >>> import xarray as xr
    >>> texts = xr.Dataset({"entropy": ("text", [0.1, 0.2, 0.7, 1.0])})
    >>> histogram("entropy", bins=2, range=(0, 1))(texts)["count"].values.tolist()
    [2, 2]
    """
    number = whole_number("bins", bins, 1, MOST_BINS) if np.ndim(bins) == 0 else np.size(bins) - 1
    edges = None
    if np.ndim(bins):
        edges = np.asarray(bins, "float64").tolist()
    elif range is not None:
        edges = np.linspace(range[0], range[1], number + 1).tolist()
    if edges is not None and not (
        1 <= number <= MOST_BINS and np.isfinite(edges).all() and (np.diff(edges) > 0).all()
    ):
        raise GraphError(
            f"the edges of bins must be finite and ascend, and bins be at most {MOST_BINS:,}; not "
            f"{bins=}, {range=}"
        )
    return ReduceBlock(
        name=name or f"{field}_histogram",
        function=_histogram,
        params={"field": field, "bins": number, "edges": edges},
        version="1",
    )


def _histogram(
    results: xr.Dataset, *, field: str, bins: int, edges: list[float] | None
) -> xr.Dataset:
    import xarray as xr
    from dask.delayed import delayed

    values = field_of(results, field)
    components = math.prod(values.shape[1:])
    require_small_state(
        f"{bins:,} bins of the {components:,} components of {field!r}", bins * components
    )
    arrays = [values.data]
    if edges is None:
        bounds = fold(_bounds, _all_bounds, arrays)
        arrays = read_again(arrays, bounds)
        of_bins = delayed(_equal_bins, pure=True)(bounds, bins)
    else:
        of_bins = delayed(np.array, pure=True)(edges, "float64")
    counts = fold(_counts, sum, arrays, of_bins)
    shape = (*values.shape[1:], bins)
    return xr.Dataset(
        {
            "count": ((*values.dims[1:], "bin"), lazy(counts, shape, "int64")),
            "edges": ("bin_edge", lazy(of_bins, (bins + 1,), "float64")),
        },
        coordinates_of(values),
    )


def _bounds(values: npt.NDArray[Any]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (np.inf, -np.inf)


def _all_bounds(states: list[tuple[float, float]]) -> tuple[float, float]:
    return min(low for low, _ in states), max(high for _, high in states)


def _equal_bins(bounds: tuple[float, float], bins: int) -> npt.NDArray[np.float64]:
    """Return the edges of equal bins, as NumPy: around a single value, from 0 to 1 for none."""
    low, high = bounds if bounds[0] <= bounds[1] else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, bins + 1)


def _counts(values: npt.NDArray[Any], edges: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    components = components_of(values.astype("float64"))
    counts = [np.histogram(component, edges)[0] for component in components]
    return np.array(counts, "int64").reshape((*values.shape[1:], len(edges) - 1))
