"""`lazy_results`: the arrays of a store as dask arrays, for reductions.

A chunk is one shard of an array, without invalid rows, so that a reduction needs no mask, and its
tree of partial results does not depend on the workers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...field import Field
from ...targets.target import Target
from ..dataset import StoredArrays, with_missing
from ..layout import TEXT
from ..shards import StoreLayout

if TYPE_CHECKING:
    import dask.array as da
    import xarray as xr


@dataclass(frozen=True, kw_only=True)
class Source:
    """Arrays of a store, and which of their rows count. Pickled into tasks."""

    target: Target
    unlisted: Mapping[str, bytes]  # metadata of arrays that the store does not list yet
    masks: tuple[str, ...]

    def read(self, name: str, start: int, stop: int, whole: bool) -> npt.NDArray[Any]:
        """Return the valid rows of an array among ``[start, stop)``."""
        arrays = StoredArrays(self.target, self.unlisted)
        values = np.arange(start, stop) if name == "" else arrays[name].readable(start, stop)
        if values.dtype.kind == "T":
            values = values.astype(object)
        return values if whole else values[self.usable(arrays, start, stop)]

    def usable(self, arrays: StoredArrays, start: int, stop: int) -> npt.NDArray[np.bool_]:
        """Return which of the rows ``[start, stop)`` are valid: bool [n]."""
        usable = np.ones(stop - start, np.bool_)
        for mask in self.masks:
            usable &= arrays[mask][start:stop]
        return usable


def valid_rows(
    source: Source,
    layout: StoreLayout,
    quarantined: Mapping[int, int],
    failed: Sequence[Mapping[int, int]],
) -> list[int]:
    """Return the number of rows per shard that are valid by all masks of a source.

    Parameters
    ----------
    quarantined : mapping
        Rows by shard that the first stage has quarantined.
    failed : sequence of mapping
        For each later pass, the rows by shard that it failed for and the earlier stages had
        computed.
    """
    counts = []
    arrays: StoredArrays | None = None
    for shard in range(layout.shards):
        start, stop = layout.bounds(shard)
        lacking = [one[shard] for one in failed if one.get(shard)]
        if len(lacking) > 1:  # they may have failed for the same rows
            arrays = arrays or StoredArrays(source.target, source.unlisted)
            counts.append(int(np.count_nonzero(source.usable(arrays, start, stop))))
        else:
            counts.append(stop - start - quarantined.get(shard, 0) - sum(lacking))
    return counts


def lazy_results(
    source: Source,
    layout: StoreLayout,
    fields: Sequence[Field],
    coordinates: Sequence[str],
    counts: Sequence[int],
) -> xr.Dataset:
    """Return arrays of a store as a lazy Dataset, without the rows that are not valid.

    Their values are those that `open_results` shows.

    Parameters
    ----------
    fields : sequence of Field
        The arrays, with the labels of their dimensions.
    coordinates : sequence of str
        Names of the fields that become coordinates. ``row``, the row in the corpus, is always one.
    counts : sequence of int
        See `valid_rows`.
    """
    import xarray as xr

    chunks = [(*layout.bounds(shard), count) for shard, count in enumerate(counts) if count]
    variables = {
        one.name: ((TEXT, *(one.dims or ())), _lazy(source, one, chunks)) for one in fields
    }
    labels = {dim: list(names) for one in fields for dim, names in one.labels.items()}
    row = Field("row", "int64", description="row in the corpus")
    dataset = xr.Dataset(
        {name: value for name, value in variables.items() if name not in coordinates},
        coords={
            **{name: variables[name] for name in coordinates},
            "row": (TEXT, _lazy(source, row, chunks, name="")),
            **{dim: (dim, np.asarray(names, object)) for dim, names in labels.items()},
        },
    )
    return with_missing(dataset)


def _lazy(
    source: Source,
    field: Field,
    chunks: Sequence[tuple[int, int, int]],
    name: str | None = None,
) -> da.Array:
    import dask.array as da
    from dask.base import tokenize
    from dask.highlevelgraph import HighLevelGraph

    stored = field.name if name is None else name
    key = f"stored-{field.name}-{tokenize(source.target.url, source.masks, stored, chunks)}"
    zeros = (0,) * len(field.shape)
    tasks: dict[Any, Any] = {
        (key, at, *zeros): (source.read, stored, start, stop, count == stop - start)
        for at, (start, stop, count) in enumerate(chunks)
    }
    dtype = field.kind.readable(np.empty(0, field.array_dtype)).dtype
    if not chunks:
        empty: da.Array = da.zeros((0, *field.shape), dtype=dtype)
        return empty
    sizes = tuple(count for *_, count in chunks)
    shape = (sizes, *((length,) for length in field.shape))
    graph = HighLevelGraph.from_collections(key, tasks, dependencies=())
    return da.Array(graph, key, shape, dtype=dtype)
