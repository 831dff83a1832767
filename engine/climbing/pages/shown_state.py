"""`shown_state`: a state in words, by the names that its space gives to its dimensions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...report.wording import number

MOST_ROWS = 200
"""Maximum number of rows of a part of a state that are shown."""

_IN_A_LINE = 24  # numbers of a state that stands in one line
_MOST_MEMBERS = 60


@dataclass(frozen=True)
class Part:
    """A component of a state, or all of it.

    Attributes
    ----------
    name : str
        Of the component; empty for a state that has none.
    headings : tuple of str
        Of the two columns of `rows`.
    rows : tuple of (str, str)
    left_out : int
        Rows beyond `MOST_ROWS`.
    """

    name: str
    headings: tuple[str, str]
    rows: tuple[tuple[str, str], ...]
    left_out: int


def shown_state(space: Mapping[str, Any], state: Mapping[str, Sequence[Any]]) -> list[Part]:
    """Return the parts of a state.

    Parameters
    ----------
    space : mapping
        What `Space.describe` returns.
    state : mapping of str to sequence of numbers
        By column, as the history keeps it.

    Examples
    --------
    >>> space = {"kind": "masks", "names": ["river/a", "river/b", "sea/a", "sea/b"]}
    >>> shown_state(space, {"state": [1, 1, 0, 0]})[0].rows
    (('river', 'a, b'), ('sea', 'none'))
    """
    return [
        _part(name if space["kind"] == "product" else "", _described(space, name), list(values))
        for name, values in state.items()
    ]


def in_one_line(state: Mapping[str, Sequence[Any]]) -> str:
    """Return the numbers of a state in one line, abridged.

    >>> in_one_line({"state": [1, 0, 1]}), in_one_line({"weights": [0.25], "taken": [1, 0]})
    ('1 0 1', 'weights: 0.25; taken: 1 0')
    """
    single = set(state) == {"state"}
    lines = {
        name: " ".join(number(float(one)) for one in values[:_IN_A_LINE])
        + (f" … and {len(values) - _IN_A_LINE:,} more" if len(values) > _IN_A_LINE else "")
        for name, values in state.items()
    }
    return lines["state"] if single else "; ".join(f"{name}: {one}" for name, one in lines.items())


def _described(space: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    if space["kind"] != "product":
        return space
    found: Mapping[str, Any] = dict(space["components"])[name]
    return found


def _part(name: str, space: Mapping[str, Any], values: Sequence[Any]) -> Part:
    names = space.get("names") or [str(at) for at in range(len(values))]
    headings, rows = _rows(str(space["kind"]), names, values)
    return Part(name, headings, tuple(rows[:MOST_ROWS]), max(0, len(rows) - MOST_ROWS))


def _rows(
    kind: str, names: Sequence[str], values: Sequence[Any]
) -> tuple[tuple[str, str], Sequence[tuple[str, str]]]:
    if kind == "masks" and all("/" in name for name in names):
        return ("concept", "decomposition"), _decompositions(names, values)
    if kind == "masks":
        taken = [name for name, value in zip(names, values, strict=True) if value]
        return ("taken", "dimensions"), [(f"{len(taken):,} of {len(names):,}", _members(taken))]
    if kind == "permutations":
        places = [(f"{place:,}", names[int(one)]) for place, one in enumerate(values, 1)]
        return ("place", "what is there"), places
    known = zip(names, values, strict=True)
    return ("dimension", "value"), [(name, number(float(value))) for name, value in known]


def _decompositions(names: Sequence[str], values: Sequence[Any]) -> list[tuple[str, str]]:
    """Return the atoms of each concept, of names such as ``concept/atom``."""
    atoms: dict[str, list[str]] = {}
    for name, value in zip(names, values, strict=True):
        concept, _, atom = name.rpartition("/")
        atoms.setdefault(concept, []).extend([atom] if value else [])
    return [(concept, _members(own)) for concept, own in atoms.items()]


def _members(names: Iterable[str]) -> str:
    every = list(names)
    more = len(every) - _MOST_MEMBERS
    rest = f" and {more:,} more" if more > 0 else ""
    return (", ".join(every[:_MOST_MEMBERS]) or "none") + rest
