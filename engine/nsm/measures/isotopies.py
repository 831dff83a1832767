"""Experiment 3: whether sentences' vectors show which primitives and themes they have.

The presence of a primitive in a sentence is correlated with the first ten principal components of
the sentences' vectors. The themes are found by k-means with as many clusters as isotopies: a theme
is found if one cluster has at least half of its sentences, and they are at least half of the
cluster. By chance nearly always none is, so the test of their number rejects less often than its
level says; the accuracy's does not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .clustering import clusters_of, compact, contingencies, mutual_informations, purities
from .significance import UNDEFINED, Estimate, Finer, estimated, intervals, p_value, permuted

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

FIGURES = ("largest_correlation", "themes_found", "theme_accuracy")
"""Names of the figures, in order."""

COMPONENTS = 10

LEAST_SENTENCES = 5
"""Least number of sentences with a primitive, and without it, for which a correlation is defined.
With fewer, single sentences decide it."""


class Correlations(NamedTuple):
    """How the presence of primitives goes with the principal components."""

    largest: Estimate  # the largest |r|
    r: Floats  # [primitive, component], NaN where it is undefined
    p: Floats  # [primitive]: of its largest |r|, among all primitives and components
    sentences: Ints  # [primitive]: sentences that have it


class Themes(NamedTuple):
    """How clusters of sentences agree with isotopies."""

    found: Estimate  # number of themes
    accuracy: Estimate  # share of the sentences in the cluster assigned to their theme
    clusters: Ints  # [n]
    recall: Floats  # [isotopy]: largest share of its sentences in one cluster
    purity: Floats  # [isotopy]: its share of that cluster


def components_of(vectors: Floats, most: int = COMPONENTS) -> Floats:
    """Return the projections of vectors on their principal components: float64 [n, at most `most`].

    Components without variance are left out. Of each, the greatest projection is positive.
    """
    centred = vectors - vectors.mean(axis=0)
    left, scale, _ = np.linalg.svd(centred, full_matrices=False)
    kept = np.flatnonzero(scale > max(1e-6 * scale[0], 0.0))[:most]
    scores = left[:, kept] * scale[kept]
    extremes = np.take_along_axis(scores, np.abs(scores).argmax(axis=0)[None], axis=0)
    return np.asarray(scores * np.sign(extremes), "float64")


def correlations(
    vectors: Floats, presence: Bools, *, seed: int, permutations: int, subsamples: int
) -> Correlations:
    """Correlate presence [n, primitive] with principal components.

    The p-values are family-wise: the largest of all |r| for sentences in random order is what an
    |r| is compared with.
    """
    r = np.full((presence.shape[1], COMPONENTS), np.nan)
    p = np.full(len(r), np.nan)
    counts = presence.sum(axis=0)
    defined = _defined(presence)
    if len(vectors) < 3 or not defined.any():
        return Correlations(UNDEFINED, r, p, counts)
    columns, scores = _standard(presence[:, defined].astype("float64")), components_of(vectors)
    scores = _standard(scores)
    if not scores.size:
        return Correlations(UNDEFINED, r, p, counts)
    r[defined, : scores.shape[1]] = columns.T @ scores
    null = np.concatenate(
        [
            np.abs(columns[rows].transpose(0, 2, 1) @ scores).max(axis=(1, 2))
            for rows in permuted(len(vectors), permutations, seed)
        ]
    )
    p[defined] = [p_value(one, null) for one in np.nanmax(np.abs(r[defined]), axis=1)]

    def of_rows(rows: Ints) -> Floats:
        there = presence[rows][:, defined]
        varied = there[:, there.any(axis=0) & ~there.all(axis=0)].astype("float64")
        again = _standard(components_of(vectors[rows]))
        return np.array([np.abs(_standard(varied).T @ again).max(initial=0.0)])

    value = float(np.nanmax(np.abs(r)))
    (ends,) = intervals(
        np.array([value]), of_rows, len(vectors), count=subsamples, seed=seed, least=0.0
    )
    return Correlations(estimated(value, null, (ends[0], ends[1])), r, p, counts)


def _defined(presence: Bools) -> Bools:
    with_it = presence.sum(axis=0)
    return np.asarray(np.minimum(with_it, len(presence) - with_it) >= LEAST_SENTENCES)


def _standard(columns: Floats) -> Floats:
    """Return columns with mean 0 and length 1, so that their products are correlations."""
    centred = columns - columns.mean(axis=0)
    return np.asarray(centred / np.linalg.norm(centred, axis=0), "float64")


def themes(
    vectors: Floats, labels: Ints, kinds: int, *, seed: int, permutations: int, subsamples: int
) -> Themes:
    """Find themes by clustering.

    Parameters
    ----------
    labels : array of int64 [n]
        Isotopy of each sentence.
    kinds : int
        Number of isotopies, also those without a usable sentence.
    """
    present = np.unique(labels)
    recall, purity = np.full(kinds, np.nan), np.full(kinds, np.nan)
    if len(present) < 2 or len(vectors) <= len(present):
        return Themes(UNDEFINED, UNDEFINED, np.full(len(vectors), -1), recall, purity)
    chosen = compact(labels)
    clusters = clusters_of(vectors, len(present), seed)
    table = contingencies(clusters, chosen[None])
    best = table[0].argmax(axis=0)
    recall[present] = table[0].max(axis=0) / table[0].sum(axis=0)
    purity[present] = table[0].max(axis=0) / table[0].sum(axis=1)[best]
    values = np.array([_found(table)[0], purities(table)[0]])

    def of_rows(rows: Ints) -> Floats:
        again = compact(chosen[rows])
        k = int(again.max()) + 1
        if k < 2 or len(rows) <= k:
            return np.full(1, np.nan)
        return purities(contingencies(clusters_of(vectors[rows], k, seed), again[None]))

    (ends,) = intervals(values[1:], of_rows, len(vectors), count=subsamples, seed=seed, least=0.0)
    drawn: list[tuple[Floats, ...]] = []
    for rows in permuted(len(vectors), permutations, seed):
        tables = contingencies(clusters, chosen[rows])
        drawn.append((_found(tables), purities(tables), mutual_informations(tables)))
    found, accuracy, information = (np.concatenate(one) for one in zip(*drawn, strict=True))
    finer = Finer(float(mutual_informations(table)[0]), information)
    return Themes(
        estimated(float(values[0]), found, (np.nan, np.nan)),
        estimated(float(values[1]), accuracy, (ends[0], ends[1]), finer),
        clusters,
        recall,
        purity,
    )


def _found(tables: Ints) -> Floats:
    """Return the number of themes found, for tables [m, clusters, isotopies]."""
    recalled = 2 * tables >= tables.sum(axis=1, keepdims=True)
    pure = 2 * tables >= tables.sum(axis=2, keepdims=True)
    return np.asarray((recalled & pure & (tables > 0)).any(axis=1).sum(axis=1), "float64")
