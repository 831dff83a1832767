"""`embedding_from`, `semantic_dhatu_from`: blocks from their descriptions in a store's manifest.

A store must not choose the code that is called, nor make a process fetch anything. So a block is
made by this package from its settings, of a model in a folder that is there, and must then have
the description that the store has.
"""

from __future__ import annotations

import json
from ast import literal_eval
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...storage.errors import UsageError
from ..block import MapBlock
from ..fingerprint.labels import keep_known_labels, label_of
from .embedding import embed, embed_with_loss, embedding_block
from .engines.registry import engine_class
from .loading import Loader
from .model_sources import LocalSource
from .semantic_dhatu import _OfField, _OfTexts, semantic_dhatu
from .settings import Settings

Described = Mapping[str, Any]
Folders = Mapping[str, Path]
"""Folders of models by the digests of their files."""

_SAY_WHERE = "say where it is (--model, models=)"
_OTHER_VERSION = "another version of paninifs has made it, with settings that this one lacks"


def settings_from(described: Described) -> Settings | None:
    """Return the settings of the model with which a block computes; None for other blocks.

    Raises
    ------
    UsageError
        They are of another version of this package.
    """
    try:
        found = _settings(described)
        return None if found is None else Settings.from_json(found)
    except (TypeError, LookupError, ValueError, SyntaxError) as error:
        raise UsageError(_OTHER_VERSION) from error


def embedding_from(name: str, described: Described, folders: Folders) -> MapBlock | None:
    """Return the block of `embedding` that has a description; None if it is another block.

    Raises
    ------
    UsageError
        The model or its engine is not there, or the block would not be the same.
    """
    settings = settings_from(described)
    if settings is None or _shares_in(described) is not None:
        return None
    block = _embedding(name, settings, folders, when=described.get("when", ""))
    return _same(block, described)


def semantic_dhatu_from(name: str, described: Described, folders: Folders) -> MapBlock | None:
    """Return the block of `semantic_dhatu` that has a description; None if it is another block.

    Raises
    ------
    UsageError
        The model or its engine is not there, or the block would not be the same.
    """
    settings, shares = settings_from(described), _shares_in(described)
    if settings is None or shares is None:
        return None
    model = _embedding(literal_eval(_parts_of(shares)["name"]), settings, folders)
    anchors = {
        dhatu: {language: list(words) for language, words in by.items()}
        for dhatu, by in described["params"]["anchors"].items()
    }
    vectors = literal_eval(shares.get("field", "''"))
    return _same(semantic_dhatu(model, anchors, vectors=vectors, name=name), described)


def _embedding(name: str, settings: Settings, folders: Folders, *, when: str = "") -> MapBlock:
    path = folders.get(settings.digest)
    if path is None:
        raise UsageError(f"no finished run has recorded the folder of its model; {_SAY_WHERE}")
    if not path.is_dir():
        raise UsageError(f"its model was in {path}, which is gone; {_SAY_WHERE}")
    loader = Loader(LocalSource(str(path), settings.model), settings, path)
    engine_class(settings.engine, settings.dtype)  # is it there?
    return embedding_block(loader, loader.folder(), name=name, when=when)


def _same(block: MapBlock, described: Described) -> MapBlock:
    """Return a block if it has the description that a store has."""
    made = keep_known_labels({block.name: block.describe()}, {block.name: described})
    if json.loads(json.dumps(made[block.name])) != described:
        raise UsageError("this version of paninifs would compute it by other code or settings")
    return block


def _settings(described: Described) -> Mapping[str, Any] | None:
    code = described.get("code")
    if code in [_label(embed), _label(embed_with_loss)]:
        found: Mapping[str, Any] = described["params"]["settings"]
        return found
    shares = _shares_in(described)
    if shares is None:
        return None
    params = _parts_of(shares)["params"]
    values = next((value for key, value in params if literal_eval(key) == "settings"), None)
    if values is None:  # it computes with a block of the user's own
        return None
    return {literal_eval(key): literal_eval(value) for key, value in values}


def _shares_in(described: Described) -> Mapping[str, Any] | None:
    """Return the parts of the code of `semantic_dhatu`; None if a block has other code."""
    code = described.get("code")
    if isinstance(code, list) and code and code[0] in [_label(_OfTexts), _label(_OfField)]:
        parts: Mapping[str, Any] = code[1]
        return parts
    return None


def _parts_of(shares: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the parts of the block whose vectors are compared."""
    parts: Mapping[str, Any] = shares["block"][1]
    return parts


def _label(code: Any) -> str:
    return label_of(f"{code.__module__}.{code.__qualname__}")
