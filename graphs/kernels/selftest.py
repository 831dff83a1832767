"""Known answers, with which a backend is tried once a process before a store is filled by it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...storage.text import PackedText
from ..inventories import DHATUS, PRIMES
from . import reference

_LENGTHS = (*range(258), 1_000, 4_095, 4_096, 100_003)
"""Every way in which a text can end in its block, behind one block or several; and some of many."""

_PERIOD = 251  # a prime, so that no two blocks of a text are alike


def texts() -> PackedText:
    """Return the texts of the trial."""
    longest = max(_LENGTHS)
    cycle = bytes(n * 7 % _PERIOD for n in range(_PERIOD)) * (2 + longest // _PERIOD)
    return PackedText.from_strings([cycle[length % _PERIOD :][:length] for length in _LENGTHS])


def passed(fields: Sequence[Any]) -> bool:
    """Say whether the default graph's fields are hashlib's and the reference's, bit by bit.

    >>> passed(reference.default_graph(texts(), dhatus=DHATUS, primes=PRIMES))
    True
    """
    exact = reference.default_graph(texts(), dhatus=DHATUS, primes=PRIMES)
    return len(fields) == len(exact) and all(
        np.asarray(one).tobytes() == other.tobytes()
        for one, other in zip(fields, exact, strict=True)
    )
