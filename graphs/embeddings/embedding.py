"""`embedding`: a map-block that gives every text the vector of a sentence-embedding model."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from ...storage.errors import UsageError
from ...storage.field import Field
from ...storage.text import PackedText
from ..block import TEXT, MapBlock
from .catalogue import known_model
from .engines.registry import default_engine, engine_class, model_bytes
from .loading import Embedder, Loader
from .model_folder import ModelFolder
from .model_sources import Source, source_of
from .settings import Settings

TOKENS = "_tokens"
"""Ending of the field with the number of a text's tokens."""

LOSS = "_loss"
"""Ending of the field with what another type than float32 costs, for some texts."""

LOSS_ONE_IN = 64
"""A text in so many is also computed in float32, if the block computes in another type."""

_FLOPS = 30e9
"""Floating-point operations per second of a slow CPU core, for planning shards."""

_TYPICAL_TOKENS = 32


def embedding(
    model: str | os.PathLike[str],
    *,
    name: str = "embedding",
    revision: str = "",
    engine: str | None = None,
    dtype: str = "float32",
    exact: bool = True,
    prefix: str | None = None,
    max_tokens: int | None = None,
    long_texts: str = "cut",
    normalize: bool = False,
    when: str = "",
    storage_options: Mapping[str, Any] | None = None,
) -> MapBlock:
    """Return a block that computes the vectors of texts by a sentence-embedding model.

    Its fields are NAME, float32 [n, d], and NAME_tokens, int32 [n]: the number of tokens of the
    text, whether the model takes as many or not. If `dtype` is not float32, NAME_loss, float32 [n],
    is what that costs: one minus the cosine of the vector and that of float32, for one text in 64,
    and NaN for the others.

    The model's revision and a digest of its files are part of the block's identity. A store is not
    continued with a changed model, and a worker that finds another one refuses it. A folder may
    move and a URL may change.

    Parameters
    ----------
    model : str or path
        A name of the catalogue (see `models`); a name on the Hugging Face hub, such as
        ``"BAAI/bge-m3"``; a folder; or the URL of a folder or of an archive.
    name : str
        Name of the block and of its first field.
    revision : str, optional
        Branch, tag or commit of a model on a hub. The default is its main branch.
    engine : {"torch", "openvino", "onnx", "static"}, optional
        By default torch where there is an NVIDIA driver, else OpenVINO if it is installed, else
        torch. Static models have an engine of their own. Engines differ in the last bits, so
        the choice is part of the block's identity: name one if several machines share a store.
    dtype : {"float32", "bfloat16", "float16", "int8"}
        Type in which the engine computes.
    exact : bool
        If True, a text's vector is the same bits whatever texts are computed with it, in whatever
        order and number, on one kind of machine with the same versions of its packages. Each
        engine is tried when a model is loaded; if it fails, texts are computed one by one.
        The vectors of static models are the same bits on every machine.
    prefix : str, optional
        Put before every text. The default is what the catalogue says for the model, else nothing.
    max_tokens : int, optional
        Most tokens that the model is given at once. The default is its own limit.
    long_texts : {"cut", "average"}
        What to do with texts that have more tokens: use their beginning, or the mean of the vectors
        of their windows, weighted by the windows' tokens.
    normalize : bool
        Whether vectors are divided by their lengths, also if the model does not say so.
    when : str, optional
        See `map_block`.
    storage_options : mapping, optional
        Options of fsspec for a URL.

    Raises
    ------
    UsageError
        There is no such model, it is damaged, or a package is missing.

    Examples
    --------
    >>> import paninifs as pf
    >>> block = pf.embedding("sentence-transformers/all-MiniLM-L6-v2")  # doctest: +SKIP
    >>> graph = pf.default_graph() + block  # doctest: +SKIP
    """
    known = known_model(model)
    source, folder, commit = find_model(model, revision, storage_options)
    path = folder.path
    chosen = engine or default_engine(folder, dtype)
    if (folder.kind == "static") != (chosen == "static"):
        raise UsageError(
            f"the model in {path} is {'' if folder.kind == 'static' else 'not '}static, so "
            f"engine={chosen!r} cannot compute it"
        )
    engine_class(chosen, dtype)  # is it there?
    settings = Settings(
        model=source.name,
        revision=commit,
        digest=folder.digest(),
        engine=chosen,
        dtype=dtype,
        exact=exact,
        prefix=(known.prefix if known else "") if prefix is None else prefix,
        max_tokens=max_tokens,
        long_texts=long_texts,
        normalize=normalize,
    )
    return embedding_block(Loader(source, settings, path), folder, name=name, when=when)


