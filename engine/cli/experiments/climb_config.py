"""`read_config`: the file of ``paninifs climb``, checked: every key is known, and has a meaning.

``deploy/docs/climb.md`` has the keys. Paths in the file are relative to its folder.
"""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....storage.errors import UsageError
from ....storage.messages.names import did_you_mean, listed, quoted
from ...climbing.climb import climb
from ...climbing.objective import Objective, as_objective
from ...climbing.objective import objective as declare
from ...climbing.objectives.dictionary_ambiguity import dictionary_ambiguity
from ...climbing.objectives.signature_separation import signature_separation
from ...climbing.settings import ClimbSettings
from ...climbing.spaces.floats import Floats
from ...climbing.spaces.integers import Integers
from ...climbing.spaces.masks import Masks
from ...climbing.spaces.permutations import Permutations
from ...climbing.spaces.product import Product
from ...climbing.spaces.simplex import Simplex
from ...climbing.spaces.space import Space
from ..graph_files.address import address_of
from ..graph_files.loading import load, send_neighbours

SHIPPED: Mapping[str, Callable[..., Objective]] = {
    "dictionary_ambiguity": dictionary_ambiguity,
    "signature_separation": signature_separation,
}
"""The engine's own objectives."""

_PATHS = {"concepts", "results"}  # options of theirs that may be a path

_BUDGET = ("evaluations", "seconds", "dollars")
_CLUSTER = ("kind", "workers", "threads", "memory")
_OWN = ("file", "function", "vectorized")
_SPACES: Mapping[str, tuple[Callable[..., Space], tuple[str, ...]]] = {
    "masks": (Masks, ("dimensions",)),
    "simplex": (Simplex, ("dimensions",)),
    "permutations": (Permutations, ("dimensions",)),
    "integers": (Integers, ("dimensions", "low", "high")),
    "floats": (Floats, ("dimensions", "low", "high")),
}
_SECTIONS = ("objective", "space", "budget", "climb", "cluster")
_NOT_OPTIONS = {
    "objective",
    "space",
    "results",
    "name",
    *_BUDGET,
    "fresh",
    "client",
    "progress",
    "storage_options",
}
_OPTIONS = tuple(one for one in inspect.signature(climb).parameters if one not in _NOT_OPTIONS)


@dataclass(frozen=True, kw_only=True)
class ClimbConfig:
    """What a file asks for.

    Attributes
    ----------
    space : Space, optional
        None: that of the objective.
    results : str
        A path or a URL.
    name : str, optional
    budget : mapping
        ``evaluations``, ``seconds``, ``dollars``.
    options : mapping
        Other arguments of `climb`.
    cluster : mapping
        ``kind``, ``workers``, ``threads``, ``memory``.
    """

    objective: Objective
    space: Space | None
    results: str
    name: str | None
    budget: Mapping[str, Any]
    options: Mapping[str, Any]
    cluster: Mapping[str, Any]


def read_config(path: str) -> ClimbConfig:
    """Read a file.

    Raises
    ------
    UsageError
        It cannot be read, a key is unknown or missing, or a value is not as it should be.
    """
    file = Path(path)
    known = _parsed(file)
    _require_known(known, (*_SECTIONS, "results", "name"), path)
    tables = {name: _table(known, name, path) for name in _SECTIONS if name != "objective"}
    _require_known(tables["budget"], _BUDGET, f"[budget] of {path}")
    _require_known(tables["climb"], _OPTIONS, f"[climb] of {path}")
    _require_known(tables["cluster"], _CLUSTER, f"[cluster] of {path}")
    settings = inspect.signature(ClimbSettings).parameters
    ClimbSettings(**{key: one for key, one in tables["climb"].items() if key in settings})
    return ClimbConfig(
        objective=_objective(known, file),
        space=_space(tables["space"], f"[space] of {path}") if tables["space"] else None,
        results=_located(_text(known, "results", path) or f"{file.stem}.zarr", file),
        name=_text(known, "name", path),
        budget=tables["budget"],
        options=tables["climb"],
        cluster=tables["cluster"],
    )


