"""`Material`: the primitives, squares and sentences of the experiments, built in or the user's own.

The files that come with the engine are in this folder: 61 primitives with their French and Sanskrit
forms as in the research project, 20 squares, and 105 French sentences in seven isotopies.
`forms.json` adds French forms with accents and English forms.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from ...storage.errors import CorpusNotFound, UsageError
from ...storage.messages.names import did_you_mean, quoted

LANGUAGES = {"fr": "french", "fr-accents": "french_accents", "en": "english", "sa": "sanskrit"}
"""Name of a set of forms, and its key in a file of primitives."""

CORNERS = ("S1", "S2", "non_S1", "non_S2")
"""Keys of a square: two contraries, and the contradictory of each."""

AnyPath = str | PathLike[str]


@dataclass(frozen=True)
class Primitive:
    """A primitive of the Natural Semantic Metalanguage."""

    name: str
    category: str
    forms: Mapping[str, str]  # language to form


@dataclass(frozen=True)
class Square:
    """A semiotic square: the names of four primitives, in the order of `CORNERS`."""

    name: str
    corners: tuple[str, ...]


@dataclass(frozen=True)
class Sentence:
    """A sentence, and the isotopy that it was written for."""

    id: str
    text: str
    isotopy: str


@dataclass(frozen=True)
class Material:
    """What the experiments are about."""

    primitives: tuple[Primitive, ...]
    squares: tuple[Square, ...]
    sentences: tuple[Sentence, ...]

    @classmethod
    def load(
        cls,
        primitives: AnyPath | None = None,
        squares: AnyPath | None = None,
        sentences: AnyPath | None = None,
    ) -> Material:
        """Read and check the three files; the engine's own for those that are None.

        Parameters
        ----------
        primitives : str or path, optional
            JSON: a list of objects with ``name``, ``category`` and at least one of ``french``,
            ``french_accents``, ``english`` and ``sanskrit``.
        squares : str or path, optional
            JSON: an object, whose values have ``S1``, ``S2``, ``non_S1`` and ``non_S2``, each the
            name of a primitive.
        sentences : str or path, optional
            JSON Lines: objects with ``id``, ``isotopy`` and ``text``.

        Raises
        ------
        CorpusNotFound
            A file does not exist.
        UsageError
            A file is not as described, has a name twice, or a square refers to no primitive.

        Examples
        --------
        >>> own = Material.load()
        >>> len(own.primitives), len(own.squares), len(own.sentences)
        (61, 20, 105)
        >>> own.primitives[0].forms
        {'fr': 'je', 'fr-accents': 'je', 'en': 'I', 'sa': 'aham'}
        """
        found = _primitives(*_json("primitives.json", primitives), own=primitives is not None)
        names = {one.name for one in found}
        where, listed = _json("semiotic-squares.json", squares)
        return cls(found, _squares(where, listed, names), _sentences(sentences))

    def require_forms(self, languages: Iterable[str]) -> None:
        """Raise `UsageError` unless every primitive has a form in each of the languages."""
        for language in languages:
            if language not in LANGUAGES:
                raise UsageError(
                    f"no forms in the language {quoted(language)}; there are: "
                    f"{', '.join(LANGUAGES)}"
                )
            for one in self.primitives:
                if language not in one.forms:
                    raise UsageError(
                        f"the primitive {quoted(one.name)} has no form for {language!r}; add "
                        f"{LANGUAGES[language]!r} to its object in the file of primitives"
                    )

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories of the primitives, in order of appearance."""
        return tuple(dict.fromkeys(one.category for one in self.primitives))

    @property
    def isotopies(self) -> tuple[str, ...]:
        """The isotopies of the sentences, in order of appearance."""
        return tuple(dict.fromkeys(one.isotopy for one in self.sentences))


def _read(name: str, path: AnyPath | None) -> tuple[str, str]:
    """Return the name and the text of a file: the user's, or the engine's own."""
    if path is None:
        return name, files(__package__).joinpath(name).read_text(encoding="utf-8")
    try:
        return fspath(path), Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise CorpusNotFound(f"{fspath(path)} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{fspath(path)} could not be read: {error}") from error


def _json(name: str, path: AnyPath | None) -> tuple[str, Any]:
    where, text = _read(name, path)
    try:
        return where, json.loads(text)
    except ValueError as error:
        raise UsageError(f"{where} is not valid JSON: {error}") from None


def _primitives(where: str, rows: Any, *, own: bool) -> tuple[Primitive, ...]:
    if not isinstance(rows, list):
        raise UsageError(f"{where} must hold a list of objects, one per primitive")
    added: Mapping[str, Mapping[str, str]] = {} if own else _json("forms.json", None)[1]
    found = []
    for number, row in enumerate(rows):
        at = f"{where}, primitive {number}"
        name, category = _text(at, row, "name"), _text(at, row, "category")
        known = {**row, **added.get(name, {})}
        forms = {
            language: _text(at, known, key) for language, key in LANGUAGES.items() if key in known
        }
        if not forms:
            raise UsageError(f"{at} ({quoted(name)}) has no form: give {_either()}")
        found.append(Primitive(name, category, forms))
    _require_unique(where, "name", [one.name for one in found])
    if len({one.category for one in found}) < 2:
        raise UsageError(f"{where}: the primitives must be of at least two categories")
    return tuple(found)


def _either() -> str:
    *most, last = LANGUAGES.values()
    return f"{', '.join(most)} or {last}"


def _squares(where: str, named: Any, names: set[str]) -> tuple[Square, ...]:
    if not isinstance(named, dict) or not named:
        raise UsageError(f"{where} must hold an object: names of squares, and their corners")
    found = []
    for name, row in named.items():
        at = f"{where}, square {quoted(name)}"
        corners = tuple(_text(at, row, corner) for corner in CORNERS)
        for corner, primitive in zip(CORNERS, corners, strict=True):
            if primitive not in names:
                raise UsageError(
                    f"{at}: {corner} is {quoted(primitive)}, which is not a primitive"
                    f"{did_you_mean(primitive, sorted(names))}"
                )
        if len(set(corners)) < len(corners):
            raise UsageError(f"{at} has a primitive in two corners")
        found.append(Square(name, corners))
    return tuple(found)


def _sentences(path: AnyPath | None) -> tuple[Sentence, ...]:
    where, text = _read("isotopies.jsonl", path)
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        at = f"{where}, line {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UsageError(f"{at} is not valid JSON: {error}") from None
        if isinstance(row, dict) and isinstance(row.get("id"), int):
            row = {**row, "id": str(row["id"])}
        found.append(Sentence(*(_text(at, row, key) for key in ("id", "text", "isotopy"))))
    _require_unique(where, "id", [one.id for one in found])
    if len({one.isotopy for one in found}) < 2:
        raise UsageError(f"{where}: the sentences must be of at least two isotopies")
    return tuple(found)


def _text(at: str, row: Any, key: str) -> str:
    value = row.get(key) if isinstance(row, dict) else None
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{at}: {key!r} must be a text that is not empty, not {value!r}")
    return value


def _require_unique(where: str, what: str, values: list[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise UsageError(f"{where}: the {what} {quoted(value)} stands twice")
        seen.add(value)
