"""`peek`: computes one sentence in this process, and finds the texts of a store nearest to it.

The result and how it is shown are in `peeked`; which blocks are computed, in `sentence_blocks`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...graphs.block import MapBlock
from ...graphs.graph import Graph
from ...graphs.inventories import DHATUS, PRIMES
from ...graphs.kernels import load
from ...graphs.reductions.closest import summed, vectors_of
from ...storage.cleaning.steps import NO_CLEANING, Cleaning
from ...storage.corpus.relocation import CorpusLocation
from ...storage.errors import UsageError
from ...storage.messages.tracebacks import short_traceback
from ...storage.store.layout import VALID
from ...storage.store.reader import ResultsStore
from ...storage.text import PackedText
from ..worker.block_execution import Blocks
from ..worker.micro_batches.micro_batch import MicroBatch
from ..worker.values.inputs import Inputs
from .located import located
from .peeked import Neighbour, Peek
from .sentence_blocks import WEIGHTS, SentenceBlocks, blocks_with, vector_field
from .store_inventories import Inventories

_BACKEND = "cpu"


@short_traceback
def peek(
    text: str,
    results: str | PathLike[str] | None = None,
    *,
    by: str = WEIGHTS,
    graph: Graph | MapBlock | None = None,
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
    by : str
        The field whose vectors are compared: the dhātu weights, or any other field of numbers with
        one dimension beside ``text``.
    graph : Graph or MapBlock, optional
        The blocks that compute `by`, if they are not built in: a store does not have their code.
        Only what `by` needs is computed, so no other model is loaded.
    top : int
        How many texts to find. Every valid row of the store is compared by the cosine similarity
        of the vectors, as `neighbours` does; the earlier row wins a tie. A vector that is zero or
        not finite has no neighbours and is none.
    corpus : str, path, list of them, or Corpus, optional
        Where the corpus is now, if not where the last run found it; or the data, if they lay in
        memory, or were those of a dask frame.
    storage_options : mapping, optional
        Passed to fsspec, for results and corpus.

    Raises
    ------
    UsageError
        The text is not valid Unicode; the store has no field `by`, or not one of vectors; or the
        block that computes it is neither built in nor in `graph`, or another one.
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
        if by != WEIGHTS or graph is not None:
            raise UsageError("by= and graph= need a store to search: give results")
        defaults = SentenceBlocks.default(Inventories(DHATUS, PRIMES, PRIMES))
        return Peek(text=text, **_values(defaults, _computed(text, defaults.graph)))
    store = ResultsStore.open(results, storage_options, corpus)
    vector_field(store, by)
    blocks = blocks_with(store, by, graph)
    cleaned, misfit = _cleaned(text, store.index.cleaning)
    row = _computed(cleaned, blocks.graph)
    compared, similar = _most_similar(store, by, row[by], top)
    found = located(store, list(similar))
    return Peek(
        text=cleaned,
        **_values(blocks, row),
        by=by,
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


def _computed(text: str, graph: Graph) -> dict[str, Any]:
    """Return the values of the fields of a graph for one text."""
    load(_BACKEND).prepare()
    inputs = Inputs.of_text(PackedText.from_strings([text]))
    with Blocks(graph, _BACKEND, MicroBatch(1, 1)) as blocks:
        (part,) = blocks.run(inputs, lambda *_: "the sentence")
    return {name: array[0] for name, array in part.arrays.items()}


def _values(blocks: SentenceBlocks, row: Mapping[str, Any]) -> dict[str, Any]:
    inventories = blocks.inventories
    numbers = ("entropy", "variance", "ambiguity", "ambiguity_normalised")
    return {
        "dhatu": dict(zip(inventories.dhatus, row[WEIGHTS].tolist(), strict=True)),
        "prime_base": dict(zip(inventories.bases, row["prime_base"].tolist(), strict=True)),
        **{name: float(row[name]) for name in numbers},
        "digest": row["digest"].tobytes().hex(),
        "hashed": blocks.hashed,
    }


def _cleaned(text: str, cleaning: Cleaning) -> tuple[str, str | None]:
    """Return the text as a run would hash it, and why the run would quarantine it, if it would."""
    if cleaning == NO_CLEANING:
        return text, None
    cleaned = cleaning.text(pa.array([text], pa.large_string()))
    misfits = [reason for _, reason in cleaning.misfits(cleaned)]
    return cleaned[0].as_py(), misfits[0] if misfits else None


def _most_similar(
    store: ResultsStore, field: str, vector: npt.NDArray[Any], top: int
) -> tuple[int, dict[int, float]]:
    """Compare with every valid row; return their number, and the best rows with similarities."""
    best, best_rows = np.empty(0), np.empty(0, np.int64)
    compared = 0
    for rows, similarity in _similarities(store, field, vector):
        compared += len(rows)
        # The earlier row wins a tie: a later one enters only if it is more similar.
        nearer = similarity > best[-1] if len(best) == top > 0 else np.full(len(rows), top > 0)
        both = np.concatenate([best, similarity[nearer]])
        order = np.argsort(-both, kind="stable")[:top]
        best, best_rows = both[order], np.concatenate([best_rows, rows[nearer]])[order]
    return compared, dict(zip(best_rows.tolist(), best.tolist(), strict=True))


def _similarities(
    store: ResultsStore, field: str, vector: npt.NDArray[Any]
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
    """Yield rows with vectors and their cosine similarities in float64, several shards at a time.

    They are summed as in `neighbours`, so that both find the same texts.
    """
    own = vectors_of(vector[np.newaxis], np.zeros(1, np.int64), "cosine")
    if not own.usable[0]:
        return
    masks = {VALID.name, store.mask_of(field)}
    for start, stop in store.layout.read_ranges(8 * len(vector)):
        valid = np.flatnonzero(
            np.all([np.asarray(store.arrays[mask][start:stop]) for mask in masks], axis=0)
        )
        if not len(valid):
            continue
        stored = np.asarray(store.arrays[field][start:stop])[valid]  # zero where it is missing
        others = vectors_of(stored, start + valid, "cosine").usable_ones()
        product = summed(others.columns * own.columns)
        cosine = product / np.sqrt(others.squares * own.squares)  # equal vectors give exactly 1.0
        yield others.rows, np.minimum(cosine, 1.0)
