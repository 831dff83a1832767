"""`peek`: what a run would say of one sentence, and which texts of a store come nearest to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
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
from ...storage.errors import UsageError
from ...storage.store.dataset import StoredArrays
from ...storage.store.manifest import Manifest, read_index, require_manifest
from ...storage.store.shards import StoreLayout
from ...storage.targets.target import Target, open_target
from ...storage.text import PackedText
from ..worker.blocks import Blocks
from ..worker.micro_batch import MicroBatch
from .inventories import Inventories
from .located import Located, located
from .peek_showing import as_html

_BACKEND = "cpu"


@dataclass(frozen=True)
class Neighbour(Located):
    """A text of a store whose dhātu weights are like the sentence's."""

    similarity: float  # cosine of the two vectors of weights: 1 where they are the same


@dataclass(frozen=True)
class Peek:
    """What the blocks make of a sentence, and where it would lie among a store's texts.

    Every value is the one that a run stores, bit for bit. The weights are taken from hashes of the
    text's bytes, so neighbours are not neighbours in meaning.
    """

    text: str  # as it was hashed: after the cleaning of the store, if one was named
    dhatu: Mapping[str, float]  # name to share of the weight; they sum to one
    prime_base: Mapping[int, float]  # prime to signature
    entropy: float
    variance: float
    ambiguity: float
    ambiguity_normalised: float
    digest: str  # SHA-256 of the text, in hexadecimal
    results: str | None = None  # the store that was named
    cleaning: Mapping[str, Any] | None = None  # the store's steps, which the sentence went through
    misfit: str | None = None  # why that store would have set the sentence aside
    compared: int = 0  # texts of the store that it was compared with
    nearest: tuple[Neighbour, ...] = ()  # the most similar first

    def _repr_html_(self) -> str:
        return as_html(self)


def peek(
    text: str,
    results: str | PathLike[str] | None = None,
    *,
    top: int = 5,
    storage_options: Mapping[str, Any] | None = None,
) -> Peek:
    """Compute one sentence, in this process, and find the texts of a store nearest to it.

    Parameters
    ----------
    text : str
        The sentence. An empty one is a text too.
    results : str or path, optional
        A store, finished or not. Its inventories are used, and its cleaning is applied to the
        sentence first, as a run would.
    top : int
        How many texts to find: by the cosine similarity of dhātu weights, compared with every
        valid row of the store, the earlier row first where two are equally near.
    storage_options : mapping, optional
        For fsspec, to read corpus and results.

    Raises
    ------
    UsageError
        The text is not Unicode, or the store's graph has no built-in block ``dhatu``.
    ResultsNotFound
        There is no store.

    Examples
    --------
    >>> found = peek("le mot")
    >>> max(found.dhatu, key=found.dhatu.get), found.digest[:8]
    ('FEEL', '69e5129e')
    """
    if top < 0:
        raise UsageError(f"top={top}: at least 0 texts are found")
    _require_unicode(text)
    if results is None:
        return Peek(text, **_computed(text, Inventories(DHATUS, PRIMES, PRIMES)))
    target = open_target(results, storage_options)
    manifest = require_manifest(target)
    inventories = _inventories(target, manifest)
    index = read_index(target, manifest)
    cleaned, misfit = _cleaned(text, index.cleaning)
    values = _computed(cleaned, inventories)
    arrays = StoredArrays(target)
    weights = np.array([*values["dhatu"].values()])
    compared, similar = _most_similar(arrays, manifest.layout(index), weights, top)
    found = located(index, arrays, list(similar), storage_options)
    return Peek(
        cleaned,
        **values,
        results=target.url,
        cleaning=replace(index.cleaning, duplicates=False).describe(),
        misfit=misfit,
        compared=compared,
        nearest=tuple(Neighbour(**vars(one), similarity=similar[one.row]) for one in found),
    )


def _require_unicode(text: str) -> None:
    if not isinstance(text, str):
        raise UsageError(f"the sentence is a string, not {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"the sentence is not Unicode: it has half a surrogate pair at character {error.start}"
        ) from error


