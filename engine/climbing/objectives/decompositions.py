"""`Decompositions`: counts what is ambiguous in concepts' decompositions into atoms.

Counts are integers, and a score is one division, so that it has the same bits in any batch and on
any device. Where the concepts come from is in `concepts`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..on_host import on_host

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.uint16]

MOST_ATOMS = 16
"""Atoms that a code of 16 bits can hold."""

_COMPARED = 1 << 15  # pairs at once: their codes and counts stay in a core's L2 cache

_SHOWN = 10  # pairs that a judgement names


class Costs(NamedTuple):
    """What a pair, a concept or a change costs; whole numbers."""

    identical: int
    synonyms: int
    closeness: int
    empty: int


class Counts(NamedTuple):
    """What is counted in each candidate: int64 [k]."""

    identical: npt.NDArray[np.int64]
    synonyms: npt.NDArray[np.int64]
    changes: npt.NDArray[np.int64]
    empty: npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Decompositions:
    """Concepts, the atoms of each in the source, and what ambiguity costs.

    Attributes
    ----------
    concepts, atoms : tuple of str
        Names.
    source : array of bool [n, a]
        Whether a concept has an atom in the source.
    overlap : float
        Jaccard overlap above which two concepts are partial synonyms.
    costs : Costs
    """

    concepts: tuple[str, ...]
    atoms: tuple[str, ...]
    source: npt.NDArray[np.bool_]
    overlap: float
    costs: Costs

    def scores(self, states: Any) -> Floats:
        """Return the scores of candidates: float64 [k].

        Parameters
        ----------
        states : array [k, n · a]
            Zeros and ones, of NumPy, CuPy or JAX.
        """
        counts = self.counts(states)
        cost = sum(each * count for each, count in zip(self.costs, counts, strict=True))
        return np.asarray(cost / -len(self.concepts), "float64")

    def counts(self, states: Any) -> Counts:
        """Return what is counted in each of the candidates [k, n · a]."""
        xp = states.__array_namespace__()
        codes = self._codes(xp, states)
        identical, synonyms = self._pairs(xp, codes)
        changed = xp.bitwise_count(codes ^ xp.asarray(self._source_codes)[:, None])
        counted = (
            identical,
            synonyms,
            changed.sum(axis=0, dtype=xp.int32),
            (codes == 0).sum(axis=0, dtype=xp.int32),
        )
        return Counts(*(on_host(one).astype("int64") for one in counted))

    def judge(self, state: npt.NDArray[Any]) -> Sequence[tuple[str, str]]:
        """Return in words what a state [n · a] is worth."""
        both = np.stack([self.source.ravel().astype(state.dtype), state])
        (was_identical, identical), (was_near, near), (_, changes), (was_empty, empty) = (
            one.tolist() for one in self.counts(both)
        )
        n = len(self.concepts)
        return [
            ("Identical decompositions", f"{identical:,} pairs; {was_identical:,} in the source"),
            (
                f"Partial synonyms (overlap > {self.overlap:g})",
                f"{near:,} pairs; {was_near:,} in the source",
            ),
            ("Without atoms", f"{empty:,} concepts; {was_empty:,} in the source"),
            (
                "Distance from the source",
                f"{changes:,} memberships changed: {changes / n:.2f} per concept",
            ),
            ("Most alike", self._most_alike(state) or "no pair is identical or partly synonymous"),
        ]

    def _most_alike(self, state: npt.NDArray[Any]) -> str:
        """Return the ambiguous pairs of a state, those with the largest overlap first."""
        codes = self._codes(np, state[None])[:, 0]
        left, right = self._pair_rows
        shared = np.bitwise_count(codes[left] & codes[right])
        either = np.bitwise_count(codes[left] | codes[right])
        alike = np.where(codes[left] == codes[right], 1.0, shared / np.maximum(either, 1))
        # One that is identical has the overlap 1, which may not be above the threshold.
        found = np.flatnonzero((alike > self.overlap) | (alike == 1.0))
        first = found[np.argsort(-alike[found], kind="stable")][:_SHOWN]
        named = [
            f"{self.concepts[left[at]]} and {self.concepts[right[at]]} ({alike[at]:.2f})"
            for at in first.tolist()
        ]
        more = len(found) - len(first)
        return ", ".join(named) + (f", and {more:,} more pairs" if more else "")

    @cached_property
    def _pair_rows(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        left, right = np.triu_indices(len(self.concepts), 1)
        return left, right

    @cached_property
    def _source_codes(self) -> Codes:
        codes: Codes = self._codes(np, self.source.reshape(1, -1))[:, 0]
        return codes

    @cached_property
    def _limit(self) -> Fraction:
        """The threshold as a fraction that integers can be compared with.

        An overlap is a fraction whose denominator is at most the number of atoms, so it is above
        the threshold just where it is above the largest such fraction that is not.
        """
        parts = range(1, len(self.atoms) + 1)
        below = (Fraction(p, q) for q in parts for p in range(q + 1) if p / q <= self.overlap)
        return max(below)

    def _codes(self, xp: Any, states: Any) -> Any:
        """Return a bit for each atom: uint16 [n, k], with candidates next to one another."""
        n, atoms = len(self.concepts), len(self.atoms)
        masks = states.astype(xp.uint16).reshape(len(states), n, atoms)
        codes = xp.zeros((len(states), n), xp.uint16)
        for atom in range(atoms):
            codes = codes | (masks[:, :, atom] << xp.uint16(atom))
        return codes.T.copy()

    def _pairs(self, xp: Any, codes: Any) -> tuple[Any, Any]:
        """Return the numbers of identical and of partly synonymous pairs: int32 [k] each."""
        left, right = (xp.asarray(rows) for rows in self._pair_rows)
        p, q = self._limit.as_integer_ratio()
        p, q = xp.uint8(p), xp.uint8(q)  # products are below 256, except for pairs of equal codes
        identical = xp.zeros(codes.shape[1], xp.int32)
        synonyms = xp.zeros(codes.shape[1], xp.int32)
        step = max(1, _COMPARED // max(1, codes.shape[1]))
        for start in range(0, len(left), step):
            one, other = codes[left[start : start + step]], codes[right[start : start + step]]
            same = one == other
            shared, either = xp.bitwise_count(one & other), xp.bitwise_count(one | other)
            near = (shared * q > either * p) & ~same
            identical = identical + same.sum(axis=0, dtype=xp.int32)
            synonyms = synonyms + near.sum(axis=0, dtype=xp.int32)
        return identical, synonyms
