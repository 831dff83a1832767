"""The corpus of the experiments: every primitive in every language, and the sentences.

It is written as JSON Lines beside the store, so that `verify` and others find its texts. Columns:
``id``, ``text``, and the kept ones ``kind``, ``name``, ``category``, ``isotopy`` and ``lang``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...storage.corpus.corpus import Corpus
from ...storage.corpus.open_corpus import open_corpus
from ...storage.errors import StorageRefused, UsageError
from .material import Material

KEPT = ("kind", "name", "category", "isotopy", "lang")
"""Columns that are stored with the results."""


def primitive_id(name: str, language: str) -> str:
    """Return the id of a primitive's text in one language."""
    return f"{language}/{name}"


def sentence_id(ident: str) -> str:
    """Return the id of a sentence's text."""
    return f"sentence/{ident}"


def rows(material: Material, languages: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yield the rows of the corpus: the primitives in the order of the languages, the sentences.

    >>> [row["id"] for row in rows(Material.load(), ["sa"])][60:62]
    ['sa/TOUT_LE', 'sentence/0']
    """
    for language in languages:
        for one in material.primitives:
            yield {
                "id": primitive_id(one.name, language),
                "text": one.forms[language],
                "kind": "primitive",
                "name": one.name,
                "category": one.category,
                "isotopy": "",
                "lang": language,
            }
    for sentence in material.sentences:
        yield {
            "id": sentence_id(sentence.id),
            "text": sentence.text,
            "kind": "sentence",
            "name": "",
            "category": "",
            "isotopy": sentence.isotopy,
            "lang": "fr",
        }


def write_corpus(path: Path, material: Material, languages: Sequence[str]) -> Corpus:
    """Write the corpus to a file and open it. A file that holds it already is left as it is.

    Raises
    ------
    UsageError
        The file exists and is not such a corpus.
    StorageRefused
        It could not be written.
    """
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows(material, languages))
    data = "".join(lines).encode()
    if path.exists() and path.read_bytes() == data:
        return _opened(path)
    if path.exists() and not _is_ours(path):
        raise UsageError(
            f"{path} exists and is not the corpus of an experiment; give another name for the "
            "results, or remove the file"
        )
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageRefused(f"the corpus could not be written to {path}: {error}") from error
    return _opened(path)


def _opened(path: Path) -> Corpus:
    return open_corpus(path, id="id", keep=list(KEPT))


def _is_ours(path: Path) -> bool:
    """Return whether a file begins with a row of such a corpus."""
    with path.open("rb") as file:
        first = file.readline(1 << 16)
    try:
        row = json.loads(first)
    except ValueError:
        return False
    return isinstance(row, dict) and set(row) == {"id", "text", *KEPT}
