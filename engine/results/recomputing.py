"""`recomputed_blocks`: the blocks of a store that can be computed again, and why others cannot.

A store must not choose the code that is called. So only what this package computes itself is
computed again: the built-in blocks, and embeddings by the model whose files have the digest that
the manifest has. `sentence_blocks` takes blocks of the caller's own, too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...graphs.block import ID, LENGTH, TEXT, MapBlock
from ...graphs.embeddings.embedding import find_model
from ...graphs.embeddings.engines.registry import engine_class
from ...graphs.embeddings.from_manifest import (
    embedding_from,
    semantic_dhatu_from,
    settings_from,
)
from ...graphs.embeddings.settings import Settings
from ...graphs.kernels import BUILT_IN
from ...graphs.stages import needs
from ...storage.errors import UsageError
from ...storage.field import Field
from ...storage.store.reader import ResultsStore
from ..monitoring import environment

ModelLocation = str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True)
class Recomputed:
    """The blocks that can be computed again, in order, and the others."""

    blocks: tuple[MapBlock, ...]
    others: Mapping[str, str]  # why not, by name
    other_arrays: frozenset[str]  # of the others


def recomputed_blocks(
    store: ResultsStore,
    models: ModelLocation | Sequence[ModelLocation] = (),
    storage_options: Mapping[str, Any] | None = None,
) -> Recomputed:
    """Return what can be computed again of a store's blocks, from the corpus alone.

    Parameters
    ----------
    models : str, path or list of them, optional
        Where models are, if not where the runs found them.

    Raises
    ------
    UsageError
        A model is not one of the store.
    """
    fields = {field.name: field for field in store.computed}
    folders = _folders(store, models, storage_options)
    kept = [name for column in store.index.keep for name in (column.name, f"{column.name}_valid")]
    known = {TEXT, ID, LENGTH, *kept}
    blocks: list[MapBlock] = []
    others: dict[str, str] = {}
    for name, described in store.blocks.items():
        try:
            block = _block(store, name, described, folders)
            lacking = [one for one in needs(block) if one not in known]
            if lacking:
                raise UsageError(f"it takes {lacking[0]!r}, which is not computed again")
        except UsageError as error:
            others[name] = str(error)
        else:
            blocks.append(block)
            known.update(field.name for field in block.fields)
    arrays = (
        array.name
        for name in others
        for field in store.blocks[name].get("fields", ())
        if field in fields
        for array in fields[field].arrays
    )
    return Recomputed(blocks=tuple(blocks), others=others, other_arrays=frozenset(arrays))


def _block(
    store: ResultsStore, name: str, described: Mapping[str, Any], folders: Mapping[str, Path]
) -> MapBlock:
    """Return the block that a description stands for.

    Raises
    ------
    UsageError
        It cannot be computed again; the message says why.
    """
    if "reduction" in described:
        raise UsageError("reductions are not computed again")
    if "code" not in described and name in BUILT_IN:
        return _built_in(name, described, {field.name: field for field in store.computed})
    settings = settings_from(described)
    if settings is None:
        raise UsageError("a store does not hold the code of your own blocks")
    _check_environment(store, settings)
    for made_from in (embedding_from, semantic_dhatu_from):
        block = made_from(name, described, folders)
        if block is not None:
            return block
    raise AssertionError(name)  # it has settings, so it is one of the two


def _built_in(name: str, described: Mapping[str, Any], fields: Mapping[str, Field]) -> MapBlock:
    params = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in described["params"].items()
    }
    made = tuple(fields[field] for field in described["fields"])
    return MapBlock(name=name, inputs=tuple(described["inputs"]), fields=made, params=params)


def _check_environment(store: ResultsStore, settings: Settings) -> None:
    """Raise `UsageError` if vectors might have other bits here than in the runs of a store."""
    if not settings.exact:
        raise UsageError("with exact=False its last bits may differ from time to time")
    installed, device = environment.versions(), environment.device_of(settings.engine)
    for run in store.manifest.runs:
        recorded = run.models.get(settings.digest)
        if recorded is None:  # it did not compute with this model
            continue
        for package in engine_class(settings.engine, settings.dtype).DECIDING:
            then, now = run.versions.get(package), installed.get(package)
            if then != now:
                raise UsageError(
                    f"it was computed by {package} {then}, and {now} is installed here; other "
                    "versions may have other last bits"
                )
        if recorded["device"] not in ("", device):
            raise UsageError(
                f"it was computed on {recorded['device']}, and this machine would on {device}; "
                "the last bits may differ"
            )


def _folders(
    store: ResultsStore,
    models: ModelLocation | Sequence[ModelLocation],
    storage_options: Mapping[str, Any] | None,
) -> dict[str, Path]:
    """Return the folders of models by digest: where they are now, else where the runs had them."""
    recorded = {
        digest: Path(found["folder"])
        for run in store.manifest.runs
        for digest, found in run.models.items()
        if found["folder"]
    }
    expected = {one.digest for one in _all_settings(store)}
    given = [models] if isinstance(models, str | os.PathLike) else models
    now: dict[str, Path] = {}
    for model in given:
        _, folder, _ = find_model(model, storage_options=storage_options)
        digest = folder.digest()
        if digest not in expected:
            raise UsageError(f"the model in {folder.path} is not a model of {store.url}")
        now[digest] = folder.path
    return recorded | now


def _all_settings(store: ResultsStore) -> list[Settings]:
    found = []
    for described in store.blocks.values():
        try:
            settings = settings_from(described)
        except UsageError:
            continue
        if settings is not None:
            found.append(settings)
    return found
