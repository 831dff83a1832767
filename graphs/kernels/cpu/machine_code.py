"""Loops that Numba compiles, cached on disk as machine code and called without Numba.

Importing Numba and its types in every process would take longer than hashing a small corpus. So a
loop is compiled once for each processor and set of argument types, and from then on loaded by
llvmlite, which Numba builds on. The loops themselves are in `compiled`, which is imported only to
compile. Files on disk are handled by `code_cache`.
"""

from __future__ import annotations

import ctypes
import importlib
import threading
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from .arguments import Kind, append_words
from .code_cache import cached
from .numba_target import settings, target

Entry = Callable[[int], None]
"""A loaded loop, called with the address of its arguments in consecutive 64-bit words."""


def sources() -> list[Path]:
    """Return the files that a loop may be compiled from: those of `kernels` and of this folder."""
    here = Path(__file__).parent
    return sorted([*here.parent.glob("*.py"), *here.rglob("*.py")])


def _digest_of_sources() -> str:
    digest = sha256()
    for source in sources():
        digest.update(source.read_bytes())
    return digest.hexdigest()


SOURCES = _digest_of_sources()
"""Digest of `sources`, as they were when this module was imported."""


class Loop:
    """A loop of `compiled`, called like the function that defines it.

    Arguments are NumPy arrays of numbers (C-contiguous and aligned), integers, floats, and tuples
    of these; an `np.uint64` stays unsigned. The first call with arguments of a kind loads the loop
    for that kind, or compiles it.

    Parameters
    ----------
    module, name : str
        Module in `compiled`, and name of the function there.
    """

    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name
        self._entries: dict[Kind, Entry] = {}
        self._lock = threading.Lock()

    def __call__(self, *arguments: Any) -> None:
        """Run the loop without the GIL."""
        words: list[int] = []
        kind = append_words(arguments, words)
        entry = self._entries.get(kind)
        if entry is None:
            with self._lock:
                entry = self._entries.get(kind) or self._entry(kind)
                self._entries[kind] = entry
        packed = np.array(words, np.uint64)  # must outlive the call, as must the arguments
        entry(packed.ctypes.data)

    def _entry(self, kind: Kind) -> Entry:
        def compile_loop() -> bytes:
            compiler = importlib.import_module(".compiled.numba_compiler", __package__)
            made: bytes = compiler.compile_loop(self._module, self._name, kind)
            return made

        made_from = repr((settings(), SOURCES, self._module, self._name, kind)).encode()
        digest = sha256(made_from).hexdigest()[:32]
        return _load(cached(f"{self._module}.{self._name}-{digest}.code", compile_loop))


# --- loading --------------------------------------------------------------------------------------

_in_use: list[Any] = []
"""LLVM's engines, which own the loaded code, held for the life of the process."""


def _load(code: bytes) -> Entry:
    """Load what `numba_compiler.compile_loop` returns: a symbol, a zero byte, an object file."""
    import llvmlite.binding as llvm

    symbol, _, image = code.partition(b"\0")
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_triple(target().triple).create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(image))
    engine.finalize_object()
    _in_use.append(engine)
    # Numba's own calling convention: pointers to the result and the exception, then the argument.
    native = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64)(
        engine.get_function_address(symbol.decode())
    )

    def entry(arguments: int) -> None:
        result, exception = ctypes.c_int64(), ctypes.c_void_p()
        if status := native(ctypes.byref(result), ctypes.byref(exception), arguments):
            raise AssertionError(f"compiled code ended with status {status}")

    return entry
