"""The functions of the backend `cpu`: all hashes of a text in one pass, then the arithmetic.

`sha_paths` selects how to hash on this processor, `moments` does the arithmetic, and `machine_code`
compiles both and caches them on disk.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import locket
import numpy as np
import numpy.typing as npt

from ....storage.errors import BackendUnavailable
from ....storage.text import PackedText
from ...inventories import DHATUS, PRIMES
from .. import selftest
from ..chains import Chain, chains_of
from ..host import (
    IN_FLIGHT,
    MICRO_BATCH,
    asarray,
    chosen,
    count_allocations,
    free_memory,
    host_buffer,
    may_be_of_text,
    offload,
    on_host,
    resident,
    spread,
    text_decoder,
    user_function,
)
from . import moments, sha_hashlib, sha_paths
from .code_cache import folders
from .minhashes import band_keys, minhash
from .sha256 import PREFIX_LIMIT, HashTexts

__all__ = [
    "IN_FLIGHT",
    "MICRO_BATCH",
    "ambiguity",
    "asarray",
    "band_keys",
    "chosen",
    "count_allocations",
    "default_graph",
    "dhatu",
    "digest",
    "free_memory",
    "host_buffer",
    "may_be_of_text",
    "minhash",
    "offload",
    "on_host",
    "prepare",
    "prime_base",
    "resident",
    "spread",
    "text_decoder",
    "user_function",
]

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def digest(text: PackedText) -> Bytes:
    """Return the SHA-256 of every text: uint8 [n, 32]."""
    return _hashed(text, (), digest=True)[1]


def dhatu(text: PackedText, *, dhatus: tuple[str, ...]) -> Floats:
    """Return the share of every dhātu, rows summing to one: float32 [n, k]."""
    return moments.shares(_hashed(text, dhatus, digest=False)[0])


def prime_base(dhatu: Floats, *, primes: tuple[int, ...]) -> Floats:
    """Return prime-base signatures: float32 [n, m]."""
    return moments.moments(dhatu, primes)[0]


def ambiguity(dhatu: Floats, *, primes: tuple[int, ...]) -> tuple[Floats, ...]:
    """Return variance, entropy, ambiguity and normalised ambiguity: four float32 [n]."""
    return tuple(moments.moments(dhatu, primes)[1])


def default_graph(
    text: PackedText, *, dhatus: tuple[str, ...], primes: tuple[int, ...]
) -> tuple[Bytes | Floats, ...]:
    """Return digest, dhātu, prime base and the four parts of ambiguity, in one pass."""
    weights, digests = _hashed(text, dhatus, digest=True)
    shares = moments.shares(weights)
    base, parts = moments.moments(shares, primes)
    return digests, shares, base, *parts


def _hashed(
    text: PackedText, dhatus: Sequence[str], *, digest: bool
) -> tuple[npt.NDArray[np.int32], Bytes]:
    chains = chains_of(dhatus, digest=digest)
    weights = np.empty((len(text), len(dhatus)), np.int32)
    digests = np.empty((len(text) if digest else 0, 32), np.uint8)
    _path_for(chains)(text, chains, weights, digests)
    return weights, digests


def _path_for(chains: Sequence[Chain]) -> HashTexts:
    if max(len(chain.prefix) for chain in chains) > PREFIX_LIMIT:
        return sha_hashlib.hash_texts
    return sha_paths.selected().hash_texts


@cache
def prepare() -> None:
    """Compile what is not in the cache, load the rest, and run the self-test.

    One process per host compiles; the others wait and load its code. The self-test takes
    milliseconds and finds a damaged cache before a store is filled from it.

    Raises
    ------
    BackendUnavailable
        The compiled code computes wrong results on this machine.
    """
    lock = Path(tempfile.gettempdir()) / f"paninifs-{os.getuid()}.compiling"
    with locket.lock_file(lock):
        fields = default_graph(selftest.texts(), dhatus=DHATUS, primes=PRIMES)
    if not selftest.matches_reference(fields):
        cache_folders = " and ".join(map(str, folders()))
        raise BackendUnavailable(
            f"the compiled kernels ({sha_paths.selected().name}) compute wrong results on this "
            f"machine; delete the .code files in {cache_folders}, or set "
            f"{sha_paths.VARIABLE}=hashlib"
        )