def find_model(
    model: str | os.PathLike[str],
    revision: str = "",
    storage_options: Mapping[str, Any] | None = None,
) -> tuple[Source, ModelFolder, str]:
    """Return where a model is, its folder, and its revision, if it has one; see `embedding`."""
    known = known_model(model)
    source = source_of(model if known is None else known.name, revision, storage_options)
    path, commit = source.fetch()
    return source, ModelFolder.read(path), commit


def embedding_block(loader: Loader, folder: ModelFolder, *, name: str, when: str = "") -> MapBlock:
    """Return the block of a model that is found already; see `embedding`."""
    settings = loader.settings
    called = settings.model or "a model"
    fields = [
        Field(
            name,
            "float32",
            (folder.dimension,),
            description=f"vector of the text by {called}",
            compress=False,
        ),
        Field(name + TOKENS, "int32", description="number of tokens of the text"),
    ]
    setup: dict[str, Any] = {"model": loader}
    if settings.dtype != "float32":
        fields.append(
            Field(
                name + LOSS,
                "float32",
                description=f"1 - cosine of the vectors by {settings.dtype} and float32, "
                f"for one text in {LOSS_ONE_IN}",
            )
        )
        whole = Settings.from_json(settings.to_json() | {"dtype": "float32"})
        setup["float32_model"] = Later(Loader(loader.source, whole))
    return MapBlock(
        name=name,
        inputs=(TEXT,),
        fields=tuple(fields),
        params={"settings": settings.to_json()},
        function=embed if settings.dtype == "float32" else embed_with_loss,
        version=f"{settings.digest} {settings.engine} {settings.dtype} {settings.exact}",
        exact=settings.exact,
        setup_bytes=model_bytes(folder, settings.engine),
        text_seconds=2 * folder.body_parameters * _TYPICAL_TOKENS / _FLOPS,
        when=when,
        setup=setup,
    )


def embed(text: PackedText, model: Embedder, settings: Mapping[str, Any]) -> tuple[Any, ...]:
    """Compute the fields of an embedding block."""
    return model.embed(text.to_strings(), Settings.from_json(settings))


def embed_with_loss(
    text: PackedText, model: Embedder, float32_model: LoadedLater, settings: Mapping[str, Any]
) -> tuple[Any, ...]:
    """Compute the fields of an embedding block whose type is not float32.

    Which texts are compared with float32 depends on each text alone, so that a row's result does
    not depend on the others.
    """
    texts, chosen = text.to_strings(), Settings.from_json(settings)
    vectors, tokens = model.embed(texts, chosen)
    loss = np.full(len(texts), np.nan, np.float32)
    rows = np.flatnonzero([crc32(one) % LOSS_ONE_IN == 0 for one in text.to_bytes()])
    if len(rows):
        expected, _ = float32_model().embed([texts[row] for row in rows], chosen)
        loss[rows] = 1 - _cosines(vectors[rows], expected)
    return vectors, tokens, loss


def _cosines(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[Any]:
    one, other = one.astype(np.float64), other.astype(np.float64)
    lengths = np.sqrt((one * one).sum(1) * (other * other).sum(1))
    products = (one * other).sum(1)
    found: npt.NDArray[Any] = np.ones_like(lengths)
    np.divide(products, lengths, out=found, where=lengths > 0)
    return found


class Later:
    """Returns, in a worker process, a model that is loaded when it is needed first."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def __call__(self) -> LoadedLater:
        """Return it, without loading it."""
        return LoadedLater(self.loader)


class LoadedLater:
    """A model that is loaded when it is needed first."""

    def __init__(self, loader: Loader) -> None:
        self._loader, self._lock = loader, threading.Lock()
        self._model: Embedder | None = None

    def __call__(self) -> Embedder:
        """Return the model."""
        with self._lock:
            if self._model is None:
                self._model = self._loader()
            return self._model

    def close(self) -> None:
        """Give its memory back."""
        if self._model is not None:
            self._model.close()
