"""The target that Numba compiles for: a processor and its instruction sets, cached on disk.

The features of the processor do not determine it: Numba leaves some out because of its settings or
of processor bugs. The target is cached because importing Numba to find out takes longer than
hashing a small corpus.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from .code_cache import cached

_IRRELEVANT = ("NUMBA_CACHE_DIR", "NUMBA_DISABLE_JIT")
"""Environment variables that do not change the compiled code."""


@dataclass(frozen=True)
class Target:
    """A compilation target, as LLVM names it."""

    triple: str  # e.g. "x86_64-unknown-linux-gnu"
    cpu: str  # e.g. "znver4"
    features: str  # e.g. "+avx2,-sha"

    @property
    def instructions(self) -> frozenset[str]:
        """Return the instruction sets that LLVM may use."""
        return frozenset(f[1:] for f in self.features.split(",") if f.startswith("+"))


@cache
def target() -> Target:
    """Return the target of this process's Numba."""
    return Target(*cached(f"target-{settings()}.txt", _ask_numba).decode().split("\n"))


def _ask_numba() -> bytes:
    from numba.core.registry import cpu_target

    return "\n".join(cpu_target.target_context.codegen().magic_tuple()).encode()


@cache
def settings() -> str:
    """Return a digest of everything that Numba's target and compiled code may depend on."""
    import llvmlite.binding as llvm

    features = ""
    with suppress(RuntimeError):  # LLVM does not know, e.g. on some ARM processors
        features = llvm.get_host_cpu_features().flatten()
    file = b""
    with suppress(OSError):
        file = Path(".numba_config.yaml").read_bytes()
    variables = sorted(
        (name, value)
        for name, value in os.environ.items()
        if name.startswith("NUMBA_") and name not in _IRRELEVANT
    )
    versions = version("numba"), version("llvmlite")
    host = llvm.get_process_triple(), llvm.get_host_cpu_name(), features
    return sha256(repr((versions, host, variables, file)).encode()).hexdigest()[:32]
