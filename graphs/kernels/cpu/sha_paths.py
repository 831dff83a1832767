"""Selection of the SHA-256 path of a process, once, by the features of Numba's target.

The features of the processor do not decide: LLVM aborts the process on an instruction that its
target lacks, and Numba's target may have fewer features than the processor (``NUMBA_CPU_NAME``). To
add a path, write its module and add it to `PATHS`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache

from ....storage.errors import BackendUnavailable
from . import sha_hashlib, sha_lanes, sha_ni
from .numba_target import target
from .sha256 import HashTexts

VARIABLE = "PANINIFS_SHA256"
"""Environment variable that names the path to use."""


@dataclass(frozen=True)
class HashPath:
    """An implementation of SHA-256."""

    name: str
    what: str  # in words
    features: frozenset[str]  # of LLVM's x86-64 target
    hash_texts: HashTexts


PATHS = {
    path.name: path
    for path in (
        HashPath("sha-ni", "x86 SHA instructions", sha_ni.FEATURES, sha_ni.hash_texts),
        HashPath("avx512", "16 texts per vector", sha_lanes.AVX512_FEATURES, sha_lanes.avx512),
        HashPath("avx2", "8 texts per vector", sha_lanes.AVX2_FEATURES, sha_lanes.avx2),
        HashPath("hashlib", "Python's hashlib", frozenset(), sha_hashlib.hash_texts),
    )
}
"""Every path, the fastest first."""


@cache
def usable() -> tuple[str, ...]:
    """Return the names of the paths that this process can use, the fastest first."""
    features = _target_features()
    return tuple(name for name, path in PATHS.items() if path.features <= features)


@cache
def selected() -> HashPath:
    """Return the path that this process uses: the fastest, or the one that the user names.

    Raises
    ------
    BackendUnavailable
        ``PANINIFS_SHA256`` names an unknown path, or one that Numba's target does not support.
    """
    wanted = os.environ.get(VARIABLE) or usable()[0]
    if wanted not in usable():
        supported = ", ".join(usable())
        raise BackendUnavailable(
            f"{VARIABLE}={wanted} cannot be used; this process supports {supported}"
        )
    return PATHS[wanted]


def _target_features() -> frozenset[str]:
    current = target()
    return current.instructions if current.triple.startswith("x86_64") else frozenset()
