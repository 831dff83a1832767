"""Known answers, with which a backend is tried once a process before a store is filled by it."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from ...storage.text import PackedText

DHATUS = ("A", "RELATE")
PRIMES = (2, 3)
_LENGTHS = (*range(258), 1_000, 4_095, 4_096, 100_003)
"""Every way in which a text can end in its block, behind one block or several; and some of many."""


def texts() -> PackedText:
    """Return the texts of the trial."""
    return PackedText.from_strings(_raw())


def passed(digests: npt.NDArray[Any], shares: npt.NDArray[Any]) -> bool:
    """Say whether digests, and shares of `DHATUS`, are hashlib's.

    >>> from . import reference
    >>> passed(reference.digest(texts()), reference.dhatu(texts(), dhatus=DHATUS))
    True
    """
    exact = b"".join(hashlib.sha256(text).digest() for text in _raw())
    weights = np.array([[_weight(name.encode() + b"::" + t) for name in DHATUS] for t in _raw()])
    expected = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return digests.tobytes() == exact and np.array_equal(shares, expected)


def _raw() -> list[bytes]:
    return [bytes((length + n * 7) % 251 for n in range(length)) for length in _LENGTHS]


def _weight(message: bytes) -> int:
    h = hashlib.sha256(message).digest()
    return h[0] + h[5] + h[13] + h[21] + h[29]
