"""The ambiguity block: variance and entropy of a text's prime bases, and two mixtures of them."""

from __future__ import annotations

from collections.abc import Sequence

from ...storage.field import Field
from ..block import MapBlock
from ..inventories import PRIMES

_DESCRIPTIONS = {
    "variance": "population variance of the prime bases",
    "entropy": "entropy of the prime bases' shares q, natural logarithm",
    "ambiguity": "0.7 entropy + 0.3 variance (the variance, up to 1e20, swamps the entropy)",
    "ambiguity_normalised": "0.7 entropy / ln m + 0.3 var(q) m^2 / (m - 1): both within [0, 1]",
}


def ambiguity(primes: Sequence[int] = PRIMES) -> MapBlock:
    """Return the block that computes four float32 [n] fields from ``dhatu``.

    With x the float64 prime bases and m their number: ``variance`` is the population variance of
    x; ``entropy`` is −Σ q·ln(q + 1e-8), q = x / (Σ x + 1e-8); ``ambiguity`` is 0.7·entropy +
    0.3·variance; ``ambiguity_normalised`` is 0.7·entropy / ln m + 0.3·var(q)·m² / (m − 1).
    It starts from ``dhatu`` because the stored ``prime_base`` is already rounded to float32.
    """
    fields = tuple(
        Field(name, "float32", description=description, compress=False)
        for name, description in _DESCRIPTIONS.items()
    )
    return MapBlock(
        name="ambiguity",
        inputs=("dhatu",),
        fields=fields,
        params={"primes": tuple(int(p) for p in primes)},
    )
