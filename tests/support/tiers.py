"""The tier of a test: ``unit``, ``cluster`` or ``service``, from what its code reaches.

A test has the highest tier of anything that it reaches:

``unit``
    One process, no dask cluster, no server, no browser.
``cluster``
    A dask cluster, whether its workers are threads or processes.
``service``
    Processes that the test starts (a shell, Python, one to be killed), a server on loopback, a
    browser, a notebook's kernel.

What a test reaches is read from compiled code: the code of the test, of its fixtures, of the
fixtures that these request, and of every function and class below pytest's root folder that any of
this code names, including functions in parameters and tables. The package's code is not followed,
because the command line reaches all of it. Instead, `STARTERS` lists the functions that start
something. Names are matched without following values, so a test may get too high a tier. A test
with too low a tier fails: see `units`.

A fixture that is selected at run time is recognized if a parameter is its name, as in
``request.getfixturevalue(request.param)``.
"""

from __future__ import annotations

import dis
import functools
import inspect
import sys
from collections import Counter
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType

import pytest
from paths import SUPPORT

TIERS = {
    "unit": "no cluster, server, browser or subprocess",
    "cluster": "starts or uses a dask cluster",
    "service": "starts processes, a server on loopback, a browser or a notebook's kernel",
}

CLUSTER = """
dask_cuda.LocalCUDACluster
distributed.Client distributed.LocalCluster distributed.Nanny distributed.Scheduler
distributed.SpecCluster distributed.Worker
paninifs.connect
typer.testing.CliRunner:climb typer.testing.CliRunner:nsm typer.testing.CliRunner:run
"""
SERVICE = """
asyncio.create_subprocess_exec asyncio.create_subprocess_shell asyncio.start_server
concurrent.ProcessPoolExecutor
http.HTTPServer http.ThreadingHTTPServer
multiprocessing.Pool multiprocessing.Process multiprocessing.get_context
nbclient.NotebookClient
os.fork os.popen os.posix_spawn os.system
paninifs.collect
paninifs.engine.calibrate.calibrate paninifs.engine.calibrate._command
paninifs.engine.collecting.extraction.pool.ExtractionPool
paninifs.engine.hardware.tpu.find_tpu
playwright.sync_playwright
psutil.Popen
pytest.Pytester
socket.create_server
socketserver.TCPServer socketserver.ThreadingTCPServer
subprocess.Popen subprocess.call subprocess.check_call subprocess.check_output subprocess.run
tornado.HTTPServer
"""
STARTERS = dict.fromkeys(CLUSTER.split(), "cluster") | dict.fromkeys(SERVICE.split(), "service")
"""Tier by function or class, given as its top-level package or its module, and its name.

``typer.testing.CliRunner:run`` is the command ``paninifs run``, executed in this process, and
so on.
"""

COMMANDS = {name.partition(":")[0] for name in STARTERS if ":" in name}

HARMLESS = {"inline.InlineClient"}
"""Helpers that name a starter but start nothing."""

FIXTURES = {"pytester": "pytest.Pytester"}
"""Fixtures defined outside the tests, and the starter that they use."""

TABLE_DEPTH = 3
"""Levels of nested dicts, lists and tuples that are searched for functions."""


