"""`NearDuplicates`: the clusters of near-duplicates of a store, their pairs, and what to keep."""

from __future__ import annotations

import math
from collections.abc import Iterator
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...graphs.blocks.minhash import SIGNATURE
from ...storage.errors import UsageError
from ...storage.messages.tracebacks import short_traceback
from ...storage.store.layout import VALID
from ...storage.store.reader import ResultsStore
from .by_signature import least_agreeing
from .exactness import ExactCheck, ExactJaccard, sampled
from .kept_corpus import write_kept
from .key_blocks import KeyBlocks, params_of
from .similar_pairs import SimilarPairs, similar_pairs
from .state import Clusters
from .temporary_folder import TemporaryFolder

if TYPE_CHECKING:
    import pandas as pd

Rows = npt.NDArray[np.int64]


def require_similarity(threshold: Any, least: float = math.ulp(0.0)) -> None:
    """Raise `UsageError` unless a threshold is a number that a similarity can reach."""
    number = isinstance(threshold, int | float | np.number) and not isinstance(threshold, bool)
    if not (number and least <= threshold <= 1):
        lowest = "at least 0" if least == 0 else "more than 0"
        raise UsageError(f"threshold must be {lowest} and at most 1, not {threshold!r}")


class NearDuplicates:
    """Clusters of near-duplicates in a store; see `near_duplicates`, which makes it.

    A cluster holds two texts or more, each of which is similar to another one of the cluster. Its
    representative, which is kept, is the text with the lowest row, and the cluster is named by that
    row.

    Attributes
    ----------
    results : str
        The store.
    threshold : float
    bands, rows_per_band : int
        How the signatures are cut; see `band_keys`.
    exact : bool
        Whether similarities are exact or estimated.
    texts : int
        Rows of the store.
    """

    def __init__(
        self,
        store: ResultsStore,
        blocks: KeyBlocks,
        clusters: Clusters,
        memory: int,
        scratch: str | None,
        folder: TemporaryFolder | None = None,
    ) -> None:
        self.results = store.url
        self.threshold = float(clusters.settings["threshold"])
        self.exact = bool(clusters.settings["exact"])
        self.bands, self.rows_per_band = blocks.bands, blocks.rows_per_band
        self.texts = clusters.texts
        self._store, self._blocks, self._clusters = store, blocks, clusters
        self._memory, self._scratch = memory, scratch
        self._folder = folder  # removed with this object

    @property
    def duplicates(self) -> int:
        """Number of texts that are near-duplicates of an earlier one."""
        return len(self._clusters.rows)

    @property
    def cluster_count(self) -> int:
        """Number of clusters of two or more texts."""
        return len(np.unique(self._clusters.clusters))

    def labels(self, start: int = 0, stop: int | None = None) -> Rows:
        """Return the cluster of each row from `start` on and before `stop`: int64 [rows].

        It is the row of the cluster's representative; for a text that is in no cluster, its own.
        """
        stop = self.texts if stop is None else min(stop, self.texts)
        if start < 0 or stop < 0:
            raise UsageError(f"rows are counted from 0, not from {min(start, stop)}")
        labels = np.arange(start, max(start, stop), dtype=np.int64)
        first, last = np.searchsorted(self._clusters.rows, [start, stop])
        rows = self._clusters.rows[first:last]
        labels[rows - start] = self._clusters.clusters[first:last]
        return labels

    def kept(self, start: int = 0, stop: int | None = None) -> npt.NDArray[np.bool_]:
        """Return which rows are kept: bool [rows], false for near-duplicates of an earlier row."""
        labels = self.labels(start, stop)
        mask: npt.NDArray[np.bool_] = labels == np.arange(start, start + len(labels))
        return mask

    def clusters(self) -> pd.DataFrame:
        """Return the texts of all clusters, with the columns cluster, row and is_representative.

        They are sorted by cluster, and then by row. Texts in no cluster are not listed.
        """
        import pandas as pd

        first = np.unique(self._clusters.clusters)
        cluster = np.concatenate([first, self._clusters.clusters])
        row = np.concatenate([first, self._clusters.rows])
        order = np.lexsort((row, cluster))
        table = {"cluster": cluster[order], "row": row[order]}
        return pd.DataFrame(table).assign(is_representative=table["cluster"] == table["row"])

    @short_traceback
    def pairs(self, threshold: float | None = None) -> Iterator[SimilarPairs]:
        """Yield pairs of similar texts in batches, as rows and similarities.

        Of texts with equal signatures, only the first is paired with others, and each of the rest
        with the first. So the connected components of the pairs are the clusters, and m equal
        texts make m − 1 pairs.

        Parameters
        ----------
        threshold : float, optional
            Least similarity. By default that of the clusters; 0 yields all candidates.

        Yields
        ------
        SimilarPairs
            Arrays `one`, `other` (the higher row) and `similarity`. No pair comes twice.
        """
        wanted = self.threshold if threshold is None else threshold
        require_similarity(wanted, least=0.0)
        least = 0 if self.exact else least_agreeing(wanted, self._blocks.permutations)
        found = similar_pairs(self._blocks, least, self._memory, self._scratch)
        return map(self._jaccard(wanted).reaching, found) if self.exact else found

    @short_traceback
    def check(self, sample: int = 1000, seed: int = 0) -> ExactCheck:
        """Compare the similarity of a random sample of pairs with the exact Jaccard similarity.

        The texts are read from the corpus.
        """
        if not isinstance(sample, int) or sample < 1:
            raise UsageError(f"sample must be a whole number of pairs, not {sample!r}")
        found = similar_pairs(
            self._blocks,
            least_agreeing(self.threshold, self._blocks.permutations),
            self._memory,
            self._scratch,
        )
        return self._jaccard(self.threshold).check(sampled(found, sample, seed))

    def _jaccard(self, threshold: float) -> ExactJaccard:
        return ExactJaccard(self._store, params_of(self._store, SIGNATURE), threshold)

    @short_traceback
    def write(self, out: str | PathLike[str], *, overwrite: bool = False) -> int:
        """Write the texts that are kept, with id and the corpus's own columns, as one file.

        Rows that were quarantined are left out. Texts are as cleaning left them.

        Parameters
        ----------
        out : str or path
            A local file: ``.parquet``, or another ending that `export` knows.
        overwrite : bool
            Replace an existing file.

        Returns
        -------
        int
            Number of texts.
        """
        return write_kept(self._store, self.kept, fspath(out), overwrite)

    @property
    def quarantined(self) -> int:
        """Number of rows without results, which are in no cluster."""
        valid = self._store.arrays[VALID.name]
        spans = self._blocks.spans()
        return self.texts - sum(int(np.count_nonzero(valid[a:b])) for a, b in spans)

    def __repr__(self) -> str:
        return (
            f"<NearDuplicates of {self.results}: {self.duplicates:,} of {self.texts:,} texts are "
            f"near-duplicates, in {self.cluster_count:,} clusters, threshold {self.threshold:g}>"
        )
