"""`covariance`: mean and covariance of the components of a field; and their moments, for `pca`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...storage.errors import GraphError
from .chunks import coordinates_of, fold, lazy, vector_field_of
from .reduce_block import ReduceBlock

if TYPE_CHECKING:
    import xarray as xr

ROWS = 4096
"""Rows of a chunk that are centred at once, which limits the memory for temporary values."""

MOST_COMPONENTS = 2048

Floats = npt.NDArray[np.float64]


def covariance(field: str, *, name: str | None = None) -> ReduceBlock:
    """Return the reduction to the covariance of the components of a field.

    Computed in float64. The products of the deviations from the mean are summed per 4,096 rows, and
    the sums are merged, with their means, in a fixed tree, as in [1]_. Sums are in order and use no
    BLAS, whose bits depend on the processor.

    Parameters
    ----------
    field : str
        A numeric field with one dimension beside ``text``, at most 2,048 long.
    name : str, optional
        Name of the reduction. By default ``FIELD_covariance``.

    Returns
    -------
    ReduceBlock
        Its result is a Dataset, for a field with the dimension d:

        - ``covariance``: float64 [d, d_other], Σ(x − mean)(y − mean) / (count − 1);
        - ``mean``: float64 [d];
        - ``count``: int64, number of texts. Those with a value that is not finite are left out.

        The covariance is NaN for fewer than two texts, the mean if there are none.

    Raises
    ------
    GraphError
        When it is computed: the field has another shape.

    References
    ----------
    .. [1] T. F. Chan, G. H. Golub and R. J. LeVeque, "Algorithms for computing the sample
       variance", The American Statistician 37 (1983), equation 2.1, for pairs of components.

    Examples
    --------
    >>> import xarray as xr
    >>> texts = xr.Dataset({"x": (("text", "axis"), [[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]])})
    >>> covariance("x")(texts)["covariance"].values.tolist()
    [[1.0, 2.0], [2.0, 4.0]]
    """
    return ReduceBlock(
        name=name or f"{field}_covariance",
        function=_covariance,
        params={"field": field},
        version="1",
    )


class Moments(NamedTuple):
    """Sums of n rows of k components."""

    rows: int
    mean: Floats  # [k]
    products: Floats  # [k, k]: Σ(x − mean)(y − mean)

    @property
    def covariance(self) -> Floats:
        """Covariance of the components, NaN for fewer than two rows: [k, k]."""
        if self.rows < 2:
            return np.full(self.products.shape, np.nan)
        return np.divide(self.products, self.rows - 1)


def moments(values: xr.DataArray) -> Any:
    """Return, delayed, the `Moments` of a field with one dimension beside ``text``.

    Raises
    ------
    GraphError
        It has too many components.
    """
    if values.shape[1] > MOST_COMPONENTS:
        raise GraphError(
            f"{values.name!r} has {values.shape[1]:,} components; the covariance of at most "
            f"{MOST_COMPONENTS:,} can be computed"
        )
    return fold(_moments, _merged, [values.data])


def _covariance(results: xr.Dataset, *, field: str) -> xr.Dataset:
    import xarray as xr
    from dask.delayed import delayed

    values = vector_field_of(results, field)
    (k,), dim = values.shape[1:], values.dims[1]
    found = moments(values)
    labels = coordinates_of(values)
    others = {f"{dim}_other": (f"{dim}_other", one.values) for one in labels.values()}
    matrix = delayed(_covariance_of, pure=True)(found)
    return xr.Dataset(
        {
            "covariance": ((dim, f"{dim}_other"), lazy(matrix, (k, k), "float64")),
            "mean": (dim, lazy(found[1], (k,), "float64")),
            "count": ((), lazy(found[0], (), "int64")),
        },
        {**labels, **others},
    )


def _covariance_of(found: Moments) -> Floats:
    return found.covariance


def finite_rows(values: npt.NDArray[Any]) -> Floats:
    """Return the rows of which all values are finite, as float64."""
    finite: Floats = values[np.isfinite(values).all(axis=1)].astype("float64")
    return finite


def _moments(values: npt.NDArray[Any]) -> Moments:
    rows = finite_rows(values)
    parts = range(0, max(1, len(rows)), ROWS)
    return _merged([_centred(rows[start : start + ROWS]) for start in parts])


def _centred(rows: Floats) -> Moments:
    k = rows.shape[1]
    if not len(rows):
        return Moments(0, np.full(k, np.nan), np.zeros((k, k)))
    mean = rows.sum(axis=0) / len(rows)
    rest = rows - mean
    products = np.zeros((k, k))
    for one in range(k):
        products[one, one:] = (rest[:, one:] * rest[:, one, np.newaxis]).sum(axis=0)
        products[one:, one] = products[one, one:]
    return Moments(len(rows), mean, products)


def _merged(states: list[Moments]) -> Moments:
    first = states[0]
    for second in states[1:]:
        first = _pair(first, second)
    return first


def _pair(first: Moments, second: Moments) -> Moments:
    if not first.rows or not second.rows:
        return first if first.rows else second
    rows = first.rows + second.rows
    step = second.mean - first.mean
    mean = first.mean + step * (second.rows / rows)
    between = step[:, np.newaxis] * step * (first.rows * second.rows / rows)
    return Moments(rows, mean, first.products + second.products + between)
