"""Shared parts of the compiled SHA-256 loops: building LLVM code, and staging texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..sha256 import TAIL, WHOLE
from .numba_compiler import inlined

I1, I8, I32, I64 = ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.IntType(64)


def constant(values: Sequence[int], element: Any = I32) -> Any:
    """Return a vector of constants."""
    return ir.Constant(ir.VectorType(element, len(values)), list(values))


def pointer(builder: Any, address: Any, offset: int, kind: Any) -> Any:
    """Return `address` + `offset` bytes as a pointer to a value of a type."""
    where = builder.add(address, I64(offset)) if offset else address
    return builder.inttoptr(where, kind.as_pointer())


def load(builder: Any, address: Any, offset: int, kind: Any) -> Any:
    """Load a value from an address, which need not be aligned."""
    return builder.load(pointer(builder, address, offset, kind), align=1)


def store(builder: Any, value: Any, address: Any, offset: int) -> None:
    """Store a value at an address, which need not be aligned."""
    builder.store(value, pointer(builder, address, offset, value.type), align=1)


def call(builder: Any, name: str, *arguments: Any, returns: Any = None) -> Any:
    """Call an LLVM intrinsic; it returns the type of its first argument by default."""
    kind = ir.FunctionType(returns or arguments[0].type, [value.type for value in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def outlined(builder: Any, arguments: Sequence[Any], emit: Callable[..., None]) -> None:
    """Emit a separate function that LLVM does not inline, and call it.

    With several such bodies in one function, LLVM would group their loads and spill the values.
    """
    kind = ir.FunctionType(ir.VoidType(), [value.type for value in arguments])
    function = ir.Function(builder.module, kind, builder.module.get_unique_name("outlined"))
    function.linkage = "internal"
    function.attributes.add("noinline")
    inner = ir.IRBuilder(function.append_basic_block())
    emit(inner, *function.args)
    inner.ret_void()
    builder.call(function, arguments)


# --- staging --------------------------------------------------------------------------------------


@intrinsic
def _copy(typing: Any, target: Any, source: Any, count: Any) -> Any:
    """Copy `count` bytes from address to address."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, source, count = arguments
        pointers = [pointer(builder, address, 0, I8) for address in (target, source)]
        cgutils.raw_memcpy(builder, *pointers, count, 1)
        return context.get_dummy_value()

    return types.void(types.uint64, types.uint64, types.int64), emit


@intrinsic
def _pad(typing: Any, target: Any) -> Any:
    """Write the padding of a message: the byte 0x80, then zeros, 144 bytes in all."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        for offset in range(0, 144, 16):
            store(builder, constant([0 if offset else 0x80, 0, 0, 0]), arguments[0], offset)
        return context.get_dummy_value()

    return types.void(types.uint64), emit


@inlined
def stage(slot: int, text: int, length: int) -> None:
    """Copy a text to an address in a slot, after `HEAD` zeros, and write its padding after it."""
    if length <= WHOLE:
        _copy(slot, text, length)
        _pad(slot + np.uint64(length))
    else:
        _copy(slot, text, np.int64(WHOLE - TAIL))
        _copy(slot + np.uint64(WHOLE - TAIL), text + np.uint64(length - TAIL), np.int64(TAIL))
        _pad(slot + np.uint64(WHOLE))


@inlined
def blocks_of(prefix: int, length: int) -> int:
    """Return the number of blocks of a prefix and a text, with at least nine bytes of padding."""
    return (prefix + length + 72) >> 6
