"""Compilation of a loop to machine code, with an entry function that reads its arguments.

How the code is cached and called is in `machine_code`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import astuple
from importlib import import_module
from itertools import count
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, from_dtype, njit, types
from numba.core import compiler
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from .....storage.errors import BackendUnavailable
from ..arguments import Kind
from ..numba_target import target

inlined = njit(forceinline=True, error_model="numpy", _nrt=False)
"""Decorator for functions that a loop calls; they are always inlined."""

loop = njit(error_model="numpy", _nrt=False)
"""Decorator for loops."""

_WORD = ir.IntType(64)
_NUMBERS = {"int": types.int64, "uint": types.uint64, "float": types.float64}


def compile_loop(module: str, name: str, kind: Kind) -> bytes:
    """Compile a loop for a kind of arguments; return a symbol, a zero byte, and an object file.

    Raises
    ------
    BackendUnavailable
        Numba's compiler is disabled, or its target has changed since `numba_target` read it.
    """
    if config.DISABLE_JIT:
        raise BackendUnavailable(
            "the kernels are not compiled yet on this machine, and NUMBA_DISABLE_JIT disables the "
            "compiler; run once without it, or choose backend='reference'"
        )
    current = cpu_target.target_context.codegen().magic_tuple()
    if current != astuple(target()):
        raise BackendUnavailable(
            f"Numba now compiles for {current[1]} ({current[2]}), not for {target().cpu} "
            f"({target().features}); set NUMBA_... in the environment before the program starts"
        )
    function = getattr(import_module(f".{module}", __package__), name)
    read = _reader_of(_type_of(kind))

    def entry(words: int) -> int:
        function(*read(words))
        return 0

    flags = compiler.Flags()
    flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    flags.error_model = "numpy"
    made = compiler.compile_extra(
        cpu_target.typing_context,
        cpu_target.target_context,
        entry,
        (types.uint64,),
        types.int64,
        flags,
        {},
    )
    _require_independence(name, made.library.get_llvm_str())
    _, _, (image, _) = made.library.serialize_using_object_code()
    return made.fndesc.mangled_name.encode() + b"\0" + image  # type: ignore[no-any-return]


def _require_independence(name: str, code: str) -> None:
    """Raise if code calls Numba's runtime: without Numba, LLVM would abort the process."""
    declared = re.findall(r'^declare [^@]*@"?([^"(]+)', code, re.MULTILINE)
    if foreign := [one for one in declared if not one.startswith("llvm.")]:
        raise AssertionError(f"the loop {name} calls {', '.join(foreign)}")


def _type_of(kind: Kind) -> Any:
    if isinstance(kind, tuple):
        return types.BaseTuple.from_types([_type_of(one) for one in kind])
    if kind in _NUMBERS:
        return _NUMBERS[kind]
    dtype, _, dimensions = kind.partition(":")
    return types.Array(from_dtype(np.dtype(dtype)), int(dimensions), "C")


def _reader_of(kind: Any) -> Callable[[int], Any]:
    """Return a function for compiled code that reads arguments of a type from an address."""

    @intrinsic
    def read(typing: Any, words: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            positions = count()

            def word() -> Any:
                address = builder.add(arguments[0], _WORD(8 * next(positions)))
                return builder.load(builder.inttoptr(address, _WORD.as_pointer()))

            return _emit(context, builder, kind, word)

        return kind(types.uint64), emit

    return read  # type: ignore[no-any-return]


def _emit(context: Any, builder: Any, kind: Any, word: Callable[[], Any]) -> Any:
    """Emit code that reads one argument from words, as `arguments.append_words` writes them."""
    if isinstance(kind, types.BaseTuple):
        parts = [_emit(context, builder, one, word) for one in kind]
        return context.make_tuple(builder, kind, parts)
    if isinstance(kind, types.Float):
        return builder.bitcast(word(), ir.DoubleType())
    if not isinstance(kind, types.Array):
        return word()
    element = context.get_data_type(kind.dtype)
    data = builder.inttoptr(word(), element.as_pointer())
    shape = [word() for _ in range(kind.ndim)]
    itemsize = _WORD(context.get_abi_sizeof(element))
    strides = [itemsize]
    for length in shape[:0:-1]:
        strides.insert(0, builder.mul(strides[0], length))
    array = context.make_array(kind)(context, builder)
    populate_array(array, data=data, shape=shape, strides=strides, itemsize=itemsize, meminfo=None)
    return array._getvalue()
