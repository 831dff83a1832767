"""`Located`: a row of a store with its id, its text, and its file and position in the corpus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...storage.corpus.reading import texts_at
from ...storage.errors import CorpusChanged
from ...storage.store.reader import ResultsStore
from ..rendering.terminal import one_line

_MAX_SHOWN = 160  # characters of a text


@dataclass(frozen=True)
class Located:
    """A text and its location in the corpus."""

    row: int
    id: str
    file: str
    file_row: int  # counted from 0
    text: str


def located(store: ResultsStore, rows: Sequence[int]) -> list[Located]:
    """Look up rows in a store and its corpus.

    If the corpus cannot be read, each text is replaced by the reason: the results are still valid.
    """
    try:
        texts = texts_at(store.index, store.opener, rows)
        missing = ""
    except (CorpusChanged, OSError) as error:
        texts, missing = {}, f"(text not available: {error})"
    found = []
    for row in rows:
        file, file_row = store.index.locate(row)
        identity = str(np.asarray(store.arrays["id"][row]).item())
        found.append(Located(row, identity, file.name, file_row, texts.get(row) or missing))
    return found


def beginning(text: str) -> str:
    """Return a text on one line, shortened if it is long."""
    line = one_line(text)
    return line if len(line) <= _MAX_SHOWN else f"{line[: _MAX_SHOWN - 3]}..."
