"""`Inputs`: the values of n texts that blocks take, in the memory of the host or of a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ....graphs.block import LENGTH, TEXT
from ....storage.rows import validity
from ....storage.text import PackedText
from ..micro_batches.micro_batch import MicroBatch

POINTER_BYTES = 8  # of an item of an object array


@dataclass(frozen=True)
class Inputs:
    """Values by name: a `PackedText`, or an array with one item per text.

    Examples
    --------
    >>> inputs = Inputs.of_text(PackedText.from_strings(["un", "deux"])).including(n=np.arange(2))
    >>> len(inputs), inputs[1:].values["n"].tolist(), inputs.nbytes
    (2, [1], 22)
    """

    values: Mapping[str, Any]
    rows: int

    @classmethod
    def of_text(cls, text: PackedText) -> Inputs:
        """Return the inputs of blocks that take nothing but texts."""
        return cls({TEXT: text}, len(text))

    def including(self, **values: Any) -> Inputs:
        """Return these inputs with others."""
        return Inputs({**self.values, **values}, self.rows)

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, rows: slice) -> Inputs:
        """Return consecutive rows, sharing memory."""
        start, stop, _ = rows.indices(self.rows)
        cut = {name: value[start:stop] for name, value in self.values.items()}
        return Inputs(cut, stop - start)

    def rows_at(self, rows: Sequence[int]) -> Inputs:
        """Return a copy of some rows, in the host's memory."""
        mask = np.zeros(self.rows, np.bool_)
        mask[list(rows)] = True
        cut = {
            name: value.chosen(mask) if isinstance(value, PackedText) else value[mask]
            for name, value in self.values.items()
        }
        return Inputs(cut, int(mask.sum()))

    @property
    def text(self) -> PackedText | None:
        """The texts, if they are an input."""
        return self.values.get(TEXT)

    @property
    def nbytes(self) -> int:
        """Bytes of all values; strings that are not texts count as pointers to them."""
        return sum(int(value.nbytes) for value in self.values.values())

    def stop(self, size: MicroBatch, start: int) -> int:
        """Return the end of the longest run of rows from `start` that fits into a micro-batch."""
        if self.text is not None:
            return size.stop(self.text, start)
        row_bytes = max(1, self.nbytes // max(1, self.rows))
        return min(start + min(size.rows, max(1, size.text_bytes // row_bytes)), self.rows)


def lengths(text: PackedText) -> npt.NDArray[np.int64]:
    """Return the lengths of texts in bytes of UTF-8: int64 [n]."""
    return np.diff(text.offsets).astype(np.int64)


def column_values(array: pa.Array) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Return a column of the corpus as blocks take it, and which values are known.

    Examples
    --------
    >>> values, known = column_values(pa.array([1, None]))
    >>> values.tolist(), known.tolist()
    ([1, 0], [True, False])
    """
    known = validity(array)
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        return array.to_numpy(zero_copy_only=False), known
    if not known.all():
        missing = np.nan if pa.types.is_floating(array.type) else 0
        array = pc.fill_null(array, pa.scalar(missing).cast(array.type))
    return array.to_numpy(zero_copy_only=False), known


def needs_text(names: tuple[str, ...]) -> bool:
    """Return whether inputs of these names are read from the texts of the corpus."""
    return TEXT in names or LENGTH in names
