"""The identity of a user's function as JSON: its source and every value that it refers to.

Functions with the same identity return the same results, as far as static inspection can tell.
Comments, blank lines and the decorator do not count. How this package's own code is named is in
`labels`.
"""

from __future__ import annotations

import ast
import dis
import hashlib
import inspect
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from ...storage.errors import GraphError
from .labels import label_of
from .sources import parsed, source_of
from .values import parts_of

_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_PACKAGE = __name__.partition(".")[0]
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})


def describe_function(function: Callable[..., Any], block: str, versioned: bool) -> Any:
    """Return the identity of a block's function as JSON.

    Parameters
    ----------
    block : str
        Name of the block, for error messages.
    versioned : bool
        Whether the block has a ``version=``, with which its author takes responsibility for values
        that have no stable description.

    Raises
    ------
    GraphError
        A value has no stable description, and the block has no version.
    """
    walk = _Walk(block, versioned)
    if isinstance(function, FunctionType) and not _is_own(function):
        return walk.function(function)
    return walk.value(getattr(function, "__name__", type(function).__name__), function)


class _Walk:
    """Describes a function and what it refers to; each function and class is described once."""

    def __init__(self, block: str, versioned: bool) -> None:
        self._block, self._versioned = block, versioned
        self._seen: set[int] = set()

    def function(self, function: FunctionType) -> dict[str, Any]:
        self._seen.add(id(function))
        described: dict[str, Any] = {"source": source_of(function)}
        refers = outside_values(function)
        if refers:
            described["refers to"] = {name: self.value(name, refers[name]) for name in refers}
        return described

    def value(self, name: str, value: Any) -> Any:
        if isinstance(value, _PLAIN):
            return repr(value)
        if isinstance(value, ModuleType):
            return _module(value)
        if isinstance(value, np.ndarray | np.generic) and _has_plain_bytes(value):
            return f"array {value.dtype} {value.shape} {_sha(value.tobytes())}"
        if isinstance(value, Mapping):
            return [[self.value(name, k), self.value(name, v)] for k, v in value.items()]
        if isinstance(value, set | frozenset):
            return sorted(str(self.value(name, item)) for item in value)
        if isinstance(value, Sequence):
            return [type(value).__name__, *(self.value(name, item) for item in value)]
        if is_dataclass(value) and not isinstance(value, type):
            parts = {f.name: self.value(name, getattr(value, f.name)) for f in fields(value)}
            return [self.value(name, type(value)), parts]
        described = self._code(name, value)
        return self._object(name, value) if described is None else described

    def _object(self, name: str, value: Any) -> Any:
        """Describe an object by its parts, or by its type if the author answers for its value."""
        if self._versioned:
            return f"a {type(value).__qualname__}"
        found = parts_of(value)
        if found is not None:
            label, parts = found
            return [label, *(self.value(name, part) for part in parts)]
        raise GraphError(
            f"block {self._block!r} uses {name!r} of type {type(value).__qualname__}, whose value "
            "has no stable description, so changes to it would go unnoticed; give the block a "
            "version= and raise it with every change"
        )

    def _code(self, name: str, value: Any) -> Any:
        """Describe users' code by its source and libraries' code by its name; None for objects."""
        if isinstance(value, partial):
            return ["partial", *(self.value(name, part) for part in value.__reduce__()[2][:3])]
        if isinstance(value, MethodType):
            return [self.value(name, value.__self__), self.value(name, value.__func__)]
        owner = getattr(value, "__self__", None)
        if isinstance(value, BuiltinFunctionType) and not isinstance(owner, ModuleType | None):
            return [self.value(name, owner), value.__name__]
        path = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"
        label = label_of(path)
        if isinstance(value, type):
            return self._class(name, label, value)
        if not callable(value):
            return None
        own = _unwrapped(value)
        if _is_user_function(own):
            return label if id(own) in self._seen else {label: self.function(own)}
        if isinstance(value, np.ufunc):
            return f"numpy.{value.__name__}"
        return label if isinstance(getattr(value, "__name__", None), str) else None

    def _class(self, name: str, label: str, value: type) -> Any:
        if id(value) in self._seen or _is_library(_file(sys.modules.get(value.__module__))):
            return label
        self._seen.add(id(value))
        members: dict[str, Any] = {}
        for key, member in sorted(vars(value).items()):
            code = getattr(member, "__func__", getattr(member, "fget", member))
            own = _unwrapped(code)
            # Methods that a dataclass generates follow from its fields.
            counts = _is_user_function(own) and not (
                key[:2] == "__" and own.__code__.co_filename == "<string>"
            )
            if counts or (isinstance(member, (*_PLAIN, np.ndarray)) and key[:2] != "__"):
                members[key] = self.value(f"{name}.{key}", code)
        return {label: [*(self.value(name, base) for base in value.__bases__), members]}


