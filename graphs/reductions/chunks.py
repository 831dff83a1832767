"""The values that a ready-made reduction reads by chunks, and the fixed tree that merges them.

A chunk is a shard. `fold` computes a small state for each chunk and merges the states in the order
of the chunks, eight at a time, so that the result's bits do not depend on the scheduler, on the
number of workers, or on which chunk is finished first. Each reduction defines its own state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...storage.errors import GraphError
from ..block import TEXT

if TYPE_CHECKING:
    import dask.array as da
    import xarray as xr

MERGED_AT_ONCE = 8
"""Number of states that one task merges. The bits of the results depend on it."""

MOST_BYTES = 64 * 2**20
"""Maximum bytes of the state of one chunk, where its size depends on the arguments."""


def field_of(results: xr.Dataset, name: str) -> xr.DataArray:
    """Return a numeric field or kept column, one chunk per shard, with ``text`` as first dimension.

    A kept column that can have missing values becomes float64, with NaN for missing ones.

    Raises
    ------
    GraphError
        The array does not exist, or is not numeric.
    """
    array = array_of(results, name)
    if array.dtype.kind not in "biuf":
        raise GraphError(f"{name!r} has dtype {array.dtype}; the reduction needs numbers")
    known = validity_of(results, name)
    if known is not None and array.dtype.kind != "f":
        array = array.astype("float64").where(known)
    return array


def vector_field_of(results: xr.Dataset, name: str) -> xr.DataArray:
    """Return a numeric field with several numbers per text along one dimension.

    Raises
    ------
    GraphError
        It has none or several dimensions per text.
    """
    array = field_of(results, name)
    if array.ndim != 2:
        raise GraphError(
            f"{name!r} has dimensions {dict(array.sizes)}; the reduction needs a field with one "
            "dimension beside 'text', such as dhatu"
        )
    return array


def array_of(results: xr.Dataset, name: str) -> xr.DataArray:
    """Return an array along ``text``, one chunk per shard, with ``text`` as its first dimension.

    Raises
    ------
    GraphError
        The array does not exist.
    """
    if name not in results.variables or TEXT not in results[name].dims:
        there = ", ".join(sorted(str(n) for n, a in results.variables.items() if TEXT in a.dims))
        raise GraphError(f"no array {name!r} along 'text'; there are {there or 'none'}")
    array = results[name].transpose(TEXT, ...)
    shards = results.chunksizes.get(TEXT, -1)
    return array.chunk({TEXT: shards, **dict.fromkeys(array.dims[1:], -1)})


def validity_of(results: xr.Dataset, name: str) -> xr.DataArray | None:
    """Return which values of a kept column are not missing; None if none is missing."""
    mask = f"{name}_valid"
    return array_of(results, mask) if mask in results.variables else None


def is_missing(value: Any) -> bool:
    """Return whether one value of an array, as a Python object, is None or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def not_nan(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which values of a numeric array are not NaN."""
    return ~np.isnan(values) if values.dtype.kind == "f" else np.ones(values.shape, "bool")


def rows_of(results: xr.Dataset, like: da.Array) -> da.Array:
    """Return the number of each text, int64 [n], in the chunks of another array.

    It is the coordinate ``row`` if it exists: the row in the corpus. Otherwise the texts that the
    reduction receives are numbered from 0.
    """
    import dask.array as da

    if "row" in results.variables:
        rows: da.Array = array_of(results, "row").data.astype("int64")
    else:  # not rechunked, which would drop chunks without rows
        rows = da.arange(like.shape[0], chunks=(like.chunks[0],), dtype="int64")
    return rows


def fold(
    leaf: Callable[..., Any],
    merge: Callable[[list[Any]], Any],
    arrays: Sequence[da.Array],
    *shared: Any,
) -> Any:
    """Return, lazily, the states of all chunks, merged in a fixed tree.

    The result is a `dask.delayed.Delayed`.

    Parameters
    ----------
    leaf : callable
        Called with a chunk of each array and `shared`; returns the chunk's state.
    merge : callable
        Called with a list of one to eight states in the order of their chunks; returns their state.
    arrays : sequence of dask.array.Array
        Chunked alike along their first axis, and not along others.
    *shared
        Further arguments of `leaf`, the same for all chunks. They may be delayed.

    Examples
    --------
    >>> import dask.array as da
    >>> fold(
    ...     lambda block: [block.sum()], lambda states: sum(states, []), [da.ones(9, chunks=4)]
    ... ).compute()
    [np.float64(4.0), np.float64(4.0), np.float64(1.0)]
    """
    from dask.delayed import Delayed, delayed

    blocks = [array.to_delayed(optimize_graph=False).reshape(-1) for array in arrays]
    of_chunk, joined = delayed(leaf, pure=True), delayed(_joined, pure=True)
    states = [of_chunk(*block, *shared) for block in zip(*blocks, strict=True)]
    while True:
        parts = range(0, len(states), MERGED_AT_ONCE)
        # As arguments of their own: for a list of states dask would go through the whole graph.
        states = [joined(merge, *states[start : start + MERGED_AT_ONCE]) for start in parts]
        if len(states) == 1:
            # In one layer: what takes the state would copy the list of its thousands of layers.
            return Delayed(states[0].key, dict(states[0].dask.to_dict()))


def _joined(merge: Callable[[list[Any]], Any], *states: Any) -> Any:
    return merge(list(states))


def read_again(arrays: Sequence[da.Array], after: Any) -> list[da.Array]:
    """Return the same arrays, which are read again once `after` is computed.

    A reduction of several passes would otherwise hold all chunks in memory from the first pass to
    the last. Every pass must start from the arrays of the first one: what has to be computed for
    the given arrays is computed again, earlier passes included.
    """
    from dask.graph_manipulation import bind

    return list(bind(list(arrays), after, seed=str(after.key)))


def lazy(state: Any, shape: tuple[int, ...], dtype: Any) -> da.Array:
    """Return a delayed NumPy array of known shape as a dask array of one chunk."""
    import dask.array as da

    made: da.Array = da.from_delayed(state, shape=shape, dtype=dtype)
    return made


def coordinates_of(array: xr.DataArray) -> dict[str, Any]:
    """Return the labels of an array's dimensions other than ``text``."""
    return {str(dim): array.coords[dim] for dim in array.dims[1:] if dim in array.coords}


def components_of(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a chunk as [components, rows]."""
    return values.reshape(len(values), math.prod(values.shape[1:])).T


def require_small_state(what: str, values: int) -> None:
    """Raise `GraphError` if the state of a chunk, of `values` 64-bit values, takes too much memory.

    Parameters
    ----------
    what : str
        What was requested; the subject of the message.
    """
    if values * 8 > MOST_BYTES:
        raise GraphError(
            f"{what} would take {values * 8 / 2**20:,.0f} MiB per shard; the limit is "
            f"{MOST_BYTES // 2**20} MiB"
        )


def whole_number(what: str, value: Any, least: int, most: int) -> int:
    """Return a parameter as an int.

    Raises
    ------
    GraphError
        It is not a whole number from `least` to `most`.
    """
    try:
        number = index(value)
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or not least <= number <= most:
        raise GraphError(f"{what} must be a whole number from {least} to {most:,}, not {value!r}")
    return number
