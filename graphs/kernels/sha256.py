"""What the compiled SHA-256 paths share: staged texts, and the building of LLVM code.

A text is *staged* between zeros and its padding, where every block of
a short one, and the first and the last of a long one, can be read as it stands; all other blocks
are read where the text lies. So nothing outside the text is ever read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from ...storage.text import PackedText
from .chains import BLOCK, Chain

PREFIX_LIMIT = BLOCK - 1
"""Bytes of the longest prefix: the first block of a message holds all of it."""

Weights = npt.NDArray[np.int32]
Digests = npt.NDArray[np.uint8]


class HashTexts(Protocol):
    """What every path offers: one for each kind of processor."""

    def __call__(
        self, text: PackedText, chains: Sequence[Chain], weights: Weights, digests: Digests
    ) -> None:
        """Fill weights int32 [n, columns] and, where a chain wants it, digests uint8 [n, 32]."""


def overlays_of(chains: Sequence[Chain]) -> npt.NDArray[np.uint32]:
    """Return every prefix as the first sixteen words of a message, zeros behind: uint32 [k, 16]."""
    padded = b"".join(chain.prefix.ljust(BLOCK, b"\0") for chain in chains)
    return np.frombuffer(padded, ">u4").reshape(len(chains), 16).astype(np.uint32)


def addressed(text: PackedText) -> tuple[np.uint64, npt.NDArray[np.int64]]:
    """Return the address of a text's bytes and its offsets, in the one form that is compiled.

    Arrays of bytes that may be written to and that may not would be two types to Numba.
    """
    return np.uint64(text.data.ctypes.data), text.offsets.astype(np.int64)


def stamp() -> int:
    """Return a number that changes with the sources of the compiled paths.

    Numba's cache looks at the one file that a compiled function stands in. A function that closes
    over this number is cached under it, and so never outlives what it was compiled from.
    """
    here = Path(__file__).parent
    sources = [here / "chains.py", *sorted(here.glob("sha*.py"))]
    joined = b"".join(source.read_bytes() for source in sources)
    return int.from_bytes(hashlib.sha256(joined).digest()[:6], "big")


# --- building LLVM code ---------------------------------------------------------------------------

I1, I8, I32, I64 = ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.IntType(64)


def constant(values: Sequence[int], element: Any = I32) -> Any:
    """Return a vector of constants."""
    return ir.Constant(ir.VectorType(element, len(values)), list(values))


def pointer(builder: Any, address: Any, offset: int, kind: Any) -> Any:
    """Return `address` + `offset` bytes as a pointer to a value of a type."""
    where = builder.add(address, I64(offset)) if offset else address
    return builder.inttoptr(where, kind.as_pointer())


def load(builder: Any, address: Any, offset: int, kind: Any) -> Any:
    """Load a value from anywhere, aligned or not."""
    return builder.load(pointer(builder, address, offset, kind), align=1)


def store(builder: Any, value: Any, address: Any, offset: int) -> None:
    """Store a value anywhere."""
    builder.store(value, pointer(builder, address, offset, value.type), align=1)


def call(builder: Any, name: str, *arguments: Any, returns: Any = None) -> Any:
    """Call one of LLVM's own functions; it returns what its first argument is, if not said."""
    kind = ir.FunctionType(returns or arguments[0].type, [one.type for one in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def outlined(builder: Any, arguments: Sequence[Any], emit: Callable[..., None]) -> None:
    """Emit a function of its own that LLVM does not inline, and call it.

    Side by side in one function, LLVM draws the loads of several such bodies together and spills
    what it loaded.
    """
    kind = ir.FunctionType(ir.VoidType(), [one.type for one in arguments])
    function = ir.Function(builder.module, kind, builder.module.get_unique_name("outlined"))
    function.linkage = "internal"
    function.attributes.add("noinline")
    inner = ir.IRBuilder(function.append_basic_block())
    emit(inner, *function.args)
    inner.ret_void()
    builder.call(function, arguments)


# --- staging --------------------------------------------------------------------------------------

HEAD = 64
WHOLE = 192
TAIL = 128
"""A slot holds HEAD zeros, then a text of up to WHOLE bytes, or the first 64 and the last TAIL of a
longer one, then its padding: 0x80 and zeros, as many as a block that begins inside may reach."""
SLOT = HEAD + WHOLE + 144


@intrinsic
def _copy(typing: Any, target: Any, source: Any, count: Any) -> Any:
    """Copy `count` bytes from address to address."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, source, count = arguments
        places = [pointer(builder, one, 0, I8) for one in (target, source)]
        cgutils.raw_memcpy(builder, *places, count, 1)
        return context.get_dummy_value()

    return types.void(types.uint64, types.uint64, types.int64), emit


@intrinsic
def _pad(typing: Any, target: Any) -> Any:
    """Write what follows a message: the byte 0x80, and zeros up to 144 bytes."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        for offset in range(0, 144, 16):
            store(builder, constant([0 if offset else 0x80, 0, 0, 0]), arguments[0], offset)
        return context.get_dummy_value()

    return types.void(types.uint64), emit


@njit(forceinline=True, error_model="numpy")
def stage(slot: int, text: int, length: int) -> None:
    """Lay a text at an address, `HEAD` bytes of zeros in front, its padding behind."""
    if length <= WHOLE:
        _copy(slot, text, length)
        _pad(slot + np.uint64(length))
    else:
        _copy(slot, text, np.int64(WHOLE - TAIL))
        _copy(slot + np.uint64(WHOLE - TAIL), text + np.uint64(length - TAIL), np.int64(TAIL))
        _pad(slot + np.uint64(WHOLE))


@njit(forceinline=True, error_model="numpy")
def blocks_of(prefix: int, length: int) -> int:
    """How many blocks a text has behind a prefix, with the nine bytes or more that end it."""
    return (prefix + length + 72) >> 6