def outside_values(function: FunctionType) -> dict[str, Any]:
    """Return, by name, the outside values that a function and its nested functions refer to.

    The name of a default ends with ``=``.
    """
    refers = {
        name: function.__globals__[name]
        for name in _global_names(function.__code__)
        if name in function.__globals__
    }
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            refers[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    defaults = function.__defaults__ or ()
    refers |= {f"{name}=": v for name, v in zip(names[::-1], defaults[::-1], strict=False)}
    refers |= {f"{name}=": v for name, v in (function.__kwdefaults__ or {}).items()}
    return dict(sorted(refers.items()))


def _global_names(code: CodeType) -> set[str]:
    # inspect.getclosurevars mistakes attributes for globals, and misses nested code.
    names = {
        step.argval
        for step in dis.get_instructions(code)
        if step.opname.startswith("LOAD_") and ("GLOBAL" in step.opname or "NAME" in step.opname)
    }
    return names.union(*(_global_names(c) for c in code.co_consts if isinstance(c, CodeType)))


def _has_plain_bytes(value: Any) -> bool:
    """Return whether an array's bytes determine its values."""
    return not value.dtype.hasobject and not isinstance(value, np.ma.MaskedArray)


def _module(module: ModuleType) -> str:
    """Describe a library's module by its name, and a user's module by its whole source."""
    file = _file(module)
    if _is_library(file) or not file.endswith(".py"):
        return f"module {label_of(module.__name__)}"
    digests = [f"{own.__name__} {_sha(_text_of(own))}" for own in _own_modules(module)]
    return f"module {module.__name__} {_sha(repr(sorted(digests)).encode())}"


def _text_of(module: ModuleType) -> bytes:
    return ast.unparse(parsed(Path(_file(module)).read_text(encoding="utf-8"))).encode()


def _own_modules(module: ModuleType) -> list[ModuleType]:
    """Return a user's module and all user modules that it imports from, directly or not."""
    found, todo = {}, [module]
    while todo:
        one = todo.pop()
        file = _file(one)
        if one.__name__ in found or _is_library(file) or not file.endswith(".py"):
            continue
        found[one.__name__] = one
        for value in list(vars(one).values()):
            home = value if isinstance(value, ModuleType) else getattr(value, "__module__", None)
            home = sys.modules.get(home) if isinstance(home, str) else home
            if isinstance(home, ModuleType):
                todo.append(home)
    return list(found.values())


def _file(module: Any) -> str:
    if module is not None and module.__name__.partition(".")[0] == _PACKAGE:
        return ""  # a library like any other, even in an editable installation
    return getattr(module, "__file__", None) or ("" if module and module.__spec__ else "<own>")


def _is_library(file: str) -> bool:
    installed = any(part in file for part in ("site-packages", "dist-packages"))
    return not file or installed or file.startswith(_LIBRARIES)


def _is_user_function(value: Any) -> bool:
    if not isinstance(value, FunctionType):
        return False
    package = (value.__module__ or "").partition(".")[0]
    return package != _PACKAGE and not _is_library(value.__code__.co_filename)


def _is_own(function: FunctionType) -> bool:
    """Return whether a function is defined by this package, which describes it by its label."""
    module = function.__module__ or ""
    there = getattr(sys.modules.get(module), function.__qualname__, None)
    return module.partition(".")[0] == _PACKAGE and there is function


def _unwrapped(value: Any) -> Any:
    """Look into a library's wrapper (a cache, a compiler) around a user's function."""
    return inspect.unwrap(value, stop=_is_user_function)


def user_function_in(value: Any) -> FunctionType | None:
    """Return the user's function in a partial, a method or a wrapper; None for anything else."""
    while isinstance(value, partial | MethodType):
        value = value.func if isinstance(value, partial) else value.__func__
    own = _unwrapped(value)
    return own if _is_user_function(own) else None


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
