"""What this machine computes with: found out, never configured."""

from __future__ import annotations

from dataclasses import dataclass

import llvmlite.binding
from dask.system import CPU_COUNT

from ..graphs.kernels import sha_paths


@dataclass(frozen=True)
class Cpu:
    """The processor, and how the `cpu` backend uses it."""

    name: str  # LLVM's name of the microarchitecture
    cores: int  # that this process may use
    hashing: str  # the path to SHA-256 that is taken
    what: str  # in words
    usable: tuple[str, ...]  # every path that could be taken, the fastest first


def cpu() -> Cpu:
    """Return what is known of the processor.

    Raises
    ------
    BackendUnavailable
        ``PANINIFS_SHA256`` names a path that this process cannot take.

    Examples
    --------
    >>> found = cpu()
    >>> found.hashing in found.usable
    True
    """
    path = sha_paths.chosen()
    name = llvmlite.binding.get_host_cpu_name()
    return Cpu(name, CPU_COUNT, path.name, path.what, sha_paths.usable())
