"""The concepts of a dictionary, and the atoms that each begins with.

`concepts_of` reads them from the engine's primitives, a JSON file, or a column; `source_of` decides
what a decomposition is close to.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ....graphs.user_functions.unfit import is_missing
from ....storage.errors import CorpusNotFound, UsageError
from ....storage.messages.names import did_you_mean, quoted
from ...nsm.material import Material
from .items import items_of

Bools = npt.NDArray[np.bool_]

OF_CATEGORY: Mapping[str, tuple[str, ...]] = {
    "SUBSTANTIFS": ("EXISTENCE",),
    "DETERMINANTS": ("PERCEPTION", "COGNITION"),
    "QUANTIFICATEURS": ("COGNITION", "POSSESSION"),
    "ATTRIBUTS": ("PERCEPTION", "EMOTION"),
    "MENTAUX": ("COGNITION",),
    "PAROLE": ("COMMUNICATION",),
    "ACTIONS": ("MOUVEMENT",),
    "EXISTENCE": ("EXISTENCE",),
    "LOGIQUE": ("COGNITION",),
    "AUGMENTEURS": ("MOUVEMENT", "PERCEPTION"),
    "TEMPS": ("MOUVEMENT", "EXISTENCE"),
    "INTENSIFICATEURS": ("EMOTION", "DOMINATION"),
}
"""Atoms that a concept of a category has if no source is given."""

_LEAST, _SIZES = 3, 2  # such a source has three or four atoms per concept


@dataclass(frozen=True)
class Concept:
    """A concept: its name, its category if it has one, and its atoms if they are given."""

    name: str
    category: str = ""
    atoms: tuple[str, ...] | None = None


def concepts_of(given: Any = None) -> tuple[Concept, ...]:
    """Return concepts.

    Parameters
    ----------
    given : path or column of str, optional
        See `dictionary_ambiguity`.

    Raises
    ------
    CorpusNotFound
        The file does not exist.
    UsageError
        The file is not as described, a name is missing or empty, or one stands twice.

    Examples
    --------
    >>> concepts_of()[0]
    Concept(name='JE', category='SUBSTANTIFS', atoms=None)
    >>> concepts_of(["river", "sea"])[1].name
    'sea'
    """
    if given is None:
        found = [Concept(one.name, one.category) for one in Material.load().primitives]
    elif isinstance(given, str | PathLike):
        found = [_of_row(fspath(given), at, row) for at, row in enumerate(_rows(given))]
    else:
        found = [Concept(name) for name in _names(given)]
    first: dict[str, int] = {}
    for at, one in enumerate(found):
        if one.name in first:
            raise UsageError(
                f"the concept {quoted(one.name)} stands twice, at {first[one.name]:,} and {at:,}; "
                "give each once: list(dict.fromkeys(column))"
            )
        first[one.name] = at
    if len(found) < 2:
        raise UsageError(f"a dictionary has at least two concepts, and {len(found)} was given")
    return tuple(found)


def source_of(
    concepts: Sequence[Concept], atoms: Sequence[str], given: Any = None
) -> npt.NDArray[np.bool_]:
    """Return which atoms each concept has in the source: bool [n, a].

    Parameters
    ----------
    given : array or mapping, optional
        See `dictionary_ambiguity`.

    Raises
    ------
    UsageError
        The array has another shape or other values than 0 and 1; or a concept or an atom is
        unknown.

    Examples
    --------
    >>> source_of(concepts_of(["river", "sea"]), ["MOVE", "FEEL"], {"sea": ["FEEL"], "river": []})
    array([[False, False],
           [False,  True]])
    """
    if given is not None and not isinstance(given, Mapping):
        return _of_array(given, (len(concepts), len(atoms)))
    listed = dict(given or {})
    names = {one.name for one in concepts}
    for name in listed:
        if name not in names:
            raise UsageError(
                f"source has {name!r}, which is not a concept{did_you_mean(str(name), names)}"
            )
    found = np.zeros((len(concepts), len(atoms)), bool)
    for row, one in enumerate(concepts):
        own = listed.get(one.name, one.atoms)
        chosen = _first_atoms(one, atoms) if own is None else own
        for atom in chosen:
            if atom not in atoms:
                raise UsageError(
                    f"the concept {quoted(one.name)} has the atom {atom!r}, which is not one of: "
                    f"{', '.join(atoms)}"
                )
            found[row, atoms.index(atom)] = True
    return found


def _first_atoms(concept: Concept, atoms: Sequence[str]) -> list[str]:
    """Return the atoms of the concept's category, and others in the order of hashes."""
    size = _LEAST + _hash(concept.name)[0] % _SIZES
    known = [atom for atom in OF_CATEGORY.get(concept.category, ()) if atom in atoms]
    others = sorted(set(atoms) - set(known), key=lambda atom: _hash(f"{concept.name}::{atom}"))
    return [*known, *others][:size]


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _of_array(given: Any, shape: tuple[int, int]) -> Bools:
    array = np.asarray(given)
    if array.shape != shape:
        raise UsageError(
            f"source has the shape {array.shape}; {shape[0]:,} concepts and {shape[1]} atoms need "
            f"{shape}"
        )
    if array.dtype.kind not in "biuf" or not np.isin(array, (0, 1)).all():
        raise UsageError("source must hold 0 and 1 only: whether a concept has an atom")
    return array.astype(bool)


def _rows(path: str | PathLike[str]) -> list[Any]:
    where = fspath(path)
    try:
        rows = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise CorpusNotFound(
            f"{where} does not exist; concepts is a JSON file, or a list of names"
        ) from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{where} could not be read as JSON: {error}") from error
    if not isinstance(rows, list):
        raise UsageError(f"{where} must hold a list of objects with 'name', one per concept")
    return rows


def _of_row(where: str, at: int, row: Any) -> Concept:
    row = {"name": row} if isinstance(row, str) else row
    if not isinstance(row, dict):
        raise UsageError(f"{where}, concept {at}: must be an object with 'name', not {row!r}")
    atoms = row.get("atoms")
    if atoms is not None and not (
        isinstance(atoms, list) and all(isinstance(atom, str) for atom in atoms)
    ):
        raise UsageError(f"{where}, concept {at}: 'atoms' must be a list of names, not {atoms!r}")
    name, category = _name(row.get("name"), f"{where}, concept {at}"), row.get("category", "")
    return Concept(name, str(category), None if atoms is None else tuple(atoms))


def _names(column: Any) -> list[str]:
    items = items_of(column)
    if items is None:
        raise UsageError(
            f"concepts must be a path, or a list or column of names, not {type(column).__name__}"
        )
    return [_name(one, f"concept {at:,}") for at, one in enumerate(items)]


def _name(value: Any, at: str) -> str:
    if is_missing(value) or (isinstance(value, str) and not value.strip()):
        raise UsageError(f"{at} has no name; leave it out")
    if not isinstance(value, str):
        raise UsageError(f"{at}: a name is a string, not {value!r}")
    return value
