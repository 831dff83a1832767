"""`profile`: mean, standard deviation and count of a field, over all texts or by group."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..block import TEXT
from .chunks import MERGED_AT_ONCE, coordinates_of, field_of, require_small_state
from .groups import grouped
from .reduce_block import ReduceBlock

if TYPE_CHECKING:
    import xarray as xr

STATISTICS = ("mean", "std", "count")


def profile(field: str, *, by: str | None = None, name: str | None = None) -> ReduceBlock:
    r"""Return the reduction to the mean, standard deviation and number of values of a field.

    flox computes it, in float64, with Welford's mean and squared deviations per chunk, which are
    merged as in [1]_.

    Parameters
    ----------
    field : str
        A numeric field or kept column, of any shape.
    by : str, optional
        A kept column, or a field with one value per text. Texts whose value is missing are in no
        group; `left_out` counts them. At most 10,000 groups.
    name : str, optional
        Name of the reduction. By default ``FIELD_profile``, or ``FIELD_by_COLUMN``.

    Returns
    -------
    ReduceBlock
        Its result is a Dataset. With `by`, the arrays have a first dimension of that name, whose
        coordinate is the sorted labels:

        - ``mean``: float64 [groups, \*shape], NaN values left out;
        - ``std``: float64 [groups, \*shape], the population's, √(Σ(x − mean)² / count);
        - ``count``: int64 [groups, \*shape], values that are not NaN;
        - ``left_out``: int64, texts without a group (only with `by`).

        Where the count is 0, mean and std are NaN.

    Raises
    ------
    GraphError
        When it is computed: the field or column does not exist, or makes too many groups: more than
        10,000, or so many that they take more than 64 MiB per shard.

    References
    ----------
    .. [1] T. F. Chan, G. H. Golub and R. J. LeVeque, "Algorithms for computing the sample
       variance", The American Statistician 37 (1983).

    Examples
    --------
    >>> import xarray as xr
    >>> texts = xr.Dataset({"n": ("text", [1.0, 3.0, 8.0]), "lang": ("text", ["fr", "fr", "sa"])})
    >>> found = profile("n", by="lang")(texts).compute()
    >>> found.lang.values.tolist(), found["mean"].values.tolist(), found["std"].values.tolist()
    (['fr', 'sa'], [2.0, 8.0], [1.0, 0.0])
    """
    default = f"{field}_profile" if by is None else f"{field}_by_{by}"
    return ReduceBlock(
        name=name or default, function=_profile, params={"field": field, "by": by}, version="1"
    )


def _profile(results: xr.Dataset, *, field: str, by: str | None) -> xr.Dataset:
    import dask
    import dask.array as da
    import pandas as pd
    import xarray as xr
    from flox.xarray import xarray_reduce

    values = field_of(results, field).astype("float64").reset_coords(drop=True)
    if by is None:
        labels: Any = np.zeros(1, "int64")
        groups = da.zeros(values.sizes[TEXT], chunks=(values.data.chunks[0],), dtype="int64")
    else:
        labels, groups = grouped(results, by)
    components = math.prod(values.shape[1:])
    what = f"{len(labels):,} groups of the {components:,} components of {field!r}"
    require_small_state(what, len(labels) * components * 3)
    group = "group" if by is None else by
    numbers = xr.DataArray(groups, dims=TEXT, name=group)
    with dask.config.set(split_every=MERGED_AT_ONCE):  # flox merges chunks in dask's tree
        found = {
            statistic: xarray_reduce(
                values,
                numbers,
                func=statistic,
                expected_groups=pd.RangeIndex(len(labels)),
                dim=TEXT,
                fill_value=0 if statistic == "count" else np.nan,
                method="map-reduce",
                engine="flox",
                skipna=None if statistic == "count" else True,
            ).transpose(group, ...)
            for statistic in STATISTICS
        }
        dataset = xr.Dataset(found).drop_vars(group).assign_coords(coordinates_of(values))
        dataset["count"] = dataset["count"].astype("int64")
        if by is None:
            return dataset.isel(group=0)
        dataset["left_out"] = xr.DataArray((groups < 0).sum())
        return dataset.assign_coords({by: (by, labels)})
