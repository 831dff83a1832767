"""Plan of the hashes per text: chains, their groups, and the constants of SHA-256.

A *chain* is one hash of a text with a prefix before it (``RELATE::``; empty for the digest). Chains
whose prefixes are equally long have the same message in every block after the prefix, so they can
share its message schedule; they form a *group*. Code that runs per text is in the backends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

BLOCK = 64
"""Bytes per SHA-256 block."""

INITIAL = np.array(
    [
        0x6A09E667,
        0xBB67AE85,
        0x3C6EF372,
        0xA54FF53A,
        0x510E527F,
        0x9B05688C,
        0x1F83D9AB,
        0x5BE0CD19,
    ],
    np.uint32,
)
"""Initial state, words A to H (FIPS 180-4, 5.3.3)."""

_K = bytes.fromhex(
    "428a2f98 71374491 b5c0fbcf e9b5dba5 3956c25b 59f111f1 923f82a4 ab1c5ed5"
    "d807aa98 12835b01 243185be 550c7dc3 72be5d74 80deb1fe 9bdc06a7 c19bf174"
    "e49b69c1 efbe4786 0fc19dc6 240ca1cc 2de92c6f 4a7484aa 5cb0a9dc 76f988da"
    "983e5152 a831c66d b00327c8 bf597fc7 c6e00bf3 d5a79147 06ca6351 14292967"
    "27b70a85 2e1b2138 4d2c6dfc 53380d13 650a7354 766a0abb 81c2c92e 92722c85"
    "a2bfe8a1 a81a664b c24b8b70 c76c51a3 d192e819 d6990624 f40e3585 106aa070"
    "19a4c116 1e376c08 2748774c 34b0bcb5 391c0cb3 4ed8aa4a 5b9cca4f 682e6ff3"
    "748f82ee 78a5636f 84c87814 8cc70208 90befffa a4506ceb bef9a3f7 c67178f2"
)
ROUND_CONSTANTS = tuple(np.frombuffer(_K, ">u4").tolist())
"""Round constants (FIPS 180-4, 4.2.2)."""

WEIGHED_BYTES = (0, 5, 13, 21, 29)
"""Indices of the bytes of a hash whose sum is a dhātu's weight."""

DIGEST = -1
"""Column of the chain whose whole hash is stored instead of its weight."""


@dataclass(frozen=True)
class Chain:
    """One hash: the prefix before the text, and the column of ``weights`` that it fills."""

    prefix: bytes
    column: int  # or DIGEST


def chains_of(dhatus: Sequence[str], *, digest: bool) -> list[Chain]:
    """Return the chain of every dhātu and, if `digest` is true, the chain of the digest.

    >>> chains_of(("FEEL",), digest=True)
    [Chain(prefix=b'FEEL::', column=0), Chain(prefix=b'', column=-1)]
    """
    chains = [Chain(f"{name}::".encode(), k) for k, name in enumerate(dhatus)]
    return [*chains, Chain(b"", DIGEST)] if digest else chains


def groups_of(chains: Sequence[Chain]) -> list[list[Chain]]:
    """Group chains by prefix length, the largest group first."""
    by_length = sorted(chains, key=lambda chain: len(chain.prefix))
    groups = [list(group) for _, group in groupby(by_length, key=lambda chain: len(chain.prefix))]
    return sorted(groups, key=len, reverse=True)
