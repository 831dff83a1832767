"""What Numba compiles for: a processor and its instructions. It is asked once a machine.

What the processor can do is not enough to know: Numba leaves out what its settings, or bugs of some
processors, tell it to, and importing it to ask takes longer than hashing a small corpus.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from .kept import kept

_OF_NO_ACCOUNT = ("NUMBA_CACHE_DIR", "NUMBA_DISABLE_JIT")
"""Settings that change nothing of the code that is made."""


@dataclass(frozen=True)
class Target:
    """A processor as LLVM names it."""

    triple: str  # as "x86_64-unknown-linux-gnu"
    cpu: str  # as "znver4"
    features: str  # as "+avx2,-sha"

    @property
    def instructions(self) -> frozenset[str]:
        """Return the sets of instructions that LLVM may use."""
        return frozenset(one[1:] for one in self.features.split(",") if one.startswith("+"))


@cache
def target() -> Target:
    """Return what this process's Numba compiles for."""
    return Target(*kept(f"target-{settings()}.txt", _asked).decode().split("\n"))


def _asked() -> bytes:
    from numba.core.registry import cpu_target

    return "\n".join(cpu_target.target_context.codegen().magic_tuple()).encode()


@cache
def settings() -> str:
    """Return the digest of all that Numba's answer, and what it compiles, may depend on."""
    import llvmlite.binding as llvm

    features = ""
    with suppress(RuntimeError):  # LLVM cannot tell, as on some ARM processors
        features = llvm.get_host_cpu_features().flatten()
    file = b""
    with suppress(OSError):
        file = Path(".numba_config.yaml").read_bytes()
    told = sorted(
        (name, value)
        for name, value in os.environ.items()
        if name.startswith("NUMBA_") and name not in _OF_NO_ACCOUNT
    )
    versions = version("numba"), version("llvmlite")
    host = llvm.get_process_triple(), llvm.get_host_cpu_name(), features
    return sha256(repr((versions, host, told, file)).encode()).hexdigest()[:32]
