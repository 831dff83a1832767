"""The processor: what it is, and which way to SHA-256 is taken on it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
VECTORS = {"SHA-NI": "sha", "AVX-512": "avx512f", "AVX2": "avx2"}
"""Vector units that hashing gains from, and LLVM's names of them."""


@dataclass(frozen=True)
class Cpu:
    """The processor, and how the `cpu` backend uses it."""

    name: str  # what it calls itself, or LLVM's name where it does not say
    architecture: str  # LLVM's name of the microarchitecture
    cores: int  # that this process may use
    vectors: tuple[str, ...]  # of SHA-NI, AVX-512 and AVX2, those that it has
    hashing: str  # the path to SHA-256 that is taken
    what: str  # in words
    usable: tuple[str, ...]  # every path that could be taken, the fastest first


def processor() -> Cpu:
    """Return what is known of the processor.

    Raises
    ------
    BackendUnavailable
        ``PANINIFS_SHA256`` names a path that this process cannot take.

    Examples
    --------
    >>> found = processor()
    >>> found.hashing in found.usable
    True
    """
    import llvmlite.binding
    from dask.system import CPU_COUNT

    from ...graphs.kernels.cpu import sha_paths

    path = sha_paths.chosen()
    architecture = llvmlite.binding.get_host_cpu_name()
    return Cpu(
        _own_name() or architecture,
        architecture,
        CPU_COUNT,
        _vectors(),
        path.name,
        path.what,
        sha_paths.usable(),
    )


def _own_name() -> str | None:
    """Return the name that the kernel read from an x86 processor; others tell it none."""
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
    except RuntimeError:  # LLVM cannot tell, as on some ARM processors
        return ()
    return tuple(name for name, feature in VECTORS.items() if features.get(feature))
