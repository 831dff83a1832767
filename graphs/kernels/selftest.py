"""A self-test of a backend, run once per process before the backend fills a store.

It finds a damaged code cache or a broken device. It takes milliseconds; the thorough conformance
suite is in ``tests``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...storage.text import PackedText
from ..inventories import DHATUS, PRIMES
from . import reference

_LENGTHS = (*range(258), 1_000, 4_095, 4_096, 100_003)
"""Bytes per text: every way a text can end within a block, and some texts of many blocks."""

_PERIOD = 251  # a prime, so that no two blocks of a text are equal


def texts() -> PackedText:
    """Return the texts that the self-test hashes."""
    longest = max(_LENGTHS)
    cycle = bytes(n * 7 % _PERIOD for n in range(_PERIOD)) * (2 + longest // _PERIOD)
    return PackedText.from_strings([cycle[length % _PERIOD :][:length] for length in _LENGTHS])


def matches_reference(fields: Sequence[Any]) -> bool:
    """Return whether the default graph's fields over `texts` equal the reference's bit for bit.

    >>> matches_reference(reference.default_graph(texts(), dhatus=DHATUS, primes=PRIMES))
    True
    """
    exact = reference.default_graph(texts(), dhatus=DHATUS, primes=PRIMES)
    return len(fields) == len(exact) and all(
        np.asarray(computed).tobytes() == expected.tobytes()
        for computed, expected in zip(fields, exact, strict=True)
    )
