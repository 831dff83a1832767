"""Anchor words of the dhātus: what each of them means, from a file that users may change.

The default ones are in ``anchors.toml``, in English, French and Sanskrit.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from ...storage.errors import GraphError
from ...storage.messages.names import listed

Anchors = dict[str, dict[str, list[str]]]
"""Words, by dhātu and language."""

Given = str | os.PathLike[str] | Mapping[str, Any]

_FILE = "anchors.toml"


def read_anchors(given: Given | None, languages: Sequence[str] | None = None) -> Anchors:
    """Return the anchor words of each dhātu, by language.

    Parameters
    ----------
    given : path or mapping, optional
        A TOML or JSON file, or what it holds: for each dhātu a table with a list of words per
        language. By default the nine dhātus in English, French and Sanskrit.
    languages : sequence of str, optional
        Use only the words of these languages. By default all.

    Raises
    ------
    GraphError
        The file is missing or not of this form, a word is under two dhātus, or a dhātu has no
        words in a language.

    Examples
    --------
    >>> list(read_anchors(None)["FEEL"]), read_anchors(None)["FEEL"]["fr"][3]
    (['en', 'fr', 'sa'], 'joie')
    """
    what = "the anchors" if given is None or isinstance(given, Mapping) else os.fspath(given)
    found = _checked(_read(given), what)
    known = list(dict.fromkeys(one for words in found.values() for one in words))
    if isinstance(languages, str):
        raise GraphError(f"languages must be a list, such as [{languages!r}]")
    for language in languages if languages is not None else known:
        lacking = [dhatu for dhatu, words in found.items() if language not in words]
        if lacking:
            raise GraphError(
                f"{what}: {lacking[0]} has no words in the language {language!r}; languages there "
                f"are: {listed(known)}. Each dhātu needs words in the same languages"
            )
    chosen = known if languages is None else list(dict.fromkeys(languages))
    if not chosen:
        raise GraphError(f"languages must name one or more of {listed(known)}")
    return {dhatu: {one: words[one] for one in chosen} for dhatu, words in found.items()}


def _read(given: Given | None) -> Any:
    if isinstance(given, Mapping):
        return given
    if given is None:
        return tomllib.loads(resources.files(__package__).joinpath(_FILE).read_text("utf-8"))
    path = Path(given)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GraphError(f"the anchors cannot be read: {error}") from error
    try:
        return json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except ValueError as error:
        raise GraphError(f"{path} is not valid TOML or JSON: {error}") from error


def _checked(given: Any, what: str) -> Anchors:
    """Return anchors of the right form, with words stripped of spaces around them."""
    if not isinstance(given, Mapping) or len(given) < 2:
        raise GraphError(f"{what}: there must be two or more dhātus, each with words by language")
    found: Anchors = {}
    home: dict[str, str] = {}
    for dhatu, languages in given.items():
        if not isinstance(languages, Mapping) or not languages:
            raise GraphError(
                f"{what}: {dhatu} must be a table with a list of words per language, such as "
                'en = ["joy", "fear"]'
            )
        found[str(dhatu)] = {}
        for language, words in languages.items():
            if not isinstance(words, list | tuple) or not words:
                raise GraphError(f"{what}: {dhatu}, {language}: give a list of words")
            odd = [one for one in words if not isinstance(one, str) or not one.strip()]
            if odd:
                raise GraphError(f"{what}: {dhatu}, {language}: {odd[0]!r} is not a word")
            found[str(dhatu)][str(language)] = [one.strip() for one in words]
            for word in found[str(dhatu)][str(language)]:
                if home.setdefault(word, str(dhatu)) != dhatu:
                    raise GraphError(
                        f"{what}: {word!r} is under {home[word]} and {dhatu}; keep it under one"
                    )
    return found
