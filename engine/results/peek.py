"""`peek`: computes one sentence in this process, and finds the texts of a store nearest to it.

The result and how it is shown are in `peeked`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...graphs.blocks.ambiguity import ambiguity
from ...graphs.blocks.dhatu import dhatu
from ...graphs.blocks.digest import digest
from ...graphs.blocks.prime_base import prime_base
from ...graphs.graph import Graph
from ...graphs.inventories import DHATUS, PRIMES
from ...graphs.kernels import load
from ...storage.cleaning.steps import NO_CLEANING, Cleaning
from ...storage.corpus.relocation import CorpusLocation
from ...storage.errors import UsageError
from ...storage.messages.tracebacks import short_traceback
from ...storage.store.reader import ResultsStore
from ...storage.text import PackedText
from ..worker.block_execution import Blocks
from ..worker.micro_batches.micro_batch import MicroBatch
from ..worker.values.inputs import Inputs
from .located import located
from .peeked import Neighbour, Peek
from .store_inventories import Inventories

_BACKEND = "cpu"


@short_traceback
def peek(
    text: str,
    results: str | PathLike[str] | None = None,
    *,
    top: int = 5,
    corpus: CorpusLocation | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Peek:
    """Compute one sentence, in this process, and find the texts of a store nearest to it.

    Parameters
    ----------
    text : str
        The sentence; may be empty.
    results : str or path, optional
        A store, finished or not. Its inventories are used, and its cleaning is applied to the
        sentence first, as in a run into that store.
    top : int
        How many texts to find. Every valid row of the store is compared by the cosine similarity
        of the dhātu weights; the earlier row wins a tie.
    corpus : str, path, list of them, or Corpus, optional
        Where the corpus is now, if not where the last run found it; or the data, if they lay in
        memory, or were those of a dask frame.
    storage_options : mapping, optional
        Passed to fsspec, for results and corpus.

    Raises
    ------
    UsageError
        The text is not valid Unicode, or the store's graph has no built-in block ``dhatu``.
    ResultsNotFound
        The store does not exist.

    Examples
    --------
    >>> found = peek("le mot")
    >>> max(found.dhatu, key=found.dhatu.get), found.digest[:8]
    ('FEEL', '69e5129e')
    """
    if not isinstance(top, int) or top < 0:
        raise UsageError(f"top must be a whole number, at least 0, not {top!r}")
    _require_unicode(text)
    if results is None:
        return Peek(text=text, **_computed(text, Inventories(DHATUS, PRIMES, PRIMES)))
    store = ResultsStore.open(results, storage_options, corpus)
    inventories = _inventories(store)
    cleaned, misfit = _cleaned(text, store.index.cleaning)
    values = _computed(cleaned, inventories)
    weights = np.array([*values["dhatu"].values()])
    compared, similar = _most_similar(store, weights, top)
    found = located(store, list(similar))
    return Peek(
        text=cleaned,
        **values,
        results=store.url,
        cleaning=replace(store.index.cleaning, duplicates=False).describe(),
        misfit=misfit,
        compared=compared,
        nearest=tuple(Neighbour(**vars(one), similarity=similar[one.row]) for one in found),
    )


def _require_unicode(text: str) -> None:
    if not isinstance(text, str):
        raise UsageError(f"the sentence must be a string, not {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"the sentence is not valid Unicode: character {error.start} is a lone surrogate"
        ) from error


def _graph(inventories: Inventories) -> Graph:
    """Return the default graph, each block with its own inventory."""
    count = len(inventories.dhatus)
    prime_base(count, inventories.ambiguity)  # validates the primes, like `default_graph`
    blocks = (
        dhatu(inventories.dhatus),
        prime_base(count, inventories.bases),
        ambiguity(inventories.ambiguity),
    )
    return Graph((digest(), *blocks))


def _computed(text: str, inventories: Inventories) -> dict[str, Any]:
    load(_BACKEND).prepare()
    blocks = Blocks(_graph(inventories), _BACKEND, MicroBatch(1, 1))
    inputs = Inputs.of_text(PackedText.from_strings([text]))
    (part,) = blocks.run(inputs, lambda *_: "the sentence")
    row = {name: array[0] for name, array in part.arrays.items()}
    numbers = ("entropy", "variance", "ambiguity", "ambiguity_normalised")
    return {
        "dhatu": dict(zip(inventories.dhatus, row["dhatu"].tolist(), strict=True)),
        "prime_base": dict(zip(inventories.bases, row["prime_base"].tolist(), strict=True)),
        **{name: float(row[name]) for name in numbers},
        "digest": row["digest"].tobytes().hex(),
    }


def _inventories(store: ResultsStore) -> Inventories:
    """Return a store's inventories, with the default primes for blocks that it does not have."""
    graph = store.blocks
    found = Inventories.of(graph)
    if not found.dhatus:
        raise UsageError(
            f"{store.url} was made without the built-in block 'dhatu', so it has no weights to "
            f"compare with; its blocks are: {', '.join(graph)}"
        )
    bases = found.bases or PRIMES
    return replace(found, bases=bases, ambiguity=found.ambiguity or bases)


def _cleaned(text: str, cleaning: Cleaning) -> tuple[str, str | None]:
    """Return the text as a run would hash it, and why the run would quarantine it, if it would."""
    if cleaning == NO_CLEANING:
        return text, None
    cleaned = cleaning.text(pa.array([text], pa.large_string()))
    misfits = [reason for _, reason in cleaning.misfits(cleaned)]
    return cleaned[0].as_py(), misfits[0] if misfits else None


def _most_similar(
    store: ResultsStore, weights: npt.NDArray[np.float64], top: int
) -> tuple[int, dict[int, float]]:
    """Compare with every valid row; return their number, and the best rows with similarities."""
    best, best_rows = np.empty(0), np.empty(0, np.int64)
    compared = 0
    for rows, similarity in _similarities(store, weights):
        compared += len(rows)
        # The earlier row wins a tie: a later one enters only if it is more similar.
        nearer = similarity > best[-1] if len(best) == top > 0 else np.full(len(rows), top > 0)
        both = np.concatenate([best, similarity[nearer]])
        order = np.argsort(-both, kind="stable")[:top]
        best, best_rows = both[order], np.concatenate([best_rows, rows[nearer]])[order]
    return compared, dict(zip(best_rows.tolist(), best.tolist(), strict=True))


def _similarities(
    store: ResultsStore, weights: npt.NDArray[np.float64]
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
    """Yield valid rows and their cosine similarities in float64, several shards at a time."""
    squared = float(_summed(weights * weights))
    for start, stop in store.layout.read_ranges(8 * len(weights)):
        valid = np.flatnonzero(np.asarray(store.arrays["valid"][start:stop]))
        if not len(valid):
            continue
        stored = np.asarray(store.arrays["dhatu"][start:stop])[valid].astype(np.float64).T
        # Summed term by term: the result of a matrix product may depend on a row's position.
        product = _summed(stored * weights[:, None])
        norms = np.sqrt(_summed(stored * stored) * squared)  # equal vectors give exactly 1.0
        cosine = np.divide(product, norms, out=np.zeros(len(valid)), where=norms > 0)
        yield start + valid, np.minimum(cosine, 1.0)


def _summed(terms: npt.NDArray[np.float64]) -> Any:
    total: Any = 0.0
    for term in terms:
        total = total + term
    return total