def _graph(over: Inventories) -> Graph:
    """Return the default graph, each block over its own inventory."""
    count = len(over.dhatus)
    prime_base(count, over.ambiguity)  # checks them, as a default graph does
    blocks = (dhatu(over.dhatus), prime_base(count, over.bases), ambiguity(over.ambiguity))
    return Graph((digest(), *blocks))


def _computed(text: str, inventories: Inventories) -> dict[str, Any]:
    load(_BACKEND).prepare()
    blocks = Blocks(_graph(inventories), _BACKEND, MicroBatch(1, 1))
    (part,) = blocks.run(PackedText.from_strings([text]), lambda *_: "the sentence")
    row = {name: array[0] for name, array in part.arrays.items()}
    numbers = ("entropy", "variance", "ambiguity", "ambiguity_normalised")
    return {
        "dhatu": dict(zip(inventories.dhatus, row["dhatu"].tolist(), strict=True)),
        "prime_base": dict(zip(inventories.bases, row["prime_base"].tolist(), strict=True)),
        **{name: float(row[name]) for name in numbers},
        "digest": row["digest"].tobytes().hex(),
    }


def _inventories(target: Target, manifest: Manifest) -> Inventories:
    """Return a store's inventories, with primes for what it does not compute."""
    graph = manifest.facts["graph"]
    found = Inventories.of(graph)
    if not found.dhatus:
        raise UsageError(
            f"{target.url} has no weights of the built-in block 'dhatu' to compare with; its "
            f"blocks are: {', '.join(graph)}"
        )
    bases = found.bases or PRIMES
    return replace(found, bases=bases, ambiguity=found.ambiguity or bases)


def _cleaned(text: str, cleaning: Cleaning) -> tuple[str, str | None]:
    """Return the text as a run would hash it, and why it would set it aside, if it would."""
    if cleaning == NO_CLEANING:
        return text, None
    cleaned = cleaning.text(pa.array([text], pa.large_string()))
    misfits = [reason for _, reason in cleaning.misfits(cleaned)]
    return cleaned[0].as_py(), misfits[0] if misfits else None


def _most_similar(
    arrays: StoredArrays, layout: StoreLayout, weights: npt.NDArray[np.float64], top: int
) -> tuple[int, dict[int, float]]:
    """Compare with every valid row; return how many there are, and the best, row to similarity."""
    best, best_rows = np.empty(0), np.empty(0, np.int64)
    compared = 0
    for rows, similarity in _similarities(arrays, layout, weights):
        compared += len(rows)
        # The earlier row wins a tie: of later ones only what is more similar comes in.
        nearer = similarity > best[-1] if len(best) == top > 0 else np.full(len(rows), top > 0)
        both = np.concatenate([best, similarity[nearer]])
        order = np.argsort(-both, kind="stable")[:top]
        best, best_rows = both[order], np.concatenate([best_rows, rows[nearer]])[order]
    return compared, dict(zip(best_rows.tolist(), best.tolist(), strict=True))


def _similarities(
    arrays: StoredArrays, layout: StoreLayout, weights: npt.NDArray[np.float64]
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
    """Yield valid rows and their cosine similarities, in float64, some shards at a time."""
    squared = float(_summed(weights * weights))
    for start, stop in layout.runs(8 * len(weights)):
        valid = np.flatnonzero(np.asarray(arrays["valid"][start:stop]))
        if not len(valid):
            continue
        stored = np.asarray(arrays["dhatu"][start:stop])[valid].astype(np.float64).T
        # Term by term, and no matrix product: what that returns may depend on a row's place.
        product = _summed(stored * weights[:, None])
        norms = np.sqrt(_summed(stored * stored) * squared)  # so that the same vector gives 1.0
        cosine = np.divide(product, norms, out=np.zeros(len(valid)), where=norms > 0)
        yield start + valid, np.minimum(cosine, 1.0)


def _summed(terms: npt.NDArray[np.float64]) -> Any:
    total: Any = 0.0
    for term in terms:
        total = total + term
    return total
