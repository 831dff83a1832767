"""Coordinates of the maps: two principal components, and t-SNE."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .isotopies import components_of

Floats = npt.NDArray[np.float64]


class Maps(NamedTuple):
    """Two maps of the same vectors."""

    pca: Floats  # [n, 2]
    explained: Floats  # [2]: share of the variance
    tsne: Floats  # [n, 2]


def maps(vectors: Floats, seed: int) -> Maps:
    """Return the maps of vectors [n, d]; NaN for fewer than four vectors."""
    n = len(vectors)
    nothing = Maps(np.full((n, 2), np.nan), np.full(2, np.nan), np.full((n, 2), np.nan))
    scores = components_of(vectors, 2) if n > 3 else np.empty((n, 0))
    if scores.shape[1] < 2:
        return nothing
    from sklearn.manifold import TSNE

    variance = ((vectors - vectors.mean(axis=0)) ** 2).sum()
    made = TSNE(
        perplexity=min(15.0, (n - 1) / 3), init="pca", method="exact", random_state=seed
    ).fit_transform(vectors)
    return Maps(scores, (scores**2).sum(axis=0) / variance, np.asarray(made, "float64"))
