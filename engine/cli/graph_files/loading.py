"""`load`: runs a user's file, or imports a user's module, and makes its code ready to be sent.

The code is sent to workers by value, with what it takes from its neighbours, so that workers need
neither the file nor its folder, and never find another file of that name. That also holds for a
worker that starts after the file was edited: a run computes with what was loaded.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Protocol

import cloudpickle

from ....storage.errors import GraphError, UsageError
from ...cluster.main_guard import loading
from .address import FOLDER, Address
from .failing import failure_of
from .installed import is_installed


@dataclass(frozen=True)
class Loaded:
    """A user's module, and those of the user's own that it imported."""

    module: ModuleType
    neighbours: tuple[ModuleType, ...]


def load(address: Address) -> Loaded:
    """Return the module at an address; it is loaded once.

    Raises
    ------
    UsageError
        It cannot be loaded.
    """
    before = set(sys.modules)
    with _looked_for_in(address.folder), loading(address.shown):
        try:
            with contextlib.redirect_stdout(sys.stderr):  # stdout is for the command's own output
                module = _loaded(address)
        except (Exception, SystemExit) as error:  # noqa: BLE001 (a user's file may raise anything)
            raise _failure(address, error) from None
    others = [sys.modules[name] for name in set(sys.modules) - before - {address.module}]
    beside = [one for one in others if _is_beside(one, address.folder)]
    if _is_own(module):
        _send(module)
    return Loaded(module, tuple(sorted(beside, key=lambda one: one.__name__)))


def _loaded(address: Address) -> ModuleType:
    found = sys.modules.get(address.module)
    if found is not None and address.file is not None and _file(found) == address.file:
        return found
    package = address.module.partition(".")[0]
    if address.file is None or package not in (address.module, FOLDER):
        return importlib.import_module(address.module)
    if package == FOLDER and package not in sys.modules:
        folder = ModuleSpec(FOLDER, None, is_package=True)
        folder.submodule_search_locations = [str(address.folder)]
        sys.modules[FOLDER] = module_from_spec(folder)
    # Not by its loader: Python would miss an edit within a second that keeps the size.
    spec = spec_from_file_location(address.module, address.file)
    assert spec is not None  # its name ends with .py
    module = sys.modules[address.module] = module_from_spec(spec)
    try:
        code = compile(address.file.read_bytes(), str(address.file), "exec", dont_inherit=True)
        exec(code, vars(module))  # noqa: S102 (the user asked for it)
    except BaseException:
        del sys.modules[address.module]
        raise
    return module


def _failure(address: Address, error: BaseException) -> UsageError:
    if isinstance(error, ModuleNotFoundError) and error.name == address.module:
        return UsageError(
            f"no module {address.module!r} is here or installed; for a file, give "
            f"its path: {address.module.replace('.', '/')}.py:{address.name or 'graph'}"
        )
    return failure_of(f"{address.shown} cannot be loaded", error)


@contextlib.contextmanager
def _looked_for_in(folder: Path) -> Iterator[None]:
    """Look for modules in a folder first, and later, for imports within functions, last.

    The folder does not stay in front, where its files would hide modules that libraries import.
    """
    entry = str(folder)
    sys.path.insert(0, entry)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(entry)
        if entry not in sys.path:
            sys.path.append(entry)


class Sent(Protocol):
    """A graph, or an objective."""

    def pickled(self) -> bytes:
        """Return it as it is sent to workers.

        Raises
        ------
        GraphError
            It cannot be sent.
        """


def send_neighbours(sent: Sent, modules: Iterable[ModuleType]) -> None:
    """Send modules beside a loaded file by value too, unless they cannot be sent.

    Those that cannot, such as one that holds a lock, are imported by the workers of this machine.
    """
    added = [module for module in modules if _send(module)]
    if not added:
        return
    try:
        sent.pickled()
    except GraphError:
        for module in added:
            cloudpickle.unregister_pickle_by_value(module)


def _send(module: ModuleType) -> bool:
    """Have a module sent by value; return whether this is new."""
    if module.__name__ in cloudpickle.list_registry_pickle_by_value():
        return False
    cloudpickle.register_pickle_by_value(module)
    return True


def _is_own(module: ModuleType) -> bool:
    spec = getattr(module, "__spec__", None)
    return spec is not None and not is_installed(spec)


def _is_beside(module: ModuleType, folder: Path) -> bool:
    file = _file(module)
    return file is not None and file.is_relative_to(folder) and _is_own(module)


def _file(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if isinstance(file, str) else None
