"""`semantic_dhatu`: a text's shares of the dhātus by what it means, not by a hash of its bytes."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ...storage.errors import BlockError, GraphError
from ...storage.field import Field
from ...storage.text import PackedText
from ..block import TEXT, MapBlock
from ..blocks.dhatu import dhatu
from .anchors import Anchors, Given, read_anchors
from .embedding import embedding

Floats = npt.NDArray[np.float64]

_ANCHORS, _PROTOTYPES = "anchors", "prototypes"


def semantic_dhatu(
    model: MapBlock | str | os.PathLike[str],
    anchors: Given | None = None,
    *,
    vectors: str = "",
    languages: Sequence[str] | None = None,
    name: str = "dhatu",
) -> MapBlock:
    """Return the block that computes dhātu shares from a model's vectors: float32 [n, k].

    A dhātu is represented by its anchor words: the mean of their vectors of length one, first per
    language and then over the languages, brought to length one. With c_k the scalar product of a
    text's vector with the representative of dhātu k, the share of k is (c_k − min c)² divided by
    the sum of these squares. So the dhātu that is farthest from a text has the share 0, and the
    length of a vector does not matter. If all c are equal, as for a zero vector, or one is not
    finite, all shares are 0.

    The field has the name, shape, dtype and labels of that of `dhatu`, so `prime_base`,
    `ambiguity` and `report` work on it. It needs a model that knows the texts' language.

    Parameters
    ----------
    model : MapBlock, str or path
        A block that computes vectors, float [n, d], from texts: one of `embedding`, or your own,
        whose first field they are. Or a model, as `embedding` takes it.
    anchors : path or mapping, optional
        Words of each dhātu by language, as a TOML or JSON file or as what it holds. By default
        those of the nine dhātus in English, French and Sanskrit.
    vectors : str, optional
        Name of a field of an earlier block that has this model's vectors of the texts. By default
        they are computed, and not stored. A model that both blocks use is loaded once.
    languages : sequence of str, optional
        Use only the anchor words of these languages, such as ``["en"]`` for a model that knows
        only English. By default all.
    name : str
        Name of the block and of its field. With another one than ``dhatu``, the default graph's
        hashes can stay beside it.

    Raises
    ------
    GraphError
        The anchors are not valid, or the block does not compute vectors from texts.

    See Also
    --------
    dhatu : shares by hashes of a text's bytes.

    Examples
    --------
    >>> import paninifs as pf
    >>> @pf.map_block(fields=[pf.Field("vowels", "float32", (2,))])
    ... def vowels(text):
    ...     return np.array([[t.count("a"), t.count("o")] for t in text.to_strings()], "float32")
    >>> words = {"A": {"en": ["cat", "man"]}, "O": {"en": ["dog"]}}
    >>> block = semantic_dhatu(vowels, words)
    >>> block(["a cat", "no man", "go"]).tolist()
    [[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]
    >>> graph = pf.Graph((block, pf.prime_base(2), pf.ambiguity()))
    """
    block = _block_of(model)
    words = read_anchors(anchors, languages)
    taken = {*block.params, *block.setup, TEXT, vectors} & {_ANCHORS, _PROTOTYPES}
    if taken:
        raise GraphError(f"block {block.name!r}: rename its parameter {taken.pop()!r}")
    return MapBlock(
        name=name,
        inputs=(vectors or TEXT,),
        fields=(_field(name, tuple(words)),),
        params={_ANCHORS: words},
        function=_OfField(block, vectors) if vectors else _OfTexts(block),
        # With the version and functions of the model's own block, workers load it once for both.
        version=block.version,
        exact=block.exact,
        text_seconds=0.0 if vectors else block.text_seconds,
        setup={**block.setup, _PROTOTYPES: partial(Prototypes, block, words)},
        per_thread=block.per_thread,
        setup_bytes=block.setup_bytes,
    )


def _block_of(model: MapBlock | str | os.PathLike[str]) -> MapBlock:
    """Return the block that computes vectors from texts."""
    if not isinstance(model, MapBlock):
        return embedding(model)
    field = model.fields[0]
    if model.inputs != (TEXT,) or model.function is None or len(field.shape) != 1:
        raise GraphError(
            f"block {model.name!r} cannot compute the vectors of anchor words: give a block that "
            "takes only 'text', and whose first field has one vector per text"
        )
    if not field.is_number or field.nullable:
        raise GraphError(f"block {model.name!r}: its vectors must be numbers, not {field.dtype}")
    return replace(model, when="")


def _field(name: str, dhatus: tuple[str, ...]) -> Field:
    built_in = dhatu(dhatus).fields[0]
    (dim,) = built_in.dims or ()
    own = dim if name == built_in.name else f"{name}_name"
    return replace(
        built_in,
        name=name,
        dims=(own,),
        labels={own: dhatus},
        description="share of each dhātu by the text's similarity to anchor words",
    )


class Prototypes:
    """The dhātus' vectors, computed when the first texts are; for any number of threads.

    What a block's ``setup`` makes is kept by the arguments of the function that makes it, so these
    are what the vectors depend on.
    """

    def __init__(self, block: MapBlock, anchors: Anchors) -> None:
        self._block, self._anchors = block, anchors
        self._lock = threading.Lock()
        self._found: Floats | None = None

    def of(self, made: Mapping[str, Any]) -> Floats:
        """Return them, of length one, float64 [k, d], given what the block's ``setup`` has made."""
        with self._lock:
            if self._found is None:
                self._found = prototypes_of(self._block, self._anchors, made)
            return self._found


@dataclass(frozen=True)
class _OfTexts:
    """Computes shares of texts by the vectors that a block computes."""

    block: MapBlock

    def __call__(
        self,
        text: PackedText,
        *,
        anchors: Anchors,  # noqa: ARG002 (part of the block's identity)
        prototypes: Prototypes,
        **made: Any,
    ) -> npt.NDArray[np.float32]:
        dhatus = prototypes.of(made)
        found: npt.NDArray[np.float32] = shares(vectors_by(self.block, text, made), dhatus)
        return found


@dataclass(frozen=True)
class _OfField:
    """Computes shares of texts by the vectors in a field; anchor words by those of a block."""

    block: MapBlock
    field: str

    def __call__(
        self,
        *,
        anchors: Anchors,  # noqa: ARG002 (part of the block's identity)
        prototypes: Prototypes,
        **made: Any,
    ) -> Any:
        values = made.pop(self.field)
        (width,) = self.block.fields[0].shape
        if values.ndim != 2 or values.shape[1] != width:
            raise BlockError(
                f"the field {self.field!r} has the shape {values.shape}, and the vectors of block "
                f"{self.block.name!r} have {width} values"
            )
        return shares(values, prototypes.of(made))


def vectors_by(block: MapBlock, texts: Any, made: Mapping[str, Any]) -> npt.NDArray[Any]:
    """Return the vectors of texts by a block, [n, d], given what its ``setup`` has made."""
    found = block(texts, **made)
    if isinstance(found, Mapping):
        found = found[block.fields[0].name]
    return np.asarray(found[0] if isinstance(found, tuple) else found)


def prototypes_of(block: MapBlock, anchors: Anchors, made: Mapping[str, Any]) -> Floats:
    """Return the representatives of the dhātus, of length one: float64 [k, d].

    Raises
    ------
    BlockError
        The words of a dhātu have no direction in common.
    """
    words = [word for by in anchors.values() for some in by.values() for word in some]
    every = list(dict.fromkeys(words))
    vectors = _units(vectors_by(block, every, made).astype("float64"))
    vector_of = dict(zip(every, vectors, strict=True))
    found = np.stack(
        [
            _mean([_mean([vector_of[word] for word in some]) for some in by.values()])
            for by in anchors.values()
        ]
    )
    units = _units(found)
    for name, unit in zip(anchors, units, strict=True):
        if not (np.isfinite(unit).all() and unit.any()):
            raise BlockError(
                f"block {block.name!r} gives the anchor words of {name} vectors whose mean is zero "
                "or not finite; give other words, or those of a language that its model knows"
            )
    return units


def shares(vectors: Any, prototypes: Floats) -> Any:
    """Return the dhātus' shares by vectors [n, d]: float32 [n, k].

    Sums are in the order of the values, so that a text's shares depend on its vector alone. Works
    on arrays of CuPy as on those of NumPy.
    """
    values = vectors.astype("float64")
    values = np.where(np.isfinite(values).all(axis=1)[:, np.newaxis], values, 0.0)
    dhatus = np.asarray(prototypes, like=values)
    cosines = values[:, :1] * dhatus[:, 0]
    for axis in range(1, values.shape[1]):
        cosines = cosines + values[:, axis : axis + 1] * dhatus[:, axis]
    rest = cosines - cosines.min(axis=1)[:, np.newaxis]
    greatest = rest.max(axis=1)[:, np.newaxis]
    rest = rest / np.where(greatest > 0, greatest, 1.0)  # their squares stay within float64
    squares = rest * rest
    total = squares[:, :1]
    for axis in range(1, squares.shape[1]):
        total = total + squares[:, axis : axis + 1]
    return (squares / np.where(total > 0, total, 1.0)).astype("float32")


def _mean(vectors: Sequence[Floats]) -> Floats:
    total = np.zeros(vectors[0].shape)
    for vector in vectors:
        total = total + vector
    return total / len(vectors)


def _units(vectors: Floats) -> Floats:
    lengths = np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
    units: Floats = vectors / np.where(lengths > 0, lengths, 1.0)
    return units
