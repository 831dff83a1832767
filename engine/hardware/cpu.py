"""The processor, and the SHA-256 implementation that is used on it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
VECTORS = {"SHA-NI": "sha", "AVX-512": "avx512f", "AVX2": "avx2"}
"""Vector units that speed up hashing, and LLVM's names for them."""


@dataclass(frozen=True, kw_only=True)
class Cpu:
    """The processor, and how the `cpu` backend uses it."""

    name: str  # as the processor reports it, else LLVM's name
    architecture: str  # LLVM's name of the microarchitecture
    cores: int  # available to this process
    vectors: tuple[str, ...]  # the vector units of `VECTORS` that it has
    hashing: str  # the SHA-256 implementation in use
    what: str  # that implementation, in words
    usable: tuple[str, ...]  # every implementation that could be used, fastest first


def processor() -> Cpu:
    """Return what is known about the processor.

    Raises
    ------
    BackendUnavailable
        ``PANINIFS_SHA256`` names an implementation that this process cannot use.

    Examples
    --------
    >>> found = processor()
    >>> found.hashing in found.usable
    True
    """
    import llvmlite.binding
    from dask.system import CPU_COUNT

    from ...graphs.kernels.cpu import sha_paths

    path = sha_paths.selected()
    architecture = llvmlite.binding.get_host_cpu_name()
    return Cpu(
        name=_own_name() or architecture,
        architecture=architecture,
        cores=CPU_COUNT,
        vectors=_vectors(),
        hashing=path.name,
        what=path.what,
        usable=sha_paths.usable(),
    )


def _own_name() -> str | None:
    """Return the model name in /proc/cpuinfo; only x86 processors report one."""
    try:
        text = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(r"^model name\s*:\s*(\S.*)$", text, re.MULTILINE)
    return found[1].strip() if found else None


def _vectors() -> tuple[str, ...]:
    import llvmlite.binding

    try:
        features = llvmlite.binding.get_host_cpu_features()
    except RuntimeError:  # LLVM does not know, as on some ARM processors
        return ()
    return tuple(name for name, feature in VECTORS.items() if features.get(feature))
