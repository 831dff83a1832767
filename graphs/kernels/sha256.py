"""What the compiled SHA-256 paths share: chains, staged texts, and the building of LLVM code.

A *chain* is one hash of a text behind a prefix (``RELATE::``; none for the digest). Chains whose
prefixes are of one length see the same message from the second block on, so they share its
schedule: they are a *group*. A text is *staged* between zeros and its padding, where every block of
a short one, and the first and the last of a long one, can be read as it stands; all other blocks
are read where the text lies. So nothing outside the text is ever read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from ...storage.text import PackedText

BLOCK = 64  # bytes
PREFIX_LIMIT = BLOCK - 1
"""Bytes of the longest prefix: the first block of a message holds all of it."""

INITIAL = np.array(
    [
        0x6A09E667,
        0xBB67AE85,
        0x3C6EF372,
        0xA54FF53A,
        0x510E527F,
        0x9B05688C,
        0x1F83D9AB,
        0x5BE0CD19,
    ],
    np.uint32,
)
"""The state before the first block, words A to H (FIPS 180-4, 5.3.3)."""

_K = bytes.fromhex(
    "428a2f98 71374491 b5c0fbcf e9b5dba5 3956c25b 59f111f1 923f82a4 ab1c5ed5"
    "d807aa98 12835b01 243185be 550c7dc3 72be5d74 80deb1fe 9bdc06a7 c19bf174"
    "e49b69c1 efbe4786 0fc19dc6 240ca1cc 2de92c6f 4a7484aa 5cb0a9dc 76f988da"
    "983e5152 a831c66d b00327c8 bf597fc7 c6e00bf3 d5a79147 06ca6351 14292967"
    "27b70a85 2e1b2138 4d2c6dfc 53380d13 650a7354 766a0abb 81c2c92e 92722c85"
    "a2bfe8a1 a81a664b c24b8b70 c76c51a3 d192e819 d6990624 f40e3585 106aa070"
    "19a4c116 1e376c08 2748774c 34b0bcb5 391c0cb3 4ed8aa4a 5b9cca4f 682e6ff3"
    "748f82ee 78a5636f 84c87814 8cc70208 90befffa a4506ceb bef9a3f7 c67178f2"
)
ROUND_CONSTANTS = tuple(np.frombuffer(_K, ">u4").tolist())
"""FIPS 180-4, 4.2.2."""

WEIGHED_BYTES = (0, 5, 13, 21, 29)
"""The bytes of a hash whose sum is a weight."""

DIGEST = -1
"""The column of the chain whose whole hash is wanted, and not its weight."""

Weights = npt.NDArray[np.int32]
Digests = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Chain:
    """One hash: the bytes in front of the text, and the column of `weights` that it fills."""

    prefix: bytes
    column: int  # or DIGEST


class HashTexts(Protocol):
    """What every path offers: one for each kind of processor."""

    def __call__(
        self, text: PackedText, chains: Sequence[Chain], weights: Weights, digests: Digests
    ) -> None:
        """Fill weights int32 [n, columns] and, where a chain wants it, digests uint8 [n, 32]."""


def groups_of(chains: Sequence[Chain]) -> list[list[Chain]]:
    """Return the chains in groups of one prefix length, the largest group first."""
    by_length = sorted(chains, key=lambda chain: len(chain.prefix))
    groups = [list(group) for _, group in groupby(by_length, key=lambda chain: len(chain.prefix))]
    return sorted(groups, key=len, reverse=True)


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
    sources = sorted(Path(__file__).parent.glob("sha*.py"))
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
