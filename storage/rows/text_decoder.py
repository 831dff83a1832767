"""Texts that something else decodes and holds: what it is given, returns, and what rows it makes.

A format that can take out the bytes of its text column hands them to a `TextDecoder`, which keeps
the texts wherever it likes. What the host must know of them comes back: how long they are, and
which of them cannot be used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..text import PackedText
from .rows import Fault, faults_within


class CannotDecode(Exception):
    """A column is left to the host, which reads it again. Always caught within `storage`."""


@dataclass(frozen=True, kw_only=True)
class ColumnFile:
    """The text column of one row group as a Parquet file of its own.

    Its only column is called ``text``, and is a BYTE_ARRAY annotated as UTF-8, which it may not be.
    """

    data: bytes
    rows: int
    codec: str | None  # in lower case, such as "snappy"; None if it is not compressed
    text_bytes: int | None  # of all texts, if the writer says so


@dataclass(frozen=True)
class DecodedText:
    """Consecutive texts of a column.

    Parameters
    ----------
    text : PackedText
        Its `offsets` are in the host's memory, its bytes need not be. Texts that cannot be used
        are empty.
    null : bool array, shape (n,)
        Which texts are null.
    invalid : mapping
        Texts that are not UTF-8, by number.
    """

    text: PackedText
    null: npt.NDArray[np.bool_]
    invalid: Mapping[int, bytes]

    def __len__(self) -> int:
        return len(self.text)

    def __getitem__(self, rows: slice) -> DecodedText:
        """Return consecutive texts, sharing memory."""
        start, stop, _ = rows.indices(len(self))
        invalid = {at - start: value for at, value in self.invalid.items() if start <= at < stop}
        return DecodedText(self.text[start:stop], self.null[start:stop], invalid)


TextDecoder = Callable[[ColumnFile], Iterator[DecodedText]]
"""Decodes a column, in one part or several.

Before it yields the first part it has found that all can be decoded: a damaged page costs the rows
before it too, from where a batch of the host's reader begins. It raises `CannotDecode` for what it
leaves to the host.
"""


@dataclass(frozen=True)
class DecodedRows:
    """Consecutive rows of one file, like `Rows`, whose texts a `TextDecoder` holds."""

    start: int  # row in the file
    text: PackedText  # empty where a row cannot be used
    usable: npt.NDArray[np.bool_]
    columns: Mapping[str, pa.Array]
    faults: tuple[Fault, ...] = ()

    def __len__(self) -> int:
        return len(self.text)

    def packed(self, mask: npt.NDArray[np.bool_]) -> PackedText:
        """Return the texts where a mask is true, end to end."""
        return self.text if mask.all() else self.text.chosen(mask)

    def slice(self, start: int, stop: int) -> DecodedRows:
        """Return rows ``[start, stop)`` of the batch, counted from 0, without copying."""
        first, last = self.start + start, self.start + stop
        columns = {name: column.slice(start, stop - start) for name, column in self.columns.items()}
        return DecodedRows(
            first,
            self.text[start:stop],
            self.usable[start:stop],
            columns,
            faults_within(self.faults, first, last),
        )
