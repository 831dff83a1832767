"""`signature_separation`: an objective, to separate labelled groups of texts by their signatures.

The texts and their folds are in `labelled_shares`, the score is in `group_moments`, and what a
summit is worth is in `kept_out`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ....graphs.inventories import PRIMES
from ....storage.errors import UsageError
from ..objective import Objective
from ..spaces.floats import Floats
from ..spaces.integers import Integers
from ..spaces.product import Product
from .group_moments import GroupMoments, Moments, factors
from .kept_out import KeptOut
from .labelled_shares import KEPT_OUT, Ints, LabelledShares, labelled_shares, parted

SEED = 1
"""Default seed of the split. With 0, the fifth of the isotopies that is kept out happens to lie by
its labels: p is 0.006 for some states, which is chance, as hashes have no meaning, but misleads."""

_LEAST_SHUFFLES = 99  # of which p can be `LEVEL`


def signature_separation(
    results: Any = None,
    labels: Any = None,
    *,
    texts: Sequence[str] | Any = None,
    primes: Sequence[int] = PRIMES,
    most_exponent: int = 3,
    folds: int = 5,
    shuffles: int = 1000,
    seed: int = SEED,
) -> Objective:
    """Return the objective that separates groups of texts by weights of dhātus and primes.

    A candidate has a weight w[k] in [0, 1] for each dhātu and an exponent e[p] for each prime. The
    signature of a text with the shares s is, for each prime p:

        Σₖ w[k] · s[k] · p^((e[p] · k) mod p)

    With all weights and exponents 1, the start, that is the ``prime_base`` of the engine. Distances
    between signatures are squared, and standardised: in each prime's by its variance.

    For each fold, the centres of the groups and the variances are those of the other folds. With D
    the mean distance of the fold's texts to the centre of their own group, and O that to the others
    (each group counts the same), the fold's score is (O − D) / (O + D), in [−1, 1], and the score
    the mean over the folds. Shares of texts that are classified correctly would be steps, between
    which a climb has nothing to go by; this changes with every weight.

    A fifth of each group is kept out: the score never depends on it. The objective's ``judge``
    scores a state on those texts, and compares that with `shuffles` shufflings of their labels: it
    is more than chance if at most 1 % of them score as high. Of many climbs over other folds, some
    will, without any meaning: decide on one before you look.
    The dhātus of SHA-256 say nothing about meaning, so that the isotopies should be separated no
    better than by chance; those of a model may be, see `semantic_dhatu`.

    Parameters
    ----------
    results : path, Dataset or array, optional
        A store with ``dhatu`` or the Dataset that `open_results` returns; or the shares, floats
        [n, dhātus].
    labels : str or column, optional
        The group of each text, or the name of such a column that the store kept. Texts whose label
        is missing or empty are left out. A group has at least three texts.
    texts : list or column of str, optional
        Instead of results: hashed once, here. Without both, the 105 sentences of the isotopies.
    primes : sequence of int
        Distinct primes.
    most_exponent : int
        Greatest exponent; at least 1.
    folds : int
        At least 2.
    shuffles : int
        At least 99.
    seed : int
        Of the split into folds and texts kept out, and of the shuffles; at least 0. Another seed
        keeps other texts out, which shows how much the judgement depends on them.

    Returns
    -------
    Objective
        With its space, a `Product` of ``weights`` and ``exponents``. It takes a dict of them, [k,
        dhātus] and [k, primes], and returns float64 [k], in the same bits for any k.

    Raises
    ------
    UsageError
        The results have no shares or labels, groups are too few or too small, or another argument
        is not as described.

    Examples
    --------
    >>> of = signature_separation()
    >>> start = of.space.argument(of.start[None])
    >>> {name: array.shape for name, array in start.items()}
    {'weights': (1, 9), 'exponents': (1, 10)}
    >>> [words[:20] for heading, words in of.judge(of.start) if "shuffled" in heading]
    ['not more than chance']
    """
    primes = _primes(primes)
    for name, value, least in (
        ("most_exponent", most_exponent, 1),
        ("folds", folds, 2),
        ("shuffles", shuffles, _LEAST_SHUFFLES),
        ("seed", seed, 0),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise UsageError(f"{name} must be a whole number of at least {least}, not {value!r}")
    labelled = labelled_shares(results, labels, texts)
    space = Product(
        weights=Floats(labelled.dhatus, 0, 1),
        exponents=Integers([str(p) for p in primes], 0, most_exponent),
    )
    parts = parted(labelled.groups, folds, seed)
    table = factors(primes, len(labelled.dhatus), most_exponent)
    climbed = GroupMoments.of(labelled.shares, labelled.groups, parts, table)
    kept_out = _kept_out(labelled, parts, climbed, (shuffles, seed))
    return Objective(
        name="signature_separation",
        function=climbed.scores,
        vectorized=True,
        identity=_identity(labelled, parts, primes, most_exponent),
        space=space,
        start=space.check(np.ones(space.dimensions)),
        judge=_Judge(space, kept_out),
    )


@dataclass(frozen=True)
class _Judge:
    """Judges states of a space."""

    space: Product
    kept_out: KeptOut

    def __call__(self, state: npt.NDArray[Any]) -> Sequence[tuple[str, str]]:
        """Return in words what a state is worth."""
        return self.kept_out.judge(self.space.argument(state[None]))


def _kept_out(
    labelled: LabelledShares, parts: Ints, climbed: GroupMoments, drawn: tuple[int, int]
) -> KeptOut:
    rows, seen = parts == KEPT_OUT, parts != KEPT_OUT
    return KeptOut(
        climbed=climbed,
        moments=Moments.of(labelled.shares[seen], labelled.groups[seen], len(labelled.names)),
        shares=labelled.shares[rows],
        groups=labelled.groups[rows],
        shuffles=drawn[0],
        seed=drawn[1],
    )


def _primes(given: Sequence[int]) -> tuple[int, ...]:
    primes = tuple(given)
    if not primes or len(set(primes)) < len(primes) or not all(_is_prime(p) for p in primes):
        raise UsageError(f"primes must be distinct prime numbers, not {given!r}")
    return primes


def _is_prime(p: Any) -> bool:
    whole = isinstance(p, int) and not isinstance(p, bool) and p > 1
    return whole and all(p % d for d in range(2, int(p**0.5) + 1))


def _identity(
    labelled: LabelledShares, parts: Ints, primes: tuple[int, ...], most_exponent: int
) -> Mapping[str, Any]:
    """Return what the scores depend on; the texts as a digest of shares, groups and folds."""
    digest = hashlib.sha256()
    for array in (labelled.shares, labelled.groups, parts):
        digest.update(array.tobytes())
    return {
        "objective": "signature_separation 1",
        "texts": len(labelled.groups),
        "dhatus": list(labelled.dhatus),
        "digest": digest.hexdigest(),
        "primes": list(primes),
        "most_exponent": most_exponent,
    }
