"""Inputs on which a stage's blocks are tried: the first texts of a corpus, or of a store."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa

from ....graphs.block import ID, LENGTH, TEXT
from ....graphs.graph import Graph
from ....storage.corpus.corpus import Corpus
from ....storage.corpus.front import first_texts
from ....storage.corpus.index import CorpusIndex
from ....storage.corpus.opening import FileOpener
from ....storage.corpus.reading import texts_at
from ....storage.rows import Column, ColumnSelection
from ....storage.text import PackedText
from ...worker.graph_trial import ROWS, FirstInputs
from ...worker.values.inputs import Inputs, column_values, lengths, needs_text
from ...worker.values.stored import StoredValues

_ROWS_READ = 256
"""Number of rows of a store that are searched for valid ones."""


def of_corpus(corpus: Corpus, graph: Graph) -> FirstInputs | None:
    """Return the inputs of the first pass for the first texts; None if none can be read.

    No error is raised: a run reports what is wrong with its corpus when it counts the rows.
    """
    columns: dict[str, Column] = {}
    wanted = [name for name in graph.inputs if name not in (TEXT, LENGTH)]
    if wanted:
        with suppress(Exception):
            columns = _columns(corpus.index_of_front(ROWS)[0])
        named = [columns.get(name.removesuffix("_valid")) for name in wanted if name != ID]
        if None in named:
            return None
    others = tuple(dict.fromkeys(columns[name] for name in _arrays(wanted, columns)))
    selection = ColumnSelection(corpus.text, others, corpus.cleaning)
    texts = first_texts(corpus.files, corpus.storage_options, selection, ROWS)
    if texts is None:
        return None
    values: dict[str, Any] = {TEXT: texts.text, LENGTH: lengths(texts.text)}
    for name in wanted:
        if name == ID and ID not in columns:
            values[name] = np.arange(len(texts.text))
            continue
        array: pa.Array = texts.columns[columns[_array(name, columns)].name]
        known = column_values(array)
        values[name] = known[name not in columns]
    taken = {name: values[name] for name in graph.inputs}
    return FirstInputs(Inputs(taken, len(texts.text)), texts.places)


def _columns(index: CorpusIndex) -> dict[str, Column]:
    """Return the kept columns, and that of the ids, by the names of their arrays."""
    ids = {ID: index.id} if index.id else {}
    return {**ids, **{column.array: column for column in index.keep}}


def _array(name: str, columns: dict[str, Column]) -> str:
    return name if name in columns else name.removesuffix("_valid")


def _arrays(names: list[str], columns: dict[str, Column]) -> list[str]:
    return [_array(name, columns) for name in names if _array(name, columns) in columns]


def of_store(
    stored: StoredValues, index: CorpusIndex, opener: FileOpener, graph: Graph
) -> FirstInputs | None:
    """Return the inputs of a later pass for the first valid rows of a store; None if it has none.

    Raises
    ------
    StorageUnreachable, CorpusChanged
        The texts cannot be read.
    """
    loaded = stored.open().load(0, min(_ROWS_READ, index.rows))
    rows = np.flatnonzero(loaded.usable)[:ROWS]
    if not len(rows):
        return None
    values: dict[str, Any] = {name: array[rows] for name, array in loaded.values.items()}
    if needs_text(graph.inputs):
        read = texts_at(index, opener, rows.tolist())
        text = PackedText.from_strings([read.get(int(row)) or "" for row in rows])
        values |= {TEXT: text, LENGTH: lengths(text)}
    taken = {name: values[name] for name in graph.inputs if name in values}
    located = [index.locate(int(row)) for row in rows]
    places = tuple((file.url, file_row) for file, file_row in located)
    return FirstInputs(Inputs(taken, len(rows)), places)
