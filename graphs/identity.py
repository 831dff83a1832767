"""What a user's function *is*, as JSON: its source and every value that it refers to.

Two functions with the same identity return the same results, as far as can be told from outside;
comments, blank lines and the decorator do not count.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from ..storage.errors import GraphError

_PLAIN = (type(None), bool, int, float, complex, str, bytes)


def of_function(function: Callable[..., Any], block: str, versioned: bool) -> dict[str, Any]:
    """Return the identity of a block's function.

    Parameters
    ----------
    versioned : bool
        Whether the author vouches, by ``version=``, for values that cannot be pinned down.

    Raises
    ------
    GraphError
        A value cannot be pinned down and nobody vouches for it.
    """
    return _Walk(block, versioned).function(function)


class _Walk:
    def __init__(self, block: str, versioned: bool) -> None:
        self._block, self._versioned = block, versioned
        self._seen: set[int] = set()

    def function(self, function: Callable[..., Any]) -> dict[str, Any]:
        function = inspect.unwrap(function)
        self._seen.add(id(function))
        described: dict[str, Any] = {"source": _source(function)}
        if not isinstance(function, FunctionType):
            return described
        names = inspect.getclosurevars(function)
        refers = {**names.globals, **names.nonlocals}
        for parameter in inspect.signature(function).parameters.values():
            if parameter.default is not parameter.empty:
                refers[f"{parameter.name}="] = parameter.default
        values = {name: self.value(name, value) for name, value in sorted(refers.items())}
        if values:
            described["refers to"] = values
        return described

    def value(self, name: str, value: Any) -> Any:
        if isinstance(value, _PLAIN):
            return repr(value)
        if isinstance(value, ModuleType):
            return f"module {value.__name__}"
        if isinstance(value, np.ndarray | np.generic) and value.dtype.kind != "O":
            array = np.ascontiguousarray(value)
            return f"array {array.dtype} {array.shape} {_sha(array.tobytes())}"
        if isinstance(value, Mapping | Set | Sequence):
            return self._collection(name, value)
        if is_dataclass(value) and not isinstance(value, type):
            parts = {f.name: self.value(name, getattr(value, f.name)) for f in fields(value)}
            return {type(value).__qualname__: parts}
        if callable(value):
            return self._callable(value)
        if self._versioned:
            return f"a {type(value).__qualname__}"
        raise GraphError(
            f"block {self._block!r} uses {name!r}, a {type(value).__qualname__}, whose value "
            "cannot be pinned down, so an edit of it would go unnoticed; give the block a "
            "version= of your own and raise it with every change"
        )

    def _collection(self, name: str, value: Mapping[Any, Any] | Set[Any] | Sequence[Any]) -> Any:
        if isinstance(value, Mapping):
            return [[self.value(name, k), self.value(name, v)] for k, v in value.items()]
        items = [self.value(name, one) for one in value]
        return [
            type(value).__name__,
            *(sorted(items, key=str) if isinstance(value, Set) else items),
        ]

    def _callable(self, value: Callable[..., Any]) -> Any:
        """Describe the user's own helpers by their code, a library's by their name."""
        module = getattr(value, "__module__", None) or ""
        name = f"{module}.{getattr(value, '__qualname__', type(value).__qualname__)}"
        ours = isinstance(value, FunctionType) and not _installed(value)
        if ours and id(value) not in self._seen:
            return {name: self.function(value)}
        return name


def _installed(function: FunctionType) -> bool:
    file = function.__code__.co_filename
    return any(part in file for part in ("site-packages", "dist-packages", "lib/python"))


def _source(function: Callable[..., Any]) -> str:
    """Return the normalised source; the compiled code's digest where there is no source."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
        definition = next(
            node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.Lambda)
        )
    except (OSError, TypeError, SyntaxError, StopIteration):
        code = getattr(function, "__code__", None)
        return f"bytecode {_sha(_code(code))}" if code else repr(type(function))
    if isinstance(definition, ast.FunctionDef):
        definition.decorator_list = []
    return ast.unparse(definition)


def _code(code: CodeType) -> bytes:
    inner = [
        _code(constant).hex() if isinstance(constant, CodeType) else repr(constant)
        for constant in code.co_consts
    ]
    return repr([code.co_code, code.co_names, code.co_varnames, inner]).encode()


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
