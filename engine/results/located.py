"""`Located`: a row of a store with its id, its text, and its file and position in the corpus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from ...storage.corpus.reading import texts_at
from ...storage.errors import StorageUnreachable
from ...storage.rows import SourceFile
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

    If a file cannot be read, its texts are replaced by the reason: the results are still valid.
    """
    places = {row: store.index.locate(row) for row in rows}
    texts = _texts(store, places)
    found = []
    for row, (file, file_row) in places.items():
        identity = str(np.asarray(store.arrays["id"][row]).item())
        found.append(Located(row, identity, file.name, file_row, texts.get(row) or ""))
    return found


def _texts(
    store: ResultsStore, places: Mapping[int, tuple[SourceFile, int]]
) -> dict[int, str | None]:
    """Return the texts of some rows, or why they are not available."""
    texts: dict[int, str | None] = {}
    unreachable: StorageUnreachable | None = None
    for _, group in groupby(sorted(places), key=lambda row: places[row][0].url):
        rows = list(group)
        try:
            if unreachable:  # it was waited for already
                raise unreachable
            texts |= texts_at(store.index, store.opener, rows)
        except OSError as error:
            unreachable = error if isinstance(error, StorageUnreachable) else unreachable
            texts |= dict.fromkeys(rows, f"(text not available: {error})")
    return texts


def beginning(text: str) -> str:
    """Return a text on one line, shortened if it is long."""
    line = one_line(text)
    return line if len(line) <= _MAX_SHOWN else f"{line[: _MAX_SHOWN - 3]}..."
