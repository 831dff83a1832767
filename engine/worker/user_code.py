"""The user's own lines in an error: which of them raised, and their source.

A worker knows only the file name and the line number of code that was defined in a notebook or in a
script, so `sources_of` captures the source on the client and a run's tasks carry it. What happens
to a block that fails is decided in `failing_rows`.
"""

from __future__ import annotations

import inspect
import linecache
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from types import CodeType, FunctionType, MethodType
from typing import Any

from ...graphs.fingerprint.functions import _file, _is_library, _is_user_function
from ...graphs.graph import Graph

MOST_CHARACTERS = 300
"""Most characters of a value, or of an exception's message, that an error shows."""

MOST_FRAMES = 6
"""Most frames that an error shows; a recursion has a thousand."""

NAMELESS = "<dynamic-code>"
"""File name that cloudpickle 3.1.3 gives to code that it loads."""

_MOST_FUNCTIONS = 100
"""Items of a list up to which functions are looked for in it."""

_ROOM = Path(__file__).parents[2]
_ENGINE = tuple(f"{_ROOM / room}/" for room in ("storage", "graphs", "engine"))


@dataclass(frozen=True)
class SourceLines:
    """Captured lines of a file or of a notebook's cell."""

    shown: str  # the name of the file or cell, for people
    lines: Mapping[int, str]  # by number, from 1


Sources = Mapping[str, SourceLines]
"""Captured source by the file name that code objects have, or by `_nameless`."""


@dataclass(frozen=True)
class Frame:
    """A line of the user's code that was running when an exception was raised."""

    file: str
    line: int
    function: str
    source: str  # "" if it is not known

    def __str__(self) -> str:
        """Show the frame as Python does."""
        where = self.file if self.file.startswith("cell ") else f'File "{self.file}"'
        code = f"\n    {abridged(self.source)}" if self.source else ""
        return f"  {where}, line {self.line}, in {self.function}{code}"

    @property
    def brief(self) -> str:
        """The line in a few words, without the place of its file."""
        code = f": {abridged(self.source)}" if self.source else ""
        return f"line {self.line}, in {self.function}{code}"


def abridged(text: str, most: int = MOST_CHARACTERS) -> str:
    """Return a text on one line; of a long one, the beginning and the end, and its length.

    >>> abridged("x" * 1_600_000, 30)
    'xxxxxxxxxxxxxxxxxxxx ... xxxxxxxxxx (1,600,000 characters)'
    """
    # Not split as a whole: a value may have millions of words.
    short = " ".join((text if len(text) <= 2 * most else text[: 2 * most]).split())
    if len(text) <= 2 * most and len(short) <= most:
        return short
    ending = " ".join(text[-most:].split())[-(most // 3) :]
    return f"{short[: most - most // 3]} ... {ending} ({len(text):,} characters)"


def in_words(error: BaseException) -> str:
    """Return an exception's class and message, abridged."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 (a user's own class may raise anything)
        text = ""
    name = type(error).__name__
    return f"{name}: {abridged(text)}" if text.strip() else name


def sources_of(graph: Graph) -> Sources:
    """Capture the source of the graph's own functions, and of those that they refer to."""
    own: list[Any] = [block.function for block in graph]
    return sources_of_functions(
        [*own, *(make for block in graph.maps for make in block.setup.values())]
    )


def sources_of_functions(functions: Iterable[Any]) -> Sources:
    """Capture the source of users' functions, and of those that they refer to."""
    found: dict[str, dict[int, str]] = {}
    homes: dict[str, str] = {}
    for function in _functions(functions):
        code = function.__code__
        homes |= {_nameless(one): code.co_filename for one in _codes(code)}
        file = found.setdefault(code.co_filename, {})
        first, last = code.co_firstlineno, _last_line(code)
        lines = linecache.getlines(code.co_filename, function.__globals__)
        file |= {at: lines[at - 1].strip() for at in range(first, min(last, len(lines)) + 1)}
    sources = {name: SourceLines(_shown(name), lines) for name, lines in found.items()}
    return sources | {key: sources[name] for key, name in homes.items()}


def _functions(given: Iterable[Any]) -> Iterator[FunctionType]:
    """Yield the user's functions that some functions consist of."""
    seen: set[int] = set()
    todo: list[Any] = list(given)
    while todo:
        value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        todo.append(inspect.getattr_static(value, "__wrapped__", None))
        if isinstance(value, FunctionType):
            if _is_user_function(value):
                yield value
                todo += _values_of(value)
        elif isinstance(value, partial):
            todo += [value.func, *value.args, *value.keywords.values()]
        elif isinstance(value, MethodType):
            todo += [value.__func__, type(value.__self__)]
        elif isinstance(value, type):
            if not _is_library(_file(sys.modules.get(value.__module__))):
                members = vars(value).values()
                todo += [getattr(one, "__func__", getattr(one, "fget", one)) for one in members]
        elif isinstance(value, list | tuple) and len(value) <= _MOST_FUNCTIONS:
            todo += value
        else:
            todo.append(type(value))


def _values_of(function: FunctionType) -> Iterator[Any]:
    """Yield the values that a function refers to, and perhaps a few more."""
    names = {name for code in _codes(function.__code__) for name in code.co_names}
    yield from (function.__globals__[name] for name in names & function.__globals__.keys())
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # not assigned yet
            yield cell.cell_contents


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of a function, and of the functions inside it."""
    yield code
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield from _codes(one)


def _last_line(code: CodeType) -> int:
    lines = [line for one in _codes(code) for _, _, line in one.co_lines() if line is not None]
    return max([code.co_firstlineno, *lines])


def _nameless(code: CodeType) -> str:
    """Return the key of the source of code that has lost the name of its file."""
    return f"{NAMELESS} {code.co_name} {code.co_firstlineno}"


def _shown(file: str) -> str:
    """Return the name of a file for people: a cell of a notebook by its number."""
    if "IPython" in sys.modules:
        from IPython.core.getipython import get_ipython

        shell = get_ipython()
        named = shell and shell.compile.format_code_name(file)
        if named:
            return f"cell {named[1]}"
    return file


def frames_of(error: BaseException, sources: Sources) -> list[Frame]:
    """Return the user's frames of an exception, the one that raised last.

    Frames of the engine and of libraries are left out. If there are no others, the first frame
    outside the engine, which is the block, and the last one are returned.
    """
    found = [
        (frame.f_code.co_filename, line, frame.f_code)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if not frame.f_code.co_filename.startswith(_ENGINE)
    ]
    own = [one for one in found if not _is_library(one[0]) and not one[0].startswith("<frozen")]
    shown = own or [*found[:1], *found[1:][-1:]]
    # A comprehension has a frame of its own in Python 3.11, and the line of its function.
    shown = [next(same) for _, same in groupby(shown, key=lambda one: one[:2])]
    if len(shown) > MOST_FRAMES:
        shown = [*shown[:2], *shown[2 - MOST_FRAMES :]]
    return [_frame(*one, sources) for one in shown]


def _frame(file: str, line: int, code: CodeType, sources: Sources) -> Frame:
    captured = sources.get(_nameless(code) if file == NAMELESS else file)
    if captured is not None:
        return Frame(captured.shown, line, code.co_name, captured.lines.get(line, ""))
    return Frame(file, line, code.co_name, linecache.getline(file, line).strip())
