"""`quantiles`: exact quantiles of a field, by radix selection.

The bits of a number, with the sign handled, are an unsigned integer in the order of the numbers. A
pass over all chunks counts, for each value that is sought, the next 11 bits of the numbers that
share its leading bits, and so finds these bits of the value. float32 takes three passes, float64
six. Counts are exact, so neither the chunks nor their order matter, and no task holds more than
counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...storage.errors import GraphError
from .chunks import (
    components_of,
    coordinates_of,
    field_of,
    fold,
    lazy,
    not_nan,
    read_again,
    require_small_state,
)
from .reduce_block import ReduceBlock

if TYPE_CHECKING:
    import xarray as xr

DIGIT_BITS = 11
"""Number of bits that one pass finds."""

UInts = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]


def quantiles(field: str, *, q: Sequence[float] | float, name: str | None = None) -> ReduceBlock:
    r"""Return the reduction to quantiles of a field, with linear interpolation.

    They are exact: equal to ``numpy.nanquantile(values.astype("float64"), q, axis=0)`` over all
    texts. The field is read once per 11 bits of its dtype, so three times if it is float32.

    Parameters
    ----------
    field : str
        A numeric field or kept column, of any shape.
    q : float or sequence of float
        Probabilities, from 0 to 1.
    name : str, optional
        Name of the reduction. By default ``FIELD_quantiles``.

    Returns
    -------
    ReduceBlock
        Its result is a DataArray, float64 [quantile, \*shape], with `q` as its coordinate
        ``quantile``. NaN values are left out; if no value is left, it is NaN.

    Raises
    ------
    GraphError
        A probability is not valid. When it is computed: the counts of a shard would take more than
        64 MiB, because the field has too many components for so many quantiles.

    Examples
    --------
    >>> import xarray as xr
    >>> texts = xr.Dataset({"entropy": ("text", [4.0, 1.0, 3.0, 2.0, float("nan")])})
    >>> quantiles("entropy", q=[0, 0.5, 1])(texts).values.tolist()
    [1.0, 2.5, 4.0]
    """
    asked = np.atleast_1d(np.asarray(q, "float64")).tolist()
    if np.ndim(asked) != 1 or not asked or not all(0 <= one <= 1 for one in asked):
        raise GraphError(f"q must be probabilities from 0 to 1, not {q!r}")
    return ReduceBlock(
        name=name or f"{field}_quantiles",
        function=_quantiles,
        params={"field": field, "q": asked},
        version="1",
    )


class _Search(NamedTuple):
    """What is known of the sought values: two for each component and quantile."""

    prefixes: UInts  # [components, 2 q]: the leading bits of the values
    ranks: Ints  # [components, 2 q]: of the values, among the numbers with these bits
    counts: Ints  # [components]: numbers that are not NaN


def _quantiles(results: xr.Dataset, *, field: str, q: list[float]) -> xr.DataArray:
    import xarray as xr
    from dask.delayed import delayed

    values = field_of(results, field)
    dtype = np.dtype("uint8") if values.dtype.kind == "b" else values.dtype
    bits = 8 * dtype.itemsize
    components = math.prod(values.shape[1:])
    what = f"{len(q)} quantiles of the {components:,} components of {field!r}"
    require_small_state(what, components * 2 * len(q) * 2**DIGIT_BITS)
    arrays = once = [values.astype(dtype).data]
    step = delayed(_narrowed, pure=True)
    search: Any = None
    for known in range(0, bits, DIGIT_BITS):
        if search is not None:
            arrays = read_again(once, search)
        digits = min(DIGIT_BITS, bits - known)
        counts = fold(_counts, sum, arrays, search, bits - known - digits, digits)
        search = step(search, counts, digits, q)
    shape = (len(q), *values.shape[1:])
    found = delayed(_interpolated, pure=True)(search, q, dtype, shape)
    return xr.DataArray(
        lazy(found, shape, "float64"),
        dims=("quantile", *values.dims[1:]),
        coords={"quantile": np.array(q), **coordinates_of(values)},
    )


def _image(values: npt.NDArray[Any]) -> UInts:
    """Return unsigned integers in the order of the numbers, -0.0 before 0.0."""
    bits = 8 * values.dtype.itemsize
    raw = np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}").astype("uint64")
    top, every = np.uint64(1 << (bits - 1)), np.uint64((1 << bits) - 1)
    if values.dtype.kind == "u":
        return raw
    if values.dtype.kind == "i":
        return raw ^ top
    return np.where(raw & top, raw ^ every, raw | top)


def _numbers(image: UInts, dtype: np.dtype[Any]) -> npt.NDArray[np.float64]:
    """Return, as float64, the numbers of a dtype that have an image."""
    bits = 8 * dtype.itemsize
    top, every = np.uint64(1 << (bits - 1)), np.uint64((1 << bits) - 1)
    raw = image
    if dtype.kind == "i":
        raw = image ^ top
    elif dtype.kind == "f":
        raw = np.where(image & top, image ^ top, image ^ every)
    return raw.astype(f"u{dtype.itemsize}").view(dtype).astype("float64")


def _counts(values: npt.NDArray[Any], search: _Search | None, shift: int, digits: int) -> Ints:
    """Return how often each next digit follows each prefix: [components, 2 q or 1, 2**digits]."""
    counts = []
    for number, component in enumerate(components_of(values)):
        image = _image(component[not_nan(component)])
        image >>= np.uint64(shift)
        if search is None:
            counts.append(np.bincount(image.astype("int64"), minlength=1 << digits)[np.newaxis])
            continue
        prefixes, which = np.unique(search.prefixes[number], return_inverse=True)
        heads = image >> np.uint64(digits)
        places = np.searchsorted(prefixes, heads)
        begins = prefixes[np.minimum(places, len(prefixes) - 1)] == heads
        tails = (image & np.uint64((1 << digits) - 1)).astype("int64")
        codes = (places[begins] << digits) + tails[begins]
        found = np.bincount(codes, minlength=len(prefixes) << digits)
        counts.append(found.reshape(len(prefixes), -1)[which.reshape(-1)])
    return np.array(counts, "int64")


def _narrowed(search: _Search | None, counts: Ints, digits: int, q: list[float]) -> _Search:
    """Return what is known once the next digit of each value is chosen by its rank."""
    if search is None:
        numbers = counts.sum(axis=(1, 2))
        ranks = np.array([_ranks(int(n), q) for n in numbers], "int64").reshape(len(numbers), -1)
        search = _Search(np.zeros(ranks.shape, "uint64"), ranks, numbers)
        counts = np.broadcast_to(counts, (*ranks.shape, counts.shape[-1]))
    upto = counts.cumsum(axis=-1)
    digit = (upto <= search.ranks[..., np.newaxis]).sum(axis=-1)
    digit = np.minimum(digit, (1 << digits) - 1)  # of components without numbers
    before = np.take_along_axis(upto - counts, digit[..., np.newaxis], -1)[..., 0]
    prefixes = (search.prefixes << np.uint64(digits)) | digit.astype("uint64")
    return _Search(prefixes, search.ranks - before, search.counts)


def _ranks(count: int, q: list[float]) -> list[int]:
    """Return the ranks of the two neighbours of each quantile, from 0."""
    places = [one * (count - 1) for one in q]
    return [
        rank for at in places for rank in (max(0, int(at)), min(int(at) + 1, max(0, count - 1)))
    ]


def _interpolated(
    search: _Search, q: list[float], dtype: np.dtype[Any], shape: tuple[int, ...]
) -> npt.NDArray[np.float64]:
    """Return the quantiles, interpolated with NumPy's own formula and rounding."""
    pairs = _numbers(search.prefixes, dtype).reshape(len(search.counts), len(q), 2)
    found = np.full((len(q), len(search.counts)), np.nan)
    for component, count in enumerate(search.counts.tolist()):
        for number, one in enumerate(q if count else []):
            low, high = pairs[component, number]
            weight = one * (count - 1) % 1
            with np.errstate(invalid="ignore"):  # between two infinities
                between = low if weight == 0 else np.quantile([low, high], weight)
            found[number, component] = between
    return found.reshape(shape)
