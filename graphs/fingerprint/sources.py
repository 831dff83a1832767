"""`source_of`: the normalised source of a user's function, wherever its code has been.

What the function refers to is described in `functions`.
"""

from __future__ import annotations

import ast
import hashlib
import linecache
import sys
import threading
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

_DYNAMIC = "<dynamic-code>"
"""File that cloudpickle 3.1.3 names in all code that it loads, in place of the true one."""

_CELLS = ("<ipython-input-", "ipykernel_")
"""Parts of the names under which the cells of a notebook are kept as files."""

_parsing = threading.Lock()  # Python 3.11 may raise SystemError if two threads parse at once


def source_of(function: FunctionType) -> str:
    """Return the normalised source, or the compiled code's digest if the source is uncertain."""
    code = function.__code__
    for file in _files(function):
        definition = _definition(code, _text(file, function))
        if definition is not None and (file == code.co_filename or _is_in(code, file, function)):
            if not isinstance(definition, ast.Lambda):
                definition.decorator_list = []
            return ast.unparse(definition)
    return f"bytecode {hashlib.sha256(_bytecode(code)).hexdigest()}"


def _files(function: FunctionType) -> Iterator[str]:
    """Yield the files that may hold a function's definition."""
    name = function.__code__.co_filename
    yield name
    if name != _DYNAMIC:
        return
    # A class of the session, loaded by the session's own process, has lost the file's name.
    module = sys.modules.get(function.__module__ or "")
    if file := getattr(module, "__file__", None):
        yield file
    yield from [one for one in linecache.cache if any(part in one for part in _CELLS)]


def _text(file: str, function: FunctionType) -> str:
    linecache.checkcache(file)
    return "".join(linecache.getlines(file, function.__globals__))


def _definition(
    code: CodeType, text: str
) -> ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | None:
    """Find a definition by name and line.

    `inspect.getsource` cuts a lambda at the end of its first line, and confuses several lambdas on
    one line.
    """
    try:
        tree = parsed(text)
    except SyntaxError:
        return None
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        and getattr(node, "name", "<lambda>") == code.co_name
        and min(n.lineno for n in [node, *getattr(node, "decorator_list", [])])
        == code.co_firstlineno
    ]
    return found[0] if len(found) == 1 else None


def _is_in(code: CodeType, file: str, function: FunctionType) -> bool:
    """Return whether a file compiles to this code: several cells may name a line alike."""
    try:
        todo = [compile(_text(file, function), file, "exec", dont_inherit=True)]
    except SyntaxError:
        return False
    wanted = _bytecode(code)
    while todo:
        one = todo.pop()
        same_place = (one.co_name, one.co_firstlineno) == (code.co_name, code.co_firstlineno)
        if same_place and _bytecode(one) == wanted:
            return True
        todo += [inner for inner in one.co_consts if isinstance(inner, CodeType)]
    return False


def parsed(source: str) -> ast.Module:
    """Parse a source; threads take turns."""
    with _parsing:
        return ast.parse(source)


def _bytecode(code: CodeType) -> bytes:
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    constants = [_constant(one) for one in code.co_consts]
    return repr([code.co_code, code.co_exceptiontable, names, constants]).encode()


def _constant(value: Any) -> Any:
    if isinstance(value, CodeType):
        return _bytecode(value)
    if isinstance(value, tuple):
        return tuple(_constant(one) for one in value)
    # The order of a set's members differs between processes.
    return sorted(map(repr, value)) if isinstance(value, frozenset) else repr(value)
