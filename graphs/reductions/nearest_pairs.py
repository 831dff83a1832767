"""Exact search for the nearest of some vectors, and the scores by which they are ordered.

Candidates are found by products of float32 matrices, whose bits depend on the processor, on threads
and on the matrices' shapes. Their rounding error is bounded, so that no text that could be among the
nearest is missed. Candidates are then compared in float64, with sums in the order of the components,
which give the same bits everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

QUERIES = 256
OTHERS = 4096
"""Numbers of queries and of other texts whose products are computed at once."""

PAIR_VALUES = 1 << 20
"""Maximum number of components of the pairs that are compared at once in float64."""

_FLOAT32_ROUNDING = 2.0**-24
_FLOAT64_ROUNDING = 2.0**-53

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Nearest(NamedTuple):
    """The nearest rows of some queries, nearest first; of equally near ones, the earlier first.

    Places that are not filled have an infinite score and row -1.
    """

    scores: Floats  # [n, k]: the less, the nearer
    rows: Ints  # [n, k]


class Vectors(NamedTuple):
    """Some texts: their rows in the corpus, ascending, and their vectors."""

    rows: Ints  # [n]
    values: npt.NDArray[Any]  # [n, d]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """How near two vectors are.

    Parameters
    ----------
    scores : callable
        Given the components of pairs of vectors, float64 [d, n], or [d, 1] for a vector that is
        compared with n, it returns their scores [n]. A pair's score depends on that pair alone.
    distances : callable
        Returns the distances that belong to scores.
    points : callable
        Returns, for vectors [n, d], points whose squared distances have the order of the scores.
    squares : callable
        Returns the points' squared distances that belong to scores.
    least : float
        The score of equal vectors.
    angular : bool
        Whether directions are compared: the zero vector has no score, and rounding errors of scores
        are relative to the lengths of the points, not to their distance.
    """

    scores: Callable[[Floats, Floats], Floats]
    distances: Callable[[Floats], Floats]
    points: Callable[[Floats], Floats]
    squares: Callable[[Floats], Floats]
    least: float
    angular: bool

    def has_score(self, values: npt.NDArray[Any]) -> Bools:
        """Return which vectors [n, d] can be compared."""
        usable: Bools = np.isfinite(values).all(axis=1)
        return usable & (values != 0).any(axis=1) if self.angular else usable


def in_order(terms: Floats) -> Any:
    """Return the sum over the first axis, added in its order, as `numpy.sum` does not."""
    total: Any = 0.0
    for term in terms:
        total = total + term
    return total


def negated_cosines(one: Floats, other: Floats) -> Floats:
    """Return minus the cosines of pairs of vectors [d, n]: exactly -1 if they are equal."""
    norms = np.sqrt(in_order(one * one) * in_order(other * other))
    product = in_order(one * other)
    cosines = np.divide(product, norms, out=np.zeros(norms.shape), where=norms > 0)
    return -np.minimum(cosines, 1.0)


def squared_distances(one: Floats, other: Floats) -> Floats:
    """Return the squared Euclidean distances of pairs of vectors [d, n]."""
    rest = one - other
    return np.asarray(in_order(rest * rest))


def _directions(vectors: Floats) -> Floats:
    return vectors / np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))


METRICS = {
    "cosine": Metric(
        scores=negated_cosines,
        distances=lambda scores: 1.0 + scores,
        points=_directions,
        squares=lambda scores: 2.0 + 2.0 * scores,
        least=-1.0,
        angular=True,
    ),
    "euclidean": Metric(
        scores=squared_distances,
        distances=np.sqrt,
        points=lambda vectors: vectors,
        squares=lambda scores: scores,
        least=0.0,
        angular=False,
    ),
}


def nearest_pairs(queries: Vectors, others: Vectors, k: int, metric: Metric) -> Nearest:
    """Return the k nearest of the other texts for each query, which is not its own neighbour.

    Texts whose vectors have no score have no neighbours and are none.

    Examples
    --------
    >>> texts = Vectors(np.arange(3), np.array([[0.0], [2.0], [3.0]]))
    >>> nearest_pairs(texts, texts, 1, METRICS["euclidean"]).rows.tolist()
    [[1], [2], [1]]
    """
    found = no_neighbours(len(queries.rows), k)
    usable, kept = (np.flatnonzero(metric.has_score(one.values)) for one in (queries, others))
    if not len(usable) or not len(kept):
        return found
    ours, theirs = queries.values[usable].astype("float64"), others.values[kept].astype("float64")
    screen = _Screen(ours, theirs, metric)
    for start in range(0, len(usable), QUERIES):
        part = slice(start, min(start + QUERIES, len(usable)))
        rows = queries.rows[usable[part]]
        best = no_neighbours(len(rows), k)
        for at in range(0, len(kept), OTHERS):
            block = slice(at, min(at + OTHERS, len(kept)))
            their_rows = others.rows[kept[block]]
            same = rows[:, None] == their_rows
            query, other = np.nonzero(screen.may_be_nearer(part, block, best, same))
            scores = _scores(ours[part], theirs[block], query, other, metric)
            best = _with_pairs(best, query, scores, their_rows[other])
        found.scores[usable[part]], found.rows[usable[part]] = best
    return found


def no_neighbours(queries: int, k: int) -> Nearest:
    """Return the state of queries of which no neighbours are known."""
    return Nearest(np.full((queries, k), np.inf), np.full((queries, k), -1, "int64"))


def merged_nearest(states: list[Nearest]) -> Nearest:
    """Return the nearest of several states of the same queries."""
    scores = np.concatenate([state.scores for state in states], axis=1)
    rows = np.concatenate([state.rows for state in states], axis=1)
    order = np.lexsort((rows, scores), axis=1)[:, : states[0].rows.shape[1]]
    return Nearest(np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1))


class _Screen:
    """Bounds of the squared distances of points, by products of float32 matrices.

    With u the unit roundoff of float32, a and b the lengths of two points and d their dimension, the
    error of a product is at most d·u·a·b in any order of its sums [1]_, and rounding the points
    changes the squared distance by 2·u·(a + b)². The bound is twice the sum of all this. The points
    are centred first, which makes it small where they lie close together.

    References
    ----------
    .. [1] N. J. Higham, "Accuracy and Stability of Numerical Algorithms", 2nd edition, section 3.1.
    """

    def __init__(self, ours: Floats, theirs: Floats, metric: Metric) -> None:
        self._metric = metric
        pair = [metric.points(vectors) for vectors in (ours, theirs)]
        self._scale = max(float(np.abs(points).max()) for points in pair) or 1.0
        pair = [points / self._scale for points in pair]  # so that no square overflows
        centre = pair[0].mean(axis=0)
        self._sizes = [_lengths(points) for points in pair]
        centred = [points - centre for points in pair]
        self._spreads = [_lengths(points) for points in centred]
        self._points = [points.astype("float32") for points in centred]
        self._squares = [np.square(lengths).astype("float32") for lengths in self._spreads]

    def may_be_nearer(self, part: slice, block: slice, best: Nearest, same: Bools) -> Bools:
        """Return which of the other texts may be among the nearest, for queries: bool [q, m].

        Parameters
        ----------
        best : Nearest
            The nearest of earlier rows.
        same : array of bool [q, m]
            Where the other text is the query.
        """
        product = self._points[0][part] @ self._points[1][block].T
        squares = (self._squares[0][part, None] - 2 * product) + self._squares[1][block]
        squares[same] = np.inf
        error = self._error(part, block)
        k, last = best.rows.shape[1], best.scores[:, -1]
        known = self._metric.squares(last) / self._scale**2
        limit = np.where(last > self._metric.least, known + error, -np.inf)  # none can be nearer
        if np.isinf(known).any() and k <= squares.shape[1]:
            kth = np.partition(squares, k - 1, axis=1)[:, k - 1]
            limit = np.minimum(limit, kth + 2 * error)
        found: Bools = (squares <= limit[:, None]) & (squares < np.inf)
        return found

    def _error(self, part: slice, block: slice) -> Floats:
        """Return the largest error of a query's squared distances: float64 [q]."""
        spread = self._spreads[0][part] + self._spreads[1][block].max()
        size = self._sizes[0][part] + self._sizes[1][block].max()
        terms = self._points[0].shape[1] + 16
        of_products = terms * _FLOAT32_ROUNDING * spread * spread
        of_scores = (
            8 * terms * _FLOAT64_ROUNDING * size * (size if self._metric.angular else spread)
        )
        return of_products + of_scores + terms * float(np.finfo("float32").tiny)