class Tiers:
    """Determine the tiers of a session's tests; `root` is the folder with the tests' code."""

    def __init__(self, root: Path):
        self._root, self._fixtures = root, {}
        self._is_ours = functools.cache(self._is_ours)
        self._uses = functools.cache(self._uses)
        self._reached = functools.cache(self._reached)

    def of(self, item):
        """Return the tier of a test or doctest."""
        tiers = {STARTERS[name] for name in self.starters(item)}
        return max(tiers, key=list(TIERS).index, default="unit")

    def starters(self, item):
        """Return the names of `STARTERS` that a test or doctest reaches."""
        if isinstance(item, pytest.DoctestItem):
            source = "".join(example.source for example in item.dtest.examples)
            code = compile(source, item.name, "exec")
            return self._reached(frozenset({FunctionType(code, item.dtest.globs)}))
        if not isinstance(item, pytest.Function):
            return frozenset()
        return self._reached(self._roots(item)) | {
            FIXTURES[name] for name in item.fixturenames if name in FIXTURES
        }

    def _roots(self, item):
        """Return the functions of a test, of its fixtures and among its parameters."""
        key = item.function, tuple(item.fixturenames)
        if key not in self._fixtures:
            self._fixtures[key] = self._functions_of(item, item.fixturenames)
        functions = {item.function, *self._fixtures[key]}
        values = list(item.callspec.params.values()) if hasattr(item, "callspec") else []
        if any(map(_chooses_fixtures, functions)):
            functions |= self._functions_of(item, [v for v in values if isinstance(v, str)])
        return frozenset(functions).union(self._functions(values))

    def _functions_of(self, item, names):
        """Return the functions of fixtures and of the fixtures that they request."""
        waiting, seen, functions = list(names), set(), set()
        while waiting:
            if (name := waiting.pop()) in seen:
                continue
            seen.add(name)
            for fixture in item.session._fixturemanager.getfixturedefs(name, item) or ():
                functions |= {*self._functions([fixture.func])}
                waiting += fixture.argnames
        return functions

    def _reached(self, roots):
        """Return the starters that functions and classes reach, directly or not."""
        starters, seen, waiting = set(), set(), list(roots)
        while waiting:
            one = waiting.pop()
            if one in seen or _titles(one) & HARMLESS:
                continue
            seen.add(one)
            if isinstance(one, type):
                starters |= set().union(*map(_titles, one.__mro__)) & STARTERS.keys()
                for base in one.__mro__:
                    if self._is_ours(base):
                        waiting += self._functions(vars(base).values())
            else:
                names, further = self._uses(one)
                starters |= names
                waiting += further
        return frozenset(starters)

    def _uses(self, function):
        """Return the starters that a function names, and the tests' functions that it names."""
        starters, further = self._named(function, _names(function.__code__))
        if starters:  # check exactly: a module and a function in it may share a name
            starters, further = self._named(function, _exact_names(function.__code__))
        return starters, further

    def _named(self, function, names):
        code, (globals_, attributes) = function.__code__, names
        filled = zip(code.co_freevars, function.__closure__ or (), strict=False)
        known = function.__globals__ | {name: _content(cell) for name, cell in filled}
        waiting = [known[name] for name in globals_ if name in known]
        waiting += [function.__defaults__, function.__kwdefaults__]
        starters, modules, others = set(), set(), []
        for module, name in _imports(code):
            starters |= {f"{_top(module)}.{name}", f"{module}.{name}"}
            waiting += _imported(module, name)
        while waiting:
            value = waiting.pop()
            if not isinstance(value, ModuleType):
                starters |= _titles(value)
                others.append(value)
            elif value not in modules:
                modules.add(value)
                for within in {value.__name__, _top(value.__name__)}:
                    starters |= {f"{within}.{name}" for name in attributes}
                waiting += [vars(value)[name] for name in attributes if name in vars(value)]
        starters |= {f"{name}:{word}" for name in starters & COMMANDS for word in _words(code)}
        return starters & STARTERS.keys(), [*self._functions(others)]

    def _functions(self, values, depth=TABLE_DEPTH):
        """Yield the tests' functions and classes among values and in tables."""
        for value in map(_unwrapped, values):
            if isinstance(value, dict | list | tuple | set | frozenset):
                inner = value.values() if isinstance(value, dict) else value
                yield from self._functions([*inner], depth - 1) if depth else ()  # a cache may grow
            elif isinstance(value, FunctionType | type):
                if self._is_ours(value):
                    yield value
            elif isinstance(value, property):
                yield from self._functions([value.fget, value.fset])
            elif self._is_ours(type(value)):
                yield type(value)

    def _is_ours(self, defined):
        """Whether a function or class is defined in the tests' folder."""
        file = getattr(sys.modules.get(defined.__module__), "__file__", None)
        return file is not None and self._root in Path(file).parents


