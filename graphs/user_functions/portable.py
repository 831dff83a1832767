"""`pickled`: a graph as bytes for workers, on which the user's ``__main__`` is another program.

cloudpickle sends functions and classes of a notebook or script by value, but not all: what
`functools.cache` returns, for example, it looks up by name in ``__main__``, where workers do not
find it. Here such objects are sent by value too, and what cannot be sent is refused by name. What a
function refers to is found by `fingerprint`.
"""

from __future__ import annotations

import functools
import io
import pickle
import sys
import typing
from collections.abc import Callable, Mapping
from operator import attrgetter
from types import CodeType, FunctionType
from typing import Any, cast

import cloudpickle

from ...storage.errors import GraphError
from ..fingerprint.functions import outside_values, user_function_in

_CACHED = type(functools.lru_cache(lambda: None))
_DISPATCHER = cast("FunctionType", functools.singledispatch(lambda _: None)).__code__

_FILE = 10  # position of the file's name among the arguments of `CodeType`

Function = Callable[..., Any]


def pickled(graph: Any, functions: Mapping[str, Function]) -> bytes:
    """Pickle a graph. Later changes of what its functions refer to no longer count.

    Parameters
    ----------
    functions : mapping of str to callable
        The users' functions in it, by the names of their blocks.

    Raises
    ------
    GraphError
        A function, or a value that it refers to, cannot be sent to a worker.
    """
    try:
        return _dumps(graph)
    except Exception as error:  # noqa: BLE001 (a user's own class may raise anything)
        problem = next(filter(None, (_refusal(*one) for one in functions.items())), None)
        raise problem or GraphError(f"the graph cannot be sent to workers: {error}") from None


def _refusal(block: str, function: Function) -> GraphError | None:
    """Return the error for a function that cannot be sent, naming the value that is the cause."""
    error = _problem(function)
    if error is None:
        return None
    name, value, error = _culprit(function, set()) or ("", function, error)
    what = f"uses {name!r} of type {type(value).__qualname__}, which" if name else "is code that"
    parameter = name if name.isidentifier() else "it"
    return GraphError(
        f"block {block!r} {what} cannot be sent to workers ({type(error).__name__}: {error}). Make "
        f"it in a function, and give that to the block: setup={{{parameter!r}: function}}. Each "
        f"worker then makes its own, once, and the block takes it as its parameter {parameter!r}"
    )


def _culprit(function: Function, seen: set[int]) -> tuple[str, Any, Exception] | None:
    own = user_function_in(function)
    if own is None or id(own) in seen:
        return None
    seen.add(id(own))
    for name, value in outside_values(own).items():
        error = _problem(value)
        if error is not None:
            return _culprit(value, seen) or (name.removesuffix("="), value, error)
    return None


def _problem(value: Any) -> Exception | None:
    try:
        _dumps(value)
    except Exception as error:  # noqa: BLE001 (as above)
        return error
    return None


def _dumps(value: Any) -> bytes:
    with io.BytesIO() as file:
        _Pickler(file).dump(value)
        return file.getvalue()


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """cloudpickle's pickler, for a worker on which ``__main__`` is another program."""

    def reducer_override(self, obj: Any) -> Any:
        """Return how to pickle an object, or NotImplemented for pickle's own way."""
        if isinstance(obj, io.TextIOWrapper):
            # cloudpickle would send its content, and each worker would read all of it.
            raise pickle.PicklingError("it is an open file")
        for matches, reduced in _BY_VALUE:
            if matches(obj) and not _is_importable(obj):
                return reduced(obj)
        if isinstance(obj, CodeType):
            # cloudpickle 3.1.3 leaves out the file, which an error's traceback needs.
            make, arguments = self.dispatch_table[CodeType](obj)
            return make, (*arguments[:_FILE], obj.co_filename, *arguments[_FILE + 1 :])
        if _is_sought_in_main(obj):
            raise pickle.PicklingError("workers would look for it in __main__")
        reduced = super().reducer_override(obj)
        if isinstance(obj, type) and isinstance(reduced, tuple) and len(reduced) == 6:
            # Without the identity by which cloudpickle recognises a class: loading the class in its
            # own process, as threads do, would replace its methods by copies that no longer see the
            # globals of the session.
            make, arguments, *state = reduced
            return make, (*arguments[:-2], None, arguments[-1]), *state
        return reduced


