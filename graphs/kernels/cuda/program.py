"""Programs in CUDA C++, compiled once per process; CuPy caches them on disk as well."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

from .device import load_cupy

OPTIONS = ("--std=c++17", "--fmad=false")
"""Compiler options. Contraction is off because it omits a rounding, which changes the result."""

_compiling = threading.Lock()


def kernel_of(source: str, name: str) -> Any:
    """Return a kernel of a program. One thread compiles, and the others wait."""
    with _compiling:
        return _kernel(source, name)


def forget() -> None:
    """Forget the programs, for a process whose device is another one now."""
    _program.cache_clear()
    _kernel.cache_clear()


@cache
def _kernel(source: str, name: str) -> Any:
    return _program(source).get_function(name)


@cache
def _program(source: str) -> Any:
    program = load_cupy().RawModule(code=source, options=OPTIONS)
    program.compile()  # otherwise CuPy compiles at the first launch, once per thread
    return program
