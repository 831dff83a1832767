"""The columns of an export: what each is called, and how its values are made of a piece."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ....storage.corpus.index import CorpusIndex
from ....storage.errors import ColumnNotFound
from ....storage.field import STRING, Field
from ....storage.rows import ARROW_KINDS, Column
from ....storage.store.dataset import StoredArrays
from ....storage.store.duplicates import DIGEST, mark_fields
from .rows import Piece

OF_THE_CORPUS, OF_THE_RESULTS = "_corpus", "_result"
"""What a column's name ends in whose own name is taken, by where it comes from."""


@dataclass(frozen=True)
class OutputColumn:
    """One column of an export."""

    name: str
    group: str  # the field that it is a part of, or its name: both choose it
    type: pa.DataType
    values: Callable[[Piece], pa.Array]
    arrays: tuple[str, ...] = ()  # of the store, that it is made of where the corpus is not read
    column: Column | None = None  # of the corpus, that it is made of where that is read
    only_in_corpus: bool = False  # the store does not have it


def output_columns(
    index: CorpusIndex,
    computed: Sequence[Field],
    own: Sequence[Column],
    arrays: StoredArrays,
    text: bool,
) -> list[OutputColumn]:
    """Return every column there is: id, text, the corpus's own, the fields, valid and reason.

    Names are given to id, text, valid and reason first, then to the fields, then to the corpus's
    own columns; one whose name is taken by then gets an ending that says where it is from.

    Parameters
    ----------
    computed : sequence of Field
        What the graph computed.
    own : sequence of Column
        The corpus's own columns, but text and id.
    text : bool
        Whether the text is among them.
    """
    taken: set[str] = {"id", "text", "valid", "reason"}
    kept = {column.name for column in index.keep}
    fields = [
        column
        for field in (*computed, *mark_fields(index.cleaning))
        for column in _of_field(field, arrays, taken)
    ]
    corpus = [_of_corpus(column, column.name in kept, taken) for column in own]
    texts = [OutputColumn("text", "text", pa.large_string(), _text, only_in_corpus=True)]
    return [
        _identity(index.id),
        *(texts if text else []),
        *corpus,
        *fields,
        OutputColumn("valid", "valid", pa.bool_(), lambda piece: pa.array(piece.valid)),
        OutputColumn("reason", "reason", pa.string(), lambda piece: piece.reasons),
    ]


def chosen(columns: Sequence[OutputColumn], names: Sequence[str]) -> list[OutputColumn]:
    """Return the columns that names choose, in the order of the names.

    Raises
    ------
    ColumnNotFound
        There is no such column.
    """
    found: dict[str, OutputColumn] = {}
    for name in names:
        of_name = _called(columns, name)
        if not of_name:
            there = ", ".join(dict.fromkeys(one.group for one in columns))
            raise ColumnNotFound(f"no column {name!r} to export; there are: {there}")
        found |= {one.name: one for one in of_name}
    return list(found.values())


def names_are_in(columns: Sequence[OutputColumn], names: Sequence[str]) -> bool:
    """Whether every name chooses one of the columns."""
    return all(_called(columns, name) for name in names)


def _called(columns: Sequence[OutputColumn], name: str) -> list[OutputColumn]:
    exactly = [one for one in columns if one.name == name]
    return exactly or [one for one in columns if one.group == name]


def _free(name: str, ending: str, taken: set[str]) -> str:
    while name in taken:
        name += ending
    taken.add(name)
    return name


def _identity(column: Column | None) -> OutputColumn:
    if column is None:  # a text's id is its row number, also where it is not computed yet
        return OutputColumn("id", "id", pa.int64(), lambda p: pa.array(np.arange(p.start, p.stop)))
    values = partial(_own, column, "id")
    return OutputColumn("id", "id", ARROW_KINDS[column.kind], values, ("id", "id_valid"), column)


def _of_corpus(column: Column, kept: bool, taken: set[str]) -> OutputColumn:
    name = _free(column.name, OF_THE_CORPUS, taken)
    values = partial(_own, column, column.array)
    stored = (column.array, f"{column.array}_valid") if kept else ()
    return OutputColumn(name, name, ARROW_KINDS[column.kind], values, stored, column, not kept)


def _of_field(field: Field, arrays: StoredArrays, taken: set[str]) -> list[OutputColumn]:
    group = _free(field.name, OF_THE_RESULTS, taken)
    if (field.name, field.dtype, field.shape) == (DIGEST, "uint8", (32,)):
        return [OutputColumn(group, group, pa.string(), partial(_hex, field.name), (field.name,))]
    type_ = pa.string() if field.dtype == STRING else pa.from_numpy_dtype(field.dtype)
    type_ = pa.float32() if type_ == pa.float16() else type_  # which CSV does not know
    found = []
    for at, label in enumerate(_labels(field, arrays)):
        name = _free(f"{group}_{label}", OF_THE_RESULTS, taken) if label else group
        values = partial(_value, field.name, at, type_)
        found.append(OutputColumn(name, group, type_, values, (field.name,)))
    return found


def _labels(field: Field, arrays: StoredArrays) -> list[str]:
    """Return what every position of a field's value is called: by labels, or numbers, joined."""
    labels = [
        arrays.labels(dim) or [str(number) for number in range(length)]
        for dim, length in zip(field.dims or (), field.shape, strict=True)
    ]
    return ["_".join(one) for one in product(*labels)]


def _text(piece: Piece) -> pa.Array:
    assert piece.rows is not None
    return piece.rows.text.cast(pa.large_string())


def _own(column: Column, array: str, piece: Piece) -> pa.Array:
    if piece.rows is not None:
        return piece.rows.columns[column.name]
    return _known(piece.stored[array], piece.stored[f"{array}_valid"], ARROW_KINDS[column.kind])


def _value(name: str, at: int, type_: pa.DataType, piece: Piece) -> pa.Array:
    values = piece.stored[name].reshape(len(piece.valid), -1)
    return _known(values[:, at], piece.valid, type_)


def _hex(name: str, piece: Piece) -> pa.Array:
    whole = np.ascontiguousarray(piece.stored[name]).tobytes().hex()
    digests = [whole[64 * row : 64 * row + 64] for row in range(piece.stop - piece.start)]
    return _known(np.array(digests, object), piece.valid, pa.string())


def _known(values: npt.NDArray[Any], known: npt.NDArray[np.bool_], type_: pa.DataType) -> pa.Array:
    """Return values as Arrow has them, null where they are not known."""
    if type_ == pa.string():
        pairs = zip(values.tolist(), known.tolist(), strict=True)
        return pa.array([value if is_known else None for value, is_known in pairs], type_)
    return pa.array(np.ascontiguousarray(values), mask=~known).cast(type_)