def _is_importable(value: Any) -> bool:
    """Return whether workers find a function under its name in a module."""
    module = getattr(value, "__module__", None)
    if module in (None, "__main__", "__mp_main__") or module not in sys.modules:
        return False
    by_value = cloudpickle.list_registry_pickle_by_value()
    if any(module == one or module.startswith(f"{one}.") for one in by_value):
        return False
    try:
        return attrgetter(value.__qualname__)(sys.modules[module]) is value
    except AttributeError:
        return False


def _is_sought_in_main(value: Any) -> bool:
    """Return whether pickle sends no more than a name in ``__main__``, which is not a file."""
    kind: Any = type(value)
    if (
        isinstance(value, type | FunctionType)  # cloudpickle sends those by value
        or (kind.__reduce__, kind.__reduce_ex__) == (object.__reduce__, object.__reduce_ex__)
        or hasattr(sys.modules["__main__"], "__file__")  # the workers of a script import it
        or getattr(value, "__module__", None) != "__main__"
    ):
        return False
    return isinstance(value.__reduce_ex__(pickle.HIGHEST_PROTOCOL), str)


# --- what is sent by value, although pickle knows it by name --------------------------------------


class _Target:
    """Stands for a function that is set later, because it may refer to what wraps it."""

    function: Function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


def _reduced_cache(cached: Any) -> Any:
    options = cached.cache_parameters()
    made = _new_cache, (options["maxsize"], options["typed"])
    return *made, cached.__wrapped__, None, None, _fill_cache


def _new_cache(maxsize: int | None, typed: bool) -> Any:
    return functools.lru_cache(maxsize, typed)(_Target())


def _fill_cache(cached: Any, function: Function) -> None:
    cached.__wrapped__.function = function
    functools.update_wrapper(cached, function)


def _is_dispatcher(value: Any) -> bool:
    return isinstance(value, FunctionType) and value.__code__ is _DISPATCHER


def _reduced_dispatcher(dispatcher: Any) -> Any:
    state = dispatcher.__wrapped__, dict(dispatcher.registry)
    return _new_dispatcher, (), state, None, None, _fill_dispatcher


def _new_dispatcher() -> Any:
    return functools.singledispatch(_Target())


def _fill_dispatcher(dispatcher: Any, state: tuple[Function, Mapping[type, Function]]) -> None:
    function, registry = state
    for kind, implementation in registry.items():
        dispatcher.register(kind, implementation)
    functools.update_wrapper(dispatcher, function)


def _reduced_property(cached: functools.cached_property[Any]) -> Any:
    return _new_property, (cached.func, cached.attrname)


def _new_property(function: Function, name: str | None) -> Any:
    made = functools.cached_property(function)
    made.attrname = name
    return made


def _reduced_new_type(made: typing.NewType) -> Any:
    return _new_new_type, (made.__name__, made.__supertype__)


def _new_new_type(name: str, supertype: Any) -> Any:
    return typing.NewType(name, supertype)


_BY_VALUE: tuple[tuple[Callable[[Any], bool], Callable[[Any], Any]], ...] = (
    (lambda value: isinstance(value, _CACHED), _reduced_cache),
    (_is_dispatcher, _reduced_dispatcher),
    # Until Python 3.12 it holds a lock.
    (lambda value: type(value) is functools.cached_property, _reduced_property),
    (lambda value: isinstance(value, typing.NewType), _reduced_new_type),
)
