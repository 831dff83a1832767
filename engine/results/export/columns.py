"""The columns of an export: their names, their types, and how their values are computed.

Reading store and corpus is in `rows`, writing the file in `files`.
"""

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
from ....storage.field import Field
from ....storage.messages.names import did_you_mean, listed, quoted, storable
from ....storage.rows import ARROW_KINDS, Column
from ....storage.store.dataset import StoredArrays
from ....storage.store.duplicates import DIGEST, mark_fields
from ....storage.store.layout import VALID
from .rows import Piece

OF_THE_CORPUS, OF_THE_RESULTS = "_corpus", "_result"
"""Suffixes for a column whose own name is taken, by the column's origin."""


@dataclass(frozen=True, kw_only=True)
class OutputColumn:
    """One column of an export."""

    name: str
    group: str  # name of its field, or its own name; users select columns by `name` or `group`
    type: pa.DataType
    values: Callable[[Piece], pa.Array]
    arrays: tuple[str, ...] = ()  # its source in the store, used unless the corpus is read
    column: Column | None = None  # its source in the corpus, used if the corpus is read
    only_in_corpus: bool = False  # the store does not have it


def output_columns(
    index: CorpusIndex,
    computed: Sequence[tuple[Field, str]],
    own: Sequence[Column],
    arrays: StoredArrays,
    text: bool,
) -> list[OutputColumn]:
    """Return all columns: id, text, the corpus's own, the fields, valid and reason.

    Names are assigned to id, text, valid and reason first, then to the fields, then to the
    corpus's own columns. A column whose name is taken gets a suffix that says where it comes from.

    Parameters
    ----------
    computed : sequence of tuple
        The fields that the graph computes, and for each the array that says for which rows.
    own : sequence of Column
        The corpus's own columns, without text and id.
    text : bool
        Whether to include the text.
    """
    taken: set[str] = {"id", "text", "valid", "reason"}
    kept = {column.name for column in index.keep}
    fields = [
        column
        for field, mask in (*computed, *((one, VALID.name) for one in mark_fields(index.cleaning)))
        for column in _of_field(field, mask, arrays, taken)
    ]
    corpus = [_of_corpus(column, column.name in kept, taken) for column in own]
    texts = [_column("text", pa.large_string(), _text, only_in_corpus=True)]
    return [
        _identity(index.id),
        *(texts if text else []),
        *corpus,
        *fields,
        _column("valid", pa.bool_(), lambda piece: pa.array(piece.valid)),
        _column("reason", pa.string(), lambda piece: piece.reasons),
    ]


def select_columns(columns: Sequence[OutputColumn], names: Sequence[str]) -> list[OutputColumn]:
    """Return the columns with some names, in the order of the names.

    Raises
    ------
    ColumnNotFound
        A column does not exist.
    """
    selected: dict[str, OutputColumn] = {}
    for name in names:
        matching = _matching(columns, name)
        if not matching:
            choices = list(dict.fromkeys(column.group for column in columns))
            raise ColumnNotFound(
                f"no column {quoted(name)} to export; choose from: {listed(choices)}"
                f"{did_you_mean(name, choices)}"
            )
        selected |= {column.name: column for column in matching}
    return list(selected.values())


def has_all(columns: Sequence[OutputColumn], names: Sequence[str]) -> bool:
    """Return whether every name selects at least one of the columns."""
    return all(_matching(columns, name) for name in names)


def _matching(columns: Sequence[OutputColumn], name: str) -> list[OutputColumn]:
    exactly = [column for column in columns if column.name == name]
    return exactly or [column for column in columns if column.group == name]


def _unique(name: str, suffix: str, taken: set[str]) -> str:
    while name in taken:
        name += suffix
    taken.add(name)
    return name


def _column(
    name: str, type_: pa.DataType, values: Callable[[Piece], pa.Array], **more: Any
) -> OutputColumn:
    """Return a column that is a group of its own."""
    return OutputColumn(name=name, group=name, type=type_, values=values, **more)


def _identity(column: Column | None) -> OutputColumn:
    if column is None:  # the id is the row number, also of a row that is not computed yet
        return _column("id", pa.int64(), lambda piece: pa.array(np.arange(piece.start, piece.stop)))
    values = partial(_own, column, "id")
    arrays = ("id", "id_valid")
    return _column("id", ARROW_KINDS[column.kind], values, arrays=arrays, column=column)


def _of_corpus(column: Column, kept: bool, taken: set[str]) -> OutputColumn:
    return _column(
        _unique(storable(column.name), OF_THE_CORPUS, taken),
        ARROW_KINDS[column.kind],
        partial(_own, column, column.array),
        arrays=(column.array, f"{column.array}_valid") if kept else (),
        column=column,
        only_in_corpus=not kept,
    )


def _of_field(field: Field, mask: str, arrays: StoredArrays, taken: set[str]) -> list[OutputColumn]:
    group = _unique(field.name, OF_THE_RESULTS, taken)
    masks = () if mask == VALID.name else (mask,)
    source = (*(array.name for array in field.arrays), *masks)
    if (field.name, field.dtype, field.shape) == (DIGEST, "uint8", (32,)) and not field.nullable:
        return [_column(group, pa.string(), partial(_hex, field.name, mask), arrays=source)]
    columns = []
    for position, label in enumerate(_labels(field, arrays)):
        name = _unique(f"{group}_{label}", OF_THE_RESULTS, taken) if label else group
        columns.append(
            OutputColumn(
                name=name,
                group=group,
                type=field.kind.arrow_type,
                values=partial(_value, field, mask, position),
                arrays=source,
            )
        )
    return columns


def _labels(field: Field, arrays: StoredArrays) -> list[str]:
    """Name each position of a field's value: by its labels, or else numbers, joined by `_`."""
    labels = [
        arrays.labels(dim) or [str(number) for number in range(length)]
        for dim, length in zip(field.dims or (), field.shape, strict=True)
    ]
    return ["_".join(parts) for parts in product(*labels)]


def _text(piece: Piece) -> pa.Array:
    assert piece.rows is not None
    return piece.rows.text.cast(pa.large_string())


def _own(column: Column, array: str, piece: Piece) -> pa.Array:
    if piece.rows is not None:
        return piece.rows.columns[column.name]
    return _known(piece.stored[array], piece.stored[f"{array}_valid"], ARROW_KINDS[column.kind])


def _value(field: Field, mask: str, position: int, piece: Piece) -> pa.Array:
    values = piece.stored[field.name].reshape(len(piece.valid), -1)
    known = piece.stored.get(mask, piece.valid)
    known = known & piece.stored[field.mask] if field.nullable else known
    return field.kind.to_arrow(values[:, position], known)


def _hex(name: str, mask: str, piece: Piece) -> pa.Array:
    whole = np.ascontiguousarray(piece.stored[name]).tobytes().hex()
    digests = [whole[64 * row : 64 * row + 64] for row in range(piece.stop - piece.start)]
    known = piece.stored.get(mask, piece.valid)
    return _known(np.array(digests, object), known, pa.string())


def _known(values: npt.NDArray[Any], known: npt.NDArray[np.bool_], type_: pa.DataType) -> pa.Array:
    """Return values as an Arrow array, null where they are not known."""
    if type_ == pa.string():
        pairs = zip(values.tolist(), known.tolist(), strict=True)
        return pa.array([value if is_known else None for value, is_known in pairs], type_)
    return pa.array(np.ascontiguousarray(values), mask=~known).cast(type_)
