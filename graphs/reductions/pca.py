"""`pca`: principal components of a field; and `project`, the map-block that projects on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...storage.errors import GraphError
from ...storage.field import Field
from ..block import MapBlock
from .chunks import coordinates_of, lazy, vector_field_of, whole_number
from .covariance import MOST_COMPONENTS, Moments, moments
from .eigen import eigen
from .reduce_block import ReduceBlock

if TYPE_CHECKING:
    import xarray as xr

Floats = npt.NDArray[np.float64]


def pca(field: str, *, components: int = 2, name: str | None = None) -> ReduceBlock:
    """Return the reduction to the principal components of a field.

    They are the eigenvectors of its `covariance`, found by Jacobi's method, so that they have the
    same bits on every machine.

    Parameters
    ----------
    field : str
        A numeric field with one dimension beside ``text``, at most 2,048 long.
    components : int
        Number of components; those with the greatest variance are kept.
    name : str, optional
        Name of the reduction. By default ``FIELD_pca``.

    Returns
    -------
    ReduceBlock
        Its result is a Dataset, for a field with the dimension d:

        - ``components``: float64 [component, d], unit vectors. The entry with the greatest absolute
          value is positive;
        - ``variance``: float64 [component], variance of the projections, descending;
        - ``variance_ratio``: float64 [component], share of the total variance;
        - ``mean``: float64 [d];
        - ``count``: int64, number of texts. Those with a value that is not finite are left out.

        For fewer than two texts, the components are NaN.

    Raises
    ------
    GraphError
        When it is computed: the field has another shape, or fewer values per text than
        `components`.

    See Also
    --------
    project : computes the projections.

    Examples
    --------
    >>> import xarray as xr
    >>> texts = xr.Dataset({"x": (("text", "axis"), [[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]])})
    >>> found = pca("x", components=1)(texts).compute()
    >>> found.components.values.tolist(), found.variance.values.tolist()
    ([[1.0, 0.0]], [4.0])
    """
    number = whole_number("components", components, 1, MOST_COMPONENTS)
    return ReduceBlock(
        name=name or f"{field}_pca",
        function=_pca,
        params={"field": field, "components": number},
        version="1",
    )


def _pca(results: xr.Dataset, *, field: str, components: int) -> xr.Dataset:
    import xarray as xr
    from dask.delayed import delayed

    values = vector_field_of(results, field)
    (k,), dim = values.shape[1:], values.dims[1]
    if components > k:
        raise GraphError(f"{components} components of {field!r}, which has {k} values per text")
    sums = moments(values)
    found = delayed(_principal, pure=True)(sums, components)
    return xr.Dataset(
        {
            "components": (("component", dim), lazy(found[0], (components, k), "float64")),
            "variance": ("component", lazy(found[1], (components,), "float64")),
            "variance_ratio": ("component", lazy(found[2], (components,), "float64")),
            "mean": (dim, lazy(sums[1], (k,), "float64")),
            "count": ((), lazy(sums[0], (), "int64")),
        },
        coordinates_of(values),
    )


def _principal(sums: Moments, components: int) -> tuple[Floats, Floats, Floats]:
    values, vectors = eigen(sums.covariance)
    values = np.maximum(values, 0.0)  # rounding makes a zero negative
    total = values.sum()
    ratio = values / total if total > 0 else np.full(len(values), np.nan)
    return vectors[:components], values[:components], ratio[:components]


def project(field: str, pca: ReduceBlock, *, name: str | None = None) -> MapBlock:
    """Return the map-block that projects a field on the principal components of a `pca`.

    A row's result depends on that row alone: Σ (x − mean)·component in float64, in the order of the
    field's values, stored as float32. A text with a NaN has NaN.

    Parameters
    ----------
    field : str
        The field, or another one of the same shape.
    pca : ReduceBlock
        Made by `pca`; it must be before this block in the graph.
    name : str, optional
        Name of the block and of its field, float32 [component]. By default ``FIELD_projected``.

    Raises
    ------
    GraphError
        The reduction is not a `pca`.

    Examples
    --------
    >>> import xarray as xr
    >>> texts = xr.Dataset({"x": (("text", "axis"), [[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]])})
    >>> found = pca("x", components=1)
    >>> project("x", found)(texts.x.values, found(texts).compute()).tolist()
    [[-2.0], [0.0], [2.0]]
    """
    if not isinstance(pca, ReduceBlock) or pca.function is not _pca:
        raise GraphError(f"project() needs a reduction made by pca(), not {pca!r}")
    label = name or f"{field}_projected"
    shape, dims = (pca.params["components"],), (f"{label}_component",)
    fields = (Field(label, "float32", shape, dims),)
    return MapBlock(label, (field, pca.name), fields, function=_project, version="1")


def _project(values: Any, pca: xr.Dataset) -> Any:
    components = np.asarray(pca["components"].values, like=values)
    rest = values.astype("float64") - np.asarray(pca["mean"].values, like=values)
    found = rest[:, :1] * components[:, 0]
    for number in range(1, rest.shape[1]):
        found = found + rest[:, number : number + 1] * components[:, number]
    return found.astype("float32")
