"""The blocks whose vectors are compared: the models', and two baselines.

The baselines stand beside every model: the dhātu weights of the default graph, which are hashes of
the text's bytes, and random vectors. Whatever they reach, a model has to surpass.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...graphs.block import MapBlock
from ...graphs.blocks.dhatu import dhatu
from ...graphs.embeddings.block_name import block_name
from ...graphs.embeddings.embedding import embedding
from ...storage.errors import UsageError
from ...storage.field import Field

RANDOM_COMPONENTS = 384
"""Components of a random vector: as many as those of a small model."""


class Vectors(NamedTuple):
    """A block, and the field of its vectors."""

    block: MapBlock
    field: str
    is_baseline: bool = False


def vectors_of(models: str | MapBlock | Iterable[str | MapBlock], seed: int) -> list[Vectors]:
    """Return the models' blocks and then the baselines.

    Parameters
    ----------
    models : iterable of str or MapBlock
        Names for `paninifs.embedding`, or blocks with a vector of floats per text.

    Raises
    ------
    UsageError
        A block has no such field, or two have the same name.
    """
    if isinstance(models, str | MapBlock):
        models = [models]
    found = [_of_model(one) for one in models]
    found += [Vectors(dhatu(), "dhatu", True), Vectors(random_vectors(seed), "random", True)]
    names = [name for one in found for name in dict.fromkeys((one.block.name, one.field))]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UsageError(f"two models are named {twice[0]!r}; give one of the blocks another name")
    return found


def _of_model(model: Any) -> Vectors:
    if isinstance(model, str):
        model = embedding(model, name=block_name(model))
    if not isinstance(model, MapBlock):
        raise UsageError(
            f"a model is the name of one, or a block with a vector per text, not {model!r}"
        )
    for field in model.fields:
        if np.dtype(field.array_dtype).kind == "f" and len(field.shape) == 1 and not field.ragged:
            return Vectors(model, field.name)
    raise UsageError(
        f"block {model.name!r} has no vector of floats per text, such as "
        "Field('embedding', 'float32', (384,))"
    )


def random_vectors(seed: int) -> MapBlock:
    """Return the block ``random``: normal numbers, float32 [n, 384], from a text's id and a seed.

    >>> random_vectors(0)(np.array(["fr/JE", "fr/TOI"], object)).shape
    (2, 384)
    """
    field = Field(
        "random",
        "float32",
        (RANDOM_COMPONENTS,),
        dims=("random_component",),
        description="random numbers, as a baseline",
    )
    return MapBlock(
        "random", ("id",), (field,), params={"seed": seed}, function=_random, version="1"
    )


def _random(id: Any, *, seed: int) -> npt.NDArray[np.float32]:
    drawn = np.empty((len(id), RANDOM_COMPONENTS), "float32")
    for row, ident in enumerate(id):
        state = hashlib.sha256(f"{seed}/{ident}".encode()).digest()
        random = np.random.default_rng(int.from_bytes(state))
        drawn[row] = random.standard_normal(RANDOM_COMPONENTS)
    return drawn
