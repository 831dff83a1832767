"""Rows of a store as texts: whose they are, where they stand, and what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...storage.corpus.index import CorpusIndex
from ...storage.corpus.opening import FileOpener
from ...storage.corpus.reading import texts_at
from ...storage.errors import CorpusChanged
from ...storage.store.dataset import StoredArrays


@dataclass(frozen=True)
class Located:
    """A text, and where it stands."""

    row: int
    id: str
    file: str
    file_row: int  # from 0
    text: str


def located(
    index: CorpusIndex,
    arrays: StoredArrays,
    rows: Sequence[int],
    storage_options: Mapping[str, Any] | None = None,
) -> list[Located]:
    """Look rows up in a store and its corpus; where that is gone, the reason is in a text's place.

    The results are as good as they were, whatever became of the corpus.
    """
    try:
        texts = texts_at(index, FileOpener(storage_options), rows)
        missing = ""
    except (CorpusChanged, OSError) as error:
        texts, missing = {}, f"(text not available: {error})"
    found = []
    for row in rows:
        file, file_row = index.locate(row)
        identity = str(np.asarray(arrays["id"][row]).item())
        found.append(Located(row, identity, file.name, file_row, texts.get(row) or missing))
    return found
