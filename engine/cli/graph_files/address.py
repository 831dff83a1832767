"""`Address`: what FILE:NAME or MODULE:NAME refers to, and the name that a file's module has.

The names of functions' modules are part of a graph's fingerprint. They do not depend on where a
file is: ``blocks.py`` is the module ``blocks``, as if a script beside it imported it.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path

from ....storage.errors import UsageError
from ....storage.messages.names import did_you_mean, quoted
from .installed import is_installed

FOLDER = "_graph_folder"
"""Package of a file that imports its neighbours by ``from . import``, in a folder without
``__init__.py``."""

EXAMPLE = "such as my_blocks.py:graph, or my_package.my_blocks:graph"


@dataclass(frozen=True)
class Address:
    """A module, and a name in it.

    Attributes
    ----------
    module : str
        Name that the module has when it is loaded.
    name : str
        What to take from it; may be empty.
    file : Path or None
        The file, if one was given.
    folder : Path
        Searched first for modules.
    """

    shown: str
    module: str
    name: str
    file: Path | None
    folder: Path


def address_of(given: str) -> Address:
    """Return what a command's argument refers to.

    Raises
    ------
    UsageError
        It is neither FILE:NAME nor MODULE:NAME, the file does not exist, or its name is that of
        another module.

    Examples
    --------
    >>> found = address_of("json.decoder:JSONDecoder")
    >>> found.module, found.name
    ('json.decoder', 'JSONDecoder')
    """
    where, colon, name = given.rpartition(":")
    if not colon or "/" in name or name.endswith(".py"):
        where, name = given, ""
    if where.endswith(".py") or "/" in where or Path(where).is_file():
        return _in_file(where, name)
    if not all(part.isidentifier() for part in where.split(".")):
        raise UsageError(f"{quoted(given)} is not FILE:NAME or MODULE:NAME, {EXAMPLE}")
    return Address(where, where, name, None, Path.cwd())


def _in_file(given: str, name: str) -> Address:
    path = Path(given).resolve()
    if not path.is_file():
        beside = [one.name for one in path.parent.glob("*.py")] if path.parent.is_dir() else []
        what = "is a folder" if path.is_dir() else "does not exist"
        raise UsageError(f"{given} {what}{did_you_mean(path.name, beside)}")
    if path.suffix != ".py":
        raise UsageError(f"{given} is not a Python file (.py); give one that defines a graph")
    folder = path.parent
    packages: list[str] = []
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        packages.insert(0, folder.name)
        folder = folder.parent
    if path.stem == "__init__":
        module = ".".join(packages) or "_init"
    else:
        stem = re.sub(r"\W|^(?=\d)", "_", path.stem)
        outer = packages or ([FOLDER] if _imports_relatively(path) else [])
        module = ".".join([*outer, path.stem if packages else stem])
    _require_own_name(module, path, given)
    return Address(given, module, name, path, folder)


def _imports_relatively(path: Path) -> bool:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return False  # reported when it is loaded
    return any(isinstance(one, ast.ImportFrom) and one.level for one in ast.walk(tree))


def _require_own_name(module: str, path: Path, given: str) -> None:
    """Raise `UsageError` if a module of another file has the name, or would be hidden by it."""
    top = module.partition(".")[0]
    loaded = sys.modules.get(top)
    spec = importlib.util.find_spec(top) if loaded is None else getattr(loaded, "__spec__", None)
    if loaded is None and (spec is None or not is_installed(spec)):
        return
    if _is_of(spec, path) or _is_of(getattr(sys.modules.get(module), "__spec__", None), path):
        return
    if top == FOLDER:
        raise UsageError(
            f"{given} and a file in another folder both use from . import ...: put an empty "
            "__init__.py into both folders, so that they are packages with names of their own"
        )
    home = getattr(loaded, "__file__", None) or getattr(spec, "origin", None) or "Python itself"
    raise UsageError(f"{given} is named like the module {top!r} ({home}): rename the file")


def _is_of(spec: ModuleSpec | None, path: Path) -> bool:
    """Return whether a module, or a package, is that of a file."""
    if spec is None:
        return False
    folders = [Path(one).resolve() for one in spec.submodule_search_locations or ()]
    home = Path(spec.origin).resolve() if spec.has_location and spec.origin else None
    return home == path or any(path.is_relative_to(folder) for folder in folders)
