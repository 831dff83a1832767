"""Experiment 1: whether clusters of the primitives' vectors agree with their categories.

k-means with as many clusters as categories. Purity is the share of primitives in the cluster that
is assigned to their category, one cluster per category (Hungarian method). Majority purity lets
every cluster take its most frequent category, so it is never lower. The adjusted Rand index and the
adjusted mutual information are 0 by chance.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from .significance import UNDEFINED, Estimate, Finer, estimated, intervals, p_value, permuted

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FIGURES = (
    "purity",
    "majority_purity",
    "adjusted_rand",
    "adjusted_mutual_information",
    "silhouette_of_clusters",
    "silhouette_of_categories",
)
"""Names of the figures, in order."""

_TIED = frozenset({"purity", "majority_purity"})  # shares of a few texts

N_INIT = 10
"""Number of first centres that k-means tries; the result with the least inertia is kept."""


def clusters_of(vectors: Floats, k: int, seed: int) -> Ints:
    """Return the cluster of each vector, int64 [n]; fewer than k clusters if vectors coincide."""
    from sklearn.cluster import KMeans

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Number of distinct clusters")
        found = KMeans(k, n_init=N_INIT, random_state=seed).fit_predict(vectors)
    return np.asarray(found, "int64")


def contingencies(clusters: Ints, labels: Ints) -> Ints:
    """Return the number of rows per cluster and label: int64 [m, clusters, labels].

    Parameters
    ----------
    clusters : array of int64 [n]
    labels : array of int64 [m, n]
        Several labellings of the same rows.
    """
    k, c = int(clusters.max()) + 1, int(labels.max()) + 1
    cells = clusters * c + labels + (np.arange(len(labels)) * k * c)[:, None]
    counts = np.bincount(cells.ravel(), minlength=len(labels) * k * c)
    return counts.reshape(len(labels), k, c)


def purities(tables: Ints) -> Floats:
    """Return the purity by best assignment of each table [m, clusters, labels]."""
    from scipy.optimize import linear_sum_assignment

    def assigned(table: Ints) -> int:
        rows, columns = linear_sum_assignment(-table)
        return int(table[rows, columns].sum())

    found: Floats = np.array([assigned(table) for table in tables]) / tables[0].sum()
    return found


def majority_purities(tables: Ints) -> Floats:
    """Return the majority purity of each table."""
    return np.asarray(tables.max(axis=2).sum(axis=1) / tables[0].sum(), "float64")


def adjusted_rands(tables: Ints) -> Floats:
    """Return the adjusted Rand index of each table."""

    def pairs(counts: Any) -> Any:
        return counts * (counts - 1) / 2

    together = pairs(tables).sum(axis=(1, 2))
    of_clusters = pairs(tables.sum(axis=2)).sum(axis=1)
    of_labels = pairs(tables.sum(axis=1)).sum(axis=1)
    expected = of_clusters * of_labels / pairs(tables[0].sum())
    most = (of_clusters + of_labels) / 2
    with np.errstate(invalid="ignore"):
        return np.asarray((together - expected) / (most - expected), "float64")


def mutual_informations(tables: Ints) -> Floats:
    """Return the mutual information of each table, in nats, not adjusted."""
    share = tables / tables[0].sum()
    product = share.sum(axis=2, keepdims=True) * share.sum(axis=1, keepdims=True)
    ratio = np.divide(share, product, out=np.ones_like(share), where=share > 0)
    return np.asarray((share * np.log(ratio)).sum(axis=(1, 2)), "float64")


def silhouettes(distances: Floats, labels: Ints) -> Floats:
    """Return the mean silhouette for several labellings [m, n] of one matrix of distances."""
    kinds = np.arange(labels.max() + 1)
    member = (labels[:, :, None] == kinds).astype("float64")  # [m, n, kinds]
    sums, counts = distances @ member, member.sum(axis=1)[:, None, :]
    own = np.take_along_axis(counts, labels[:, :, None], axis=2)[:, :, 0]
    within = np.take_along_axis(sums, labels[:, :, None], axis=2)[:, :, 0] / np.maximum(own - 1, 1)
    means = np.divide(sums, counts, out=np.full_like(sums, np.inf), where=counts > 0)
    np.put_along_axis(means, labels[:, :, None], np.inf, axis=2)
    nearest = means.min(axis=2)
    larger = np.maximum(within, nearest)
    value = np.divide(nearest - within, larger, out=np.zeros_like(within), where=larger > 0)
    return np.asarray(np.where(own > 1, value, 0.0).mean(axis=1), "float64")


def euclidean(vectors: Floats) -> Floats:
    """Return the distances of all pairs of vectors: float64 [n, n]."""
    squares = (vectors * vectors).sum(axis=1)
    apart = np.maximum(squares[:, None] + squares - 2 * vectors @ vectors.T, 0.0)
    np.fill_diagonal(apart, 0.0)
    return np.asarray(np.sqrt(apart), "float64")


def compact(labels: npt.NDArray[Any]) -> Ints:
    """Return labels as numbers from 0, without gaps."""
    return np.asarray(np.unique(labels, return_inverse=True)[1], "int64")


def measured(vectors: Floats, labels: Ints, clusters: Ints) -> Floats:
    """Return the six figures of vectors with their labels and clusters, as in `FIGURES`."""
    from sklearn.metrics import adjusted_mutual_info_score

    table, apart = contingencies(clusters, labels[None]), euclidean(vectors)
    n_clusters = len(np.unique(clusters))
    parted = silhouettes(apart, clusters[None])[0] if 1 < n_clusters < len(vectors) else np.nan
    return np.array(
        [
            purities(table)[0],
            majority_purities(table)[0],
            adjusted_rands(table)[0],
            adjusted_mutual_info_score(labels, clusters),
            parted,
            silhouettes(apart, labels[None])[0],
        ]
    )


def clustering(
    vectors: Floats, labels: Ints, *, seed: int, permutations: int, subsamples: int
) -> tuple[list[Estimate], Ints]:
    """Return the figures of the experiment, in order of `FIGURES`, and the cluster of each row.

    No permutation of labels changes the silhouette of the clusters, so it has no p-value. All
    figures are undefined, and the clusters -1, for fewer than two categories, or for no more
    vectors than categories.

    Parameters
    ----------
    vectors : array of float64 [n, d]
        Usable ones only; see `checked`.
    labels : array of int64 [n]
        Category of each.
    """
    labels = compact(labels)
    k = int(labels.max(initial=0)) + 1
    if k < 2 or len(vectors) <= k:
        return [UNDEFINED] * len(FIGURES), np.full(len(vectors), -1)
    clusters = clusters_of(vectors, k, seed)
    values = measured(vectors, labels, clusters)

    def of_rows(rows: Ints) -> Floats:
        chosen = compact(labels[rows])
        kinds = int(chosen.max()) + 1
        if kinds < 2 or len(rows) <= kinds:
            return np.full(len(FIGURES), np.nan)
        return measured(vectors[rows], chosen, clusters_of(vectors[rows], kinds, seed))

    ends = intervals(values, of_rows, len(vectors), count=subsamples, seed=seed)
    ends[:2] = np.clip(ends[:2], 0.0, 1.0)
    nulls = _nulls(euclidean(vectors), labels, clusters, permutations=permutations, seed=seed)
    information = mutual_informations(contingencies(clusters, labels[None]))[0]
    finer = Finer(information, nulls[3])
    found = [
        estimated(value, null, (low, high), finer if name in _TIED else None)
        for name, value, null, (low, high) in zip(
            FIGURES, values, nulls, ends.tolist(), strict=True
        )
    ]
    # Adjusting subtracts a constant and divides by one, so the order of permutations is the same.
    found[3] = found[3]._replace(
        p=p_value(information, nulls[3]), chance=np.nan, chance_high=np.nan
    )
    return found, clusters


def _nulls(
    distances: Floats, labels: Ints, clusters: Ints, *, permutations: int, seed: int
) -> list[Floats]:
    """Return the figures for permuted labels; mutual information, not adjusted, for the fourth."""
    drawn: list[list[Floats]] = [[], [], [], [], []]
    for rows in permuted(len(labels), permutations, seed):
        tables = contingencies(clusters, labels[rows])
        batch = (
            purities(tables),
            majority_purities(tables),
            adjusted_rands(tables),
            mutual_informations(tables),
            silhouettes(distances, labels[rows]),
        )
        for values, one in zip(drawn, batch, strict=True):
            values.append(one)
    purity, majority, rand, information, silhouette = (
        np.concatenate(values) if values else np.empty(0) for values in drawn
    )
    return [purity, majority, rand, information, np.empty(0), silhouette]
