"""`closest_in`: which texts of a shard are nearest to each text of a block, exactly.

Two steps per tile of pairs. A matrix product in float32 gives every distance with an error whose
bound is known; pairs that are farther than the k nearest by more than that cannot be among them.
For the few others the distance is summed in float64, value by value. The product's own bits, which
depend on the processor, on threads and on the shape of the tile, do not reach the result.

Distances are compared by keys: the negative cosine, or the squared distance.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

METRICS = ("cosine", "euclidean")

TILE_TEXTS = 2048
"""Texts of a block, and of a shard, that are compared at once: a tile takes 16 MiB."""

_LEAST, _MOST = 1e-150, 1e150
"""Squared lengths of vectors that have a cosine. Products of others leave float64's range."""

_PAIRS = 1 << 18
"""Pairs whose keys are summed at once."""

_UNIT = 2.0**-24
"""Greatest relative rounding error of float32."""

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


class Closest(NamedTuple):
    """The nearest texts of each text of a block, the nearest first; row -1 where there is none."""

    rows: Rows  # [n, k]
    keys: Floats  # [n, k]; infinite where there is none

    @classmethod
    def none(cls, texts: int, k: int) -> Closest:
        """Return the state before any text was seen."""
        return cls(np.full((texts, k), -1, "int64"), np.full((texts, k), np.inf))


@dataclass(frozen=True)
class Vectors:
    """Vectors of some texts, and what comparing them needs.

    Attributes
    ----------
    columns : array, float64 [d, n]
        The vectors. Those that cannot be compared are zero.
    rows : array, int64 [n]
    squares : array, float64 [n]
        Squared lengths, summed in the order of the values.
    usable : array, bool [n]
        Which vectors can be compared.
    """

    metric: str
    columns: Floats
    rows: Rows
    squares: Floats
    usable: npt.NDArray[np.bool_]

    def usable_ones(self) -> Vectors:
        """Return those that can be compared."""
        return self.part(np.flatnonzero(self.usable))

    def part(self, which: Any) -> Vectors:
        """Return some of them."""
        return Vectors(
            self.metric,
            self.columns[:, which],
            self.rows[which],
            self.squares[which],
            self.usable[which],
        )


def vectors_of(values: npt.NDArray[Any], rows: Rows, metric: str) -> Vectors:
    """Return the vectors of some texts, [n, d], ready for `closest_in`."""
    columns = np.array(values.T, dtype="float64", order="C")  # a copy, which is changed
    usable = np.isfinite(columns).all(axis=0)
    columns[:, ~usable] = 0.0
    with np.errstate(over="ignore"):
        squares = summed(columns * columns)
    if metric == "cosine":
        usable &= (squares >= _LEAST) & (squares <= _MOST)
    else:
        usable &= squares <= _MOST
    columns[:, ~usable] = 0.0
    return Vectors(metric, columns, rows, np.where(usable, squares, 0.0), usable)


def closest_in(values: npt.NDArray[Any], rows: Rows, block: Vectors, k: int) -> Closest:
    """Return which texts of a shard are nearest to each text of a block.

    Parameters
    ----------
    values : array [m, d]
        Vectors of the shard's texts.
    rows : array, int64 [m]
        Their rows. A text is not compared with itself.
    """
    found = Closest.none(len(block.rows), k)
    centre = block.columns.mean(axis=1) if block.metric == "euclidean" and len(block.rows) else None
    for start in range(0, len(rows), TILE_TEXTS):
        part = slice(start, start + TILE_TEXTS)
        others = vectors_of(values[part], rows[part], block.metric)
        others = others.part(_first_of_equals(others, k + 1))
        if not len(others.rows):
            continue
        for low in range(0, len(block.rows), TILE_TEXTS):
            which = slice(low, low + TILE_TEXTS)
            before = Closest(found.rows[which], found.keys[which])
            after = joined([before, _tile(block.part(which), others, before, centre)])
            found.rows[which], found.keys[which] = after
    return found


def joined(states: list[Closest]) -> Closest:
    """Return the nearest texts of several states; the lower row comes first among equals."""
    k = states[0].rows.shape[1]
    rows = np.concatenate([state.rows for state in states], axis=1)
    keys = np.concatenate([state.keys for state in states], axis=1)
    order = np.lexsort((rows, keys))[:, :k]
    return Closest(np.take_along_axis(rows, order, 1), np.take_along_axis(keys, order, 1))


def distances_of(closest: Closest, metric: str) -> tuple[Rows, npt.NDArray[np.float32]]:
    """Return the rows of the nearest texts, and their distances, float32, NaN where none is."""
    keys = np.where(closest.rows < 0, np.nan, closest.keys)
    distances = 1.0 + keys if metric == "cosine" else np.sqrt(keys)
    return closest.rows, distances.astype("float32")


def summed(terms: Floats) -> Floats:
    """Return the sums over the first axis, in its order: NumPy's own order depends on the shape."""
    total = np.zeros(terms.shape[1:])
    for term in terms:
        total = total + term
    return total