def _chooses_fixtures(function):
    code = getattr(function, "__code__", None)
    return code is not None and "getfixturevalue" in _names(code)[1]


def _unwrapped(value):
    """Return the function inside a partial, a method, a context manager or the like."""
    while True:
        if isinstance(value, functools.partial):
            value = value.func
        elif isinstance(value, MethodType | staticmethod | classmethod):
            value = value.__func__
        elif isinstance(inner := inspect.getattr_static(value, "__wrapped__", None), FunctionType):
            value = inner
        else:
            return value


def _titles(value):
    """Return the names of a function or class in its module and in its top package."""
    if not isinstance(value, FunctionType | type):
        return set()
    module = value.__module__ or ""
    return {f"{module}.{value.__qualname__}", f"{_top(module)}.{value.__qualname__}"}


def _top(module):
    return module.partition(".")[0]


def _content(cell):
    try:
        return cell.cell_contents
    except ValueError:  # the name is bound later
        return None


@functools.cache
def _names(code):
    """Return the globals and closures that code may name, and the attributes."""
    names = frozenset(code.co_names).union(*(_names(inner)[1] for inner in _inner(code)))
    return names.union(*(one.co_freevars for one in [code, *_inner(code)])), names


@functools.cache
def _exact_names(code):
    """Return the globals and closures that code names, and the attributes: slower than `_names`."""
    globals_, attributes = set(code.co_freevars), set()
    for step in dis.get_instructions(code):
        if step.opname.startswith(("LOAD_GLOBAL", "LOAD_NAME")):
            globals_.add(step.argval)
        elif step.opname.startswith(("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR")):
            attributes.add(step.argval)
    for inner in _inner(code):
        globals_ |= _exact_names(inner)[0]
        attributes |= _exact_names(inner)[1]
    return frozenset(globals_), frozenset(attributes)


@functools.cache
def _words(code):
    """Return the strings that code holds."""
    words = set()
    for constant in code.co_consts:
        words |= {
            one
            for one in (constant if isinstance(constant, tuple) else [constant])
            if isinstance(one, str)
        }
    return words.union(*map(_words, _inner(code)))


def _inner(code):
    return [constant for constant in code.co_consts if isinstance(constant, CodeType)]


def _imports(code):
    """Yield the imports within a function: module and name, or the module and ``""``."""
    module = ""
    has_any = dis.opmap["IMPORT_NAME"] in code.co_code[::2]
    for step in dis.get_instructions(code) if has_any else ():
        if step.opname == "IMPORT_NAME":
            module = step.argval
            yield module, ""
        elif step.opname == "IMPORT_FROM":
            yield module, step.argval
    for inner in _inner(code):
        yield from _imports(inner)


def _imported(module, name):
    """Return what a local import provides, if it is loaded or a helper of the tests."""
    if module not in sys.modules and (SUPPORT / f"{module}.py").exists():
        __import__(module)
    found = sys.modules.get(module)
    if found is None or not name:
        return [found]
    return [vars(found).get(name)]


TIER = pytest.StashKey[str]()
"""The tier of an item, in its stash."""

REASONED = ("slow", "soak")
"""Markers that require a reason."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Mark every test with its tier, before `-m` selects tests by their marks."""
    tiers = Tiers(config.rootpath)
    for item in items:
        item.stash[TIER] = tiers.of(item)
        item.add_marker(item.stash[TIER])
        for marker in filter(None, map(item.get_closest_marker, REASONED)):
            if not (marker.args and isinstance(marker.args[0], str)):
                raise pytest.UsageError(
                    f"{item.nodeid}: @pytest.mark.{marker.name} needs a reason, "
                    f'as in @pytest.mark.{marker.name}("compiles every kernel")'
                )


def pytest_report_collectionfinish(items):
    """Report the number of tests per tier."""
    counts = Counter(item.stash.get(TIER, "unit") for item in items)
    return ", ".join(f"{tier}: {counts[tier]}" for tier in TIERS)


def pytest_configure(config):
    for tier, meaning in TIERS.items():
        config.addinivalue_line("markers", f"{tier}: {meaning} (set by tests/support/tiers.py)")
