"""The prime-base block: for each prime, a text's dhātu shares weighted by powers of the prime."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...storage.errors import GraphError
from ...storage.field import Field
from ..block import MapBlock
from ..inventories import PRIMES


def prime_base(dhatus: int, primes: Sequence[int] = PRIMES) -> MapBlock:
    """Return the block that computes ``prime_base``: float32 [n, m], Σₖ dhatu[k] · p^(k mod p).

    Parameters
    ----------
    dhatus : int
        Number of dhātus.
    primes : sequence of int
        The bases.

    Raises
    ------
    GraphError
        There are fewer than two primes, a number is not prime or is repeated, or its powers could
        make the variance overflow float32.
    """
    checked = tuple(primes)
    for p in checked:
        if isinstance(p, bool) or not isinstance(p, int | np.integer) or not _is_prime(int(p)):
            raise GraphError(f"primes must be prime numbers, but {p!r} is not one")
    inventory = tuple(int(p) for p in checked)
    if len(inventory) < 2 or len(set(inventory)) < len(inventory):
        raise GraphError(f"primes must be two or more distinct numbers, not {inventory}")
    for p in inventory:
        # With M the largest power, prime bases lie within [0, M]: their variance is at most M²/4.
        largest = p ** max(k % p for k in range(dhatus))
        if largest * largest > 4 * int(np.finfo(np.float32).max):
            raise GraphError(
                f"with {dhatus} dhātus, powers of the prime {p} reach {largest:.1e}, so the "
                "variance could overflow float32; remove this prime"
            )
    field = Field(
        "prime_base",
        "float32",
        (len(inventory),),
        dims=("prime",),
        labels={"prime": inventory},
        description="sum over k of dhatu[k] * p ** (k mod p)",
        compress=False,
    )
    return MapBlock(
        name="prime_base", inputs=("dhatu",), fields=(field,), params={"primes": inventory}
    )


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % d for d in range(2, int(number**0.5) + 1))