def _lengths(points: Floats) -> Floats:
    lengths: Floats = np.sqrt((points * points).sum(axis=1))
    return lengths


def _scores(ours: Floats, theirs: Floats, query: Ints, other: Ints, metric: Metric) -> Floats:
    """Return the scores of pairs, given by their positions."""
    scores = np.empty(len(query))
    size = max(1, PAIR_VALUES // ours.shape[1])
    for start in range(0, len(query), size):
        pairs = slice(start, start + size)
        one, two = ours[query[pairs]].T, theirs[other[pairs]].T
        scores[pairs] = metric.scores(np.ascontiguousarray(one), np.ascontiguousarray(two))
    return scores


def _with_pairs(best: Nearest, query: Ints, scores: Floats, rows: Ints) -> Nearest:
    """Return the nearest among those known and further pairs."""
    queries, k = best.rows.shape
    every = np.concatenate([np.repeat(np.arange(queries), k), query])
    scores = np.concatenate([best.scores.ravel(), scores])
    rows = np.concatenate([best.rows.ravel(), rows])
    order = np.lexsort((rows, scores, every))
    firsts = np.searchsorted(every[order], np.arange(queries))
    chosen = order[firsts[:, None] + np.arange(k)]
    return Nearest(scores[chosen], rows[chosen])
