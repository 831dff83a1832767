"""Loops that Numba compiles, kept on disk as machine code and loaded without Numba.

Importing Numba and what it needs to know of types takes longer than hashing a small corpus, in
every process. So a loop is compiled once for a processor and for its arguments' types, and from
then on llvmlite, which Numba stands on, loads what was made of it. What the loops are is not known
here: they are in `compiled`, which is imported to compile only.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import logging
import os
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

_log = logging.getLogger(__name__)

_HERE = Path(__file__).parent
_DIGEST = hashlib.sha256().digest_size

Entry = Callable[[int], None]
"""What a compiled loop is called by: with the address of its arguments, one word after another."""


class Loop:
    """A loop of `compiled`, called like the function that it is there.

    Arguments are NumPy arrays, whole and in C order, integers, floats, and tuples of these. The
    first call with arguments of some types and dimensions loads the loop for them, or compiles it.

    Parameters
    ----------
    module, name : str
        Where it is in `compiled`.
    needs : frozenset of str
        What LLVM's target must have.
    """

    def __init__(self, module: str, name: str, needs: frozenset[str] = frozenset()) -> None:
        self._module, self._name, self._needs = module, name, needs
        self._entries: dict[str, Entry] = {}
        self._lock = threading.Lock()

    def __call__(self, *arguments: Any) -> None:
        """Run the loop; other threads go on meanwhile."""
        words: list[int] = []
        kind = _laid_out(arguments, words)
        entry = self._entries.get(kind)
        if entry is None:
            with self._lock:
                entry = self._entries.get(kind) or self._made(kind, arguments)
                self._entries[kind] = entry
        packed = np.array(words, np.uint64)  # has to outlive the call, as the arguments do
        entry(packed.ctypes.data)

    def _made(self, kind: str, arguments: tuple[Any, ...]) -> Entry:
        file = f"{self._module}.{self._name}-{_key(self._module, self._name, kind)}.code"
        kept = next(filter(None, (_read(folder / file) for folder in folders())), None)
        if kept is None:
            compiling = importlib.import_module(".compiled.compiling", __package__)
            kept = Code(*compiling.compiled(self._module, self._name, arguments, self._needs))
            _keep(file, kept)
        return _loaded(kept)


def _laid_out(argument: Any, words: list[int]) -> str:
    """Append an argument's words: an array's address and lengths, or a number; return its type."""
    if isinstance(argument, tuple):
        return f"({','.join([_laid_out(one, words) for one in argument])})"
    if isinstance(argument, np.ndarray):
        if not argument.flags.c_contiguous:
            raise ValueError(f"an array of {argument.shape} is not whole and in C order")
        words += [argument.ctypes.data, *argument.shape]
        return f"{argument.dtype.str}{argument.ndim}"
    if isinstance(argument, float):
        words += struct.unpack("Q", struct.pack("d", argument))
        return "float"
    words.append(int(argument) & 0xFFFF_FFFF_FFFF_FFFF)
    return type(argument).__name__


# --- what it is compiled for ----------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """What LLVM compiles for, as Numba has it: this processor, or a lesser one as told.

    `NUMBA_CPU_NAME` and `NUMBA_CPU_FEATURES` are Numba's own ways to say so.
    """

    triple: str
    cpu: str
    features: str  # as "+avx2,-sha"


@cache
def target() -> Target:
    """Return what this process compiles for."""
    import llvmlite.binding as llvm

    cpu, features = (os.environ.get(f"NUMBA_CPU_{what}") for what in ("NAME", "FEATURES"))
    if features is None:
        features = ""
        with suppress(RuntimeError):  # LLVM cannot tell, as on some ARM processors
            features = llvm.get_host_cpu_features().flatten()
    return Target(llvm.get_process_triple(), cpu or llvm.get_host_cpu_name(), features)


@cache
def _sources() -> str:
    """Return what changes with any source that a loop may be made of."""
    digest = hashlib.sha256()
    for source in sorted([*_HERE.glob("*.py"), *_HERE.glob("compiled/*.py")]):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _key(*of: str) -> str:
    """Return the digest of all that machine code depends on."""
    versions = [version("numba"), version("llvmlite")]
    return hashlib.sha256(repr((*of, target(), versions, _sources())).encode()).hexdigest()[:32]


# --- where it is kept -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Code:
    """Machine code: an object file, and the symbol to call in it."""

    symbol: str
    object: bytes


def folders() -> list[Path]:
    """Return where machine code is kept, the first that takes it.

    `NUMBA_CACHE_DIR` is where a user who has Numba's own code elsewhere wants this too.
    """
    told = os.environ.get("NUMBA_CACHE_DIR")
    if told:
        return [Path(told)]
    return [_HERE / "__pycache__", platformdirs.user_cache_path("paninifs") / "kernels"]


def _read(path: Path) -> Code | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    digest, rest = data[:_DIGEST], data[_DIGEST:]
    if hashlib.sha256(rest).digest() != digest:
        _log.warning("%s is damaged; its loop is compiled anew", path)
        return None
    symbol, _, made = rest.partition(b"\0")
    return Code(symbol.decode(), made)


def _keep(name: str, code: Code) -> None:
    rest = code.symbol.encode() + b"\0" + code.object
    for folder in folders():
        try:
            _replace(folder / name, hashlib.sha256(rest).digest() + rest)
        except OSError as error:
            _log.debug("%s does not take machine code: %s", folder, error)
        else:
            return
    _log.warning(
        "no folder takes the compiled kernels, so every process compiles them, for some seconds: "
        "set NUMBA_CACHE_DIR to one that can be written to"
    )


def _replace(path: Path, data: bytes) -> None:
    """Write a whole file or none: another process may be reading it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


# --- loading --------------------------------------------------------------------------------------

_in_use: list[Any] = []
"""LLVM's engines, which own the code in memory: as long as the process lives."""


def _loaded(code: Code) -> Entry:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_triple(target().triple).create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code.object))
    engine.finalize_object()
    _in_use.append(engine)
    # As Numba calls among its own functions: where a result goes, where an exception, the argument.
    native = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64)(
        engine.get_function_address(code.symbol)
    )

    def entry(arguments: int) -> None:
        result, exception = ctypes.c_int64(), ctypes.c_void_p()
        if status := native(ctypes.byref(result), ctypes.byref(exception), arguments):
            raise AssertionError(f"compiled code ended with status {status}")

    return entry
