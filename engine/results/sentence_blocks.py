"""`blocks_with`: the blocks that compute a field of a store for one sentence.

Built-in blocks are made from the store's manifest. A store must not choose the code that is called,
so others are the caller's, and are compared with what the store was made with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...graphs.block import LENGTH, TEXT, MapBlock
from ...graphs.blocks.ambiguity import ambiguity
from ...graphs.blocks.band_keys import KEYS
from ...graphs.blocks.dhatu import dhatu
from ...graphs.blocks.digest import digest
from ...graphs.blocks.minhash import SIGNATURE
from ...graphs.blocks.prime_base import prime_base
from ...graphs.fingerprint.labels import keep_known_labels
from ...graphs.graph import Graph
from ...graphs.inventories import DHATUS, PRIMES
from ...graphs.kernels import BUILT_IN
from ...graphs.stages import needs
from ...storage.errors import UsageError
from ...storage.field import Field
from ...storage.messages.names import did_you_mean, listed
from ...storage.store.reader import ResultsStore
from .store_inventories import Inventories

WEIGHTS = "dhatu"
"""The field of dhātu shares, by which texts are compared by default."""

_HASHES = frozenset({SIGNATURE, KEYS})
"""Fields of hashes, which are equal or not and have no direction: see `near_duplicates`."""


@dataclass(frozen=True)
class SentenceBlocks:
    """What is computed for a sentence: the default graph's fields, and one more."""

    graph: Graph
    inventories: Inventories
    hashed: bool  # whether the weights are those of the built-in block

    @classmethod
    def default(cls, inventories: Inventories, own: Sequence[MapBlock] = ()) -> SentenceBlocks:
        """Return the default graph, each block with its own inventory.

        Parameters
        ----------
        own : sequence of MapBlock
            Further blocks, in order. One may compute the weights instead of the built-in block.
        """
        count = len(inventories.dhatus)
        prime_base(count, inventories.ambiguity)  # validates the primes, like `default_graph`
        made = [one.name for one in own]
        first = made.index(WEIGHTS) + 1 if WEIGHTS in made else 0
        blocks = (
            digest(),
            *(own[:first] or [dhatu(inventories.dhatus)]),
            prime_base(count, inventories.bases),
            ambiguity(inventories.ambiguity),
            *own[first:],
        )
        return cls(Graph(blocks), inventories, not first)


def vector_field(store: ResultsStore, name: str) -> Field:
    """Return a field of a store that has one vector per text.

    Raises
    ------
    UsageError
        The store has no such field, or it is of another kind.
    """
    fields = {field.name: field for field in store.computed}
    vectors = [field.name for field in fields.values() if _is_vectors(field)]
    if name not in fields:
        if name == WEIGHTS:
            raise UsageError(_without_weights(store, vectors))
        known = f"it has: {listed(vectors)}{did_you_mean(name, vectors)}" if vectors else "none"
        raise UsageError(f"{store.url} has no field {name!r} of vectors; {known}")
    if name not in vectors:
        raise UsageError(
            f"{store.url}: the field {name!r} is {fields[name].type_name} with shape "
            f"{fields[name].shape}; texts are compared by fields with one vector of numbers per "
            f"text: {listed(vectors) or 'there are none'}"
        )
    return fields[name]


def _is_vectors(field: Field) -> bool:
    vectors = field.is_number and len(field.shape) == 1 and not field.ragged
    return vectors and field.name not in _HASHES


def _without_weights(store: ResultsStore, vectors: Sequence[str]) -> str:
    others = f". Compare by another field (--by, by=): {listed(vectors)}" if vectors else ""
    return (
        f"{store.url} was made without the built-in block 'dhatu', so it has no weights to "
        f"compare with; its blocks are: {', '.join(store.blocks)}{others}"
    )


def blocks_with(
    store: ResultsStore, field: str, graph: Graph | MapBlock | None = None
) -> SentenceBlocks:
    """Return the blocks that compute a field of a store, with the default graph's.

    Parameters
    ----------
    graph : Graph or MapBlock, optional
        The caller's blocks, among others.

    Raises
    ------
    UsageError
        A block that the field needs is not built in, no embedding whose model is here, and not the
        caller's; or it takes more than the text.
    """
    blocks = (graph,) if isinstance(graph, MapBlock) else tuple(graph or ())
    given = {block.name: block for block in Graph(blocks).maps}
    found = Inventories.of(store.blocks)
    own: dict[str, MapBlock] = {}
    own_weights = WEIGHTS in store.blocks and not found.dhatus
    if own_weights and (WEIGHTS in given or field == "prime_base"):
        _add(store, WEIGHTS, given, own)
    _add(store, field, given, own)
    if WEIGHTS in own:
        (labels,) = own[WEIGHTS].fields[0].labels.values()
        found = replace(found, dhatus=tuple(str(one) for one in labels))
    bases = found.bases or PRIMES
    inventories = Inventories(found.dhatus or DHATUS, bases, found.ambiguity or bases)
    return SentenceBlocks.default(inventories, tuple(own.values()))


def _add(
    store: ResultsStore, field: str, given: dict[str, MapBlock], own: dict[str, MapBlock]
) -> None:
    """Add the caller's blocks that compute a field, after those that they need."""
    name = next(name for name, one in store.blocks.items() if field in one.get("fields", ()))
    described = store.blocks[name]
    if name in own or ("code" not in described and name in BUILT_IN):
        return
    if name not in given:
        from .recomputing import recomputed_blocks  # it imports what only embeddings need

        again = recomputed_blocks(store)
        given.update((block.name, block) for block in again.blocks if block.name not in given)
        if name not in given:
            raise UsageError(
                f"the field {field!r} of {store.url} is computed by the block {name!r}, which is "
                f"not built in: {again.others[name]}. Give the block (graph=, --graph FILE:NAME)"
            )
    block = given[name]
    if keep_known_labels({name: block.describe()}, store.blocks)[name] != described:
        raise UsageError(
            f"the block {name!r} is not the one that computed {field!r} of {store.url}: its code, "
            "its parameters or its model differ"
        )
    made = {one for other in store.blocks.values() for one in other.get("fields", ())}
    for needed in needs(block):
        if needed in made:
            _add(store, needed, given, own)
        elif needed not in (TEXT, LENGTH):
            raise UsageError(
                f"the block {name!r} takes {needed!r}, and a sentence has only its text"
            )
    own[name] = block