def _parsed(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        beside = [one.name for one in file.parent.glob("*.toml")] if file.parent.is_dir() else []
        raise UsageError(f"{file} does not exist{did_you_mean(file.name, beside)}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{file} cannot be read as TOML: {error}") from error


def _require_known(given: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    names = list(known)
    for key in given:
        if key not in names:
            near = did_you_mean(key, names)
            raise UsageError(
                f"{where} has an unknown key {quoted(key)}{near or f'; known: {listed(names)}'}"
            )


def _table(known: Mapping[str, Any], name: str, path: str) -> dict[str, Any]:
    found = known.get(name, {})
    if not isinstance(found, dict):
        raise UsageError(f"{name} of {path} must be a table, [{name}], not {found!r}")
    return found


def _text(known: Mapping[str, Any], name: str, where: str) -> str | None:
    found = known.get(name)
    if found is not None and not (isinstance(found, str) and found):
        raise UsageError(f"{name} of {where} must be a text, not {found!r}")
    return found


def _located(given: str, file: Path) -> str:
    """Return a path relative to the file's folder; a URL as it is."""
    return given if "://" in given else str(file.parent / given)


# --- what is climbed ------------------------------------------------------------------------------


def _objective(known: Mapping[str, Any], file: Path) -> Objective:
    where = f"[objective] of {file}"
    given = known.get("objective", {})
    table = {"name": given} if isinstance(given, str) else _table(known, "objective", str(file))
    if ("name" in table) == ("file" in table):
        raise UsageError(
            f"{where} needs either name, one of {listed(SHIPPED)}, or file and function"
        )
    if "file" in table:
        return _own(table, where, file)
    name = _text(table, "name", where) or ""
    if name not in SHIPPED:
        near = did_you_mean(name, SHIPPED) or f"; there are: {listed(SHIPPED)}"
        raise UsageError(f"{where}: no objective {quoted(name)}{near}")
    options = {key: value for key, value in table.items() if key != "name"}
    _require_known(options, inspect.signature(SHIPPED[name]).parameters, where)
    for key in _PATHS & options.keys():
        if isinstance(options[key], str):
            options[key] = _located(options[key], file)
    return SHIPPED[name](**options)


def _own(table: Mapping[str, Any], where: str, file: Path) -> Objective:
    """Return the objective of a user's file."""
    _require_known(table, _OWN, where)
    path, name = _text(table, "file", where), _text(table, "function", where)
    if path is None or name is None:
        raise UsageError(f'{where} needs function, such as function = "score"')
    address = address_of(f"{_located(path, file)}:{name}")
    loaded = load(address)
    found = getattr(loaded.module, address.name, None)
    if not isinstance(found, Objective) and not callable(found):
        names = [one for one in vars(loaded.module) if one[:1] != "_"]
        raise UsageError(f"{path} has no function {quoted(name)}{did_you_mean(name, names)}")
    if "vectorized" in table:
        if isinstance(found, Objective):
            raise UsageError(f"{where}: {name} says itself whether it is vectorized; omit the key")
        found = declare(found, vectorized=bool(table["vectorized"]))
    own = as_objective(found)
    send_neighbours(own, loaded.neighbours)
    return own


def _space(table: Mapping[str, Any], where: str) -> Space:
    kind = _text(table, "kind", where)
    kinds = [*_SPACES, "product"]
    if kind not in kinds:
        near = did_you_mean(kind or "", kinds)
        raise UsageError(f"{where} needs kind, one of {listed(kinds)}{near}")
    if kind == "product":
        return _product(table, where)
    make, keys = _SPACES[kind]
    _require_known(table, ("kind", *keys), where)
    for key in keys:
        if key not in table:
            raise UsageError(f"{where} needs {key} for {kind}")
    return make(*(table[key] for key in keys))


def _product(table: Mapping[str, Any], where: str) -> Product:
    _require_known(table, ("kind", "components"), where)
    components = _table(table, "components", where)
    parts = {
        name: _space(_table(components, name, where), f"components.{name} in {where}")
        for name in components
    }
    return Product(**parts)