def _first_of_equals(vectors: Vectors, most: int) -> npt.NDArray[np.int64]:
    """Return the positions of usable vectors, at most so many of each set of equal ones.

    No more of them can be among the nearest, and a store may have one text thousands of times.
    """
    seen: Counter[bytes] = Counter()
    kept = []
    contiguous = np.ascontiguousarray(vectors.columns.T)
    for at in np.argsort(vectors.rows, kind="stable").tolist():
        if vectors.usable[at]:
            one = contiguous[at].tobytes()
            seen[one] += 1
            if seen[one] <= most:
                kept.append(at)
    return np.array(sorted(kept), "int64")


def _tile(block: Vectors, others: Vectors, before: Closest, centre: Floats | None) -> Closest:
    """Return the nearest of some texts to each of a block, without those that `before` excludes."""
    k = before.rows.shape[1]
    rough = _rough(block, others, centre)
    keys = rough.keys
    keys[~block.usable] = np.inf
    keys[_positions(block.rows, others.rows)] = np.inf  # a text and itself
    bound = before.keys[:, -1] / rough.scale + rough.error
    if len(others.rows) > k:
        bound = np.minimum(bound, np.partition(keys, k - 1, axis=1)[:, k - 1] + 2 * rough.error)
    # Rounded up, because float32 is compared. Finite, because excluded pairs are infinitely far.
    limit = np.nextafter(np.minimum(bound, 1e30).astype("float32"), np.float32(np.inf))
    near, other = np.nonzero(keys <= limit[:, np.newaxis])
    return _ranked(len(block.rows), k, near, others.rows[other], _exact(block, others, near, other))


class _Rough(NamedTuple):
    """Keys of pairs in float32, and the error that they have at most."""

    keys: npt.NDArray[np.float32]  # [n, m], divided by `scale`
    error: Floats  # [n], of the divided keys
    scale: float


def _rough(block: Vectors, others: Vectors, centre: Floats | None) -> _Rough:
    """Return the keys of all pairs, roughly.

    The error of a product of d values is at most d u |x| |y|, whatever the order of its sums, and
    rounding the values themselves adds u for each factor [1]_. For squared distances no term is
    larger than (|x| + |y|)², which subtracting a centre keeps small. The bounds are doubled.

    References
    ----------
    .. [1] N. J. Higham, "Accuracy and stability of numerical algorithms", 2nd edition, 2002,
       section 3.1.
    """
    if centre is None:
        x, y = (_divided(one.columns, np.sqrt(one.squares)) for one in (block, others))
        return _Rough(-(x.T @ y), np.full(len(block.rows), 2 * (len(x) + 16) * _UNIT), 1.0)
    moved = [one.columns - centre[:, np.newaxis] for one in (block, others)]
    lengths = [np.sqrt((one * one).sum(axis=0)) for one in moved]
    longest = max(lengths[0].max(), lengths[1].max(), 1e-150)
    x, y = (_divided(one, longest) for one in moved)
    one, two = ((one / longest) for one in lengths)
    keys = np.matmul(x.T, y)
    keys *= np.float32(-2)
    keys += (one * one).astype("float32")[:, np.newaxis]
    keys += (two * two).astype("float32")
    error = 2 * (len(x) + 32) * _UNIT * (one + two.max()) ** 2 + 1e-30
    return _Rough(keys, error, longest * longest)


def _divided(columns: Floats, by: Any) -> npt.NDArray[np.float32]:
    return np.divide(columns, np.where(by > 0, by, 1.0)).astype("float32")


def _positions(block: Rows, others: Rows) -> tuple[Rows, Rows]:
    """Return where rows of a block are among others: positions in the block, and in the others."""
    order = np.argsort(block, kind="stable")
    at = np.minimum(np.searchsorted(block, others, sorter=order), len(block) - 1)
    same = np.flatnonzero(block[order[at]] == others)
    return order[at[same]], same


def _exact(block: Vectors, others: Vectors, near: Rows, other: Rows) -> Floats:
    """Return the keys of some pairs, summed in the order of the values."""
    found = np.empty(len(near))
    for start in range(0, len(near), _PAIRS):
        part = slice(start, start + _PAIRS)
        one, two = near[part], other[part]
        total = np.zeros(len(one))
        for x, y in zip(block.columns, others.columns, strict=True):
            if block.metric == "cosine":
                total += x[one] * y[two]
            else:
                rest = x[one] - y[two]
                total += rest * rest
        if block.metric == "cosine":  # equal vectors give exactly 1
            total /= np.sqrt(block.squares[one] * others.squares[two])
            total = -np.minimum(total, 1.0)
        found[part] = total
    return found


def _ranked(texts: int, k: int, near: Rows, rows: Rows, keys: Floats) -> Closest:
    """Return the k nearest texts of each text of a block, from pairs sorted by the latter."""
    order = np.lexsort((rows, keys, near))
    near, rows, keys = near[order], rows[order], keys[order]
    rank = np.arange(len(near)) - np.searchsorted(near, near)
    kept = rank < k
    found = Closest.none(texts, k)
    found.rows[near[kept], rank[kept]] = rows[kept]
    found.keys[near[kept], rank[kept]] = keys[kept]
    return found
