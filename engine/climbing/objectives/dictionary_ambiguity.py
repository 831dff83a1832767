"""`dictionary_ambiguity`: an objective, to decompose concepts into atoms with little ambiguity.

What is counted is in `decompositions`; where concepts and their source come from, in `concepts`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np

from ....storage.errors import UsageError
from ..objective import Objective
from ..spaces.masks import Masks
from .concepts import concepts_of, source_of
from .decompositions import MOST_ATOMS, Costs, Decompositions

ATOMS = (
    "MOUVEMENT",
    "COGNITION",
    "PERCEPTION",
    "COMMUNICATION",
    "CREATION",
    "EMOTION",
    "EXISTENCE",
    "DESTRUCTION",
    "POSSESSION",
    "DOMINATION",
)
"""The ten atoms."""


def dictionary_ambiguity(
    concepts: str | PathLike[str] | Sequence[str] | Any = None,
    *,
    atoms: Sequence[str] = ATOMS,
    source: Any = None,
    overlap: float = 0.6,
    identical: int = 4,
    synonyms: int = 2,
    closeness: int = 1,
    empty: int = 8,
) -> Objective:
    """Return the objective that tells concepts apart by their atoms, close to a source.

    A candidate is a mask of concepts × atoms. Its score is at most 0:

        −(identical · I + synonyms · S + closeness · D + empty · E) / n

    with n concepts, I pairs of them that have the same atoms, S other pairs whose Jaccard overlap
    (atoms that both have, of those that either has) is above `overlap`, D memberships that differ
    from the source, and E concepts without an atom.

    Parameters
    ----------
    concepts : path, list or column of str, optional
        The 61 primitives of `nsm` by default. A JSON file holds a list of objects with ``name``
        and, if you like, ``category`` and ``atoms``, a list. A column is one of pandas, Arrow,
        Polars or NumPy.
    atoms : sequence of str
        At most 16 names.
    source : array [n, a] or mapping, optional
        The decompositions to stay close to: zeros and ones, or the atoms of each concept by its
        name. What is not given is taken from ``atoms`` in the file. Failing that, a concept starts
        with three or four atoms: those that `OF_CATEGORY` has for its category, and others chosen
        by SHA-256 of its name. That is somewhere to start, and no claim about the language.
    overlap : float
        In [0, 1].
    identical, synonyms, closeness, empty : int
        Costs, at least 0. With the default ones, two changes pay for one pair of partial synonyms.

    Returns
    -------
    Objective
        With its space, and the source as its start. It takes ``[k, n · a]``, concept by concept,
        and returns float64 [k], in the same bits for any k.

    Raises
    ------
    CorpusNotFound
        The file does not exist.
    UsageError
        A concept has no name or stands twice, or another argument is not as described.

    Examples
    --------
    >>> of = dictionary_ambiguity(["river", "sea"], source=[[1, 1, 0], [1, 1, 0]], atoms="abc")
    >>> of.space.names[:4]
    ('river/a', 'river/b', 'river/c', 'sea/a')
    >>> of(np.array([[1, 1, 0, 1, 1, 0], [1, 1, 0, 1, 1, 1], [1, 1, 0, 1, 0, 1]])).tolist()
    [-2.0, -1.5, -1.0]
    """
    atoms = _atoms(atoms)
    if not (isinstance(overlap, int | float) and 0 <= overlap <= 1):
        raise UsageError(f"overlap must be between 0 and 1, not {overlap!r}")
    costs = Costs(identical, synonyms, closeness, empty)
    _check_costs(costs)
    found = concepts_of(concepts)
    problem = Decompositions(
        concepts=tuple(one.name for one in found),
        atoms=atoms,
        source=source_of(found, atoms, source),
        overlap=float(overlap),
        costs=costs,
    )
    space = Masks([f"{concept}/{atom}" for concept in problem.concepts for atom in atoms])
    return Objective(
        name="dictionary_ambiguity",
        function=problem.scores,
        vectorized=True,
        identity=_identity(problem),
        space=space,
        start=space.check(problem.source.ravel().astype(space.dtype)),
        judge=problem.judge,
    )


def _atoms(given: Sequence[str]) -> tuple[str, ...]:
    atoms = tuple(given)
    if not all(isinstance(atom, str) and atom for atom in atoms) or len(set(atoms)) < len(atoms):
        raise UsageError(f"atoms must be distinct names, not {given!r}")
    if not 1 <= len(atoms) <= MOST_ATOMS:
        raise UsageError(f"there may be 1 to {MOST_ATOMS} atoms, not {len(atoms)}")
    return atoms


def _check_costs(costs: Costs) -> None:
    for name, value in costs._asdict().items():
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 1_000_000:
            raise UsageError(f"{name} must be a whole number from 0 to 1,000,000, not {value!r}")


def _identity(problem: Decompositions) -> Mapping[str, Any]:
    """Return what the scores depend on; names and source as a digest, for they may be many."""
    digest = hashlib.sha256("\0".join(problem.concepts).encode("utf-8", "surrogatepass"))
    digest.update(np.packbits(problem.source).tobytes())
    return {
        "objective": "dictionary_ambiguity 1",
        "concepts": len(problem.concepts),
        "atoms": list(problem.atoms),
        "digest": digest.hexdigest(),
        "overlap": problem.overlap,
        "costs": problem.costs._asdict(),
    }
