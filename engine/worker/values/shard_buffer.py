"""`ShardBuffer`: the arrays of a shard while it is computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ....storage.cleaning.normal_forms import NO_FORMS, NormalForms
from ....storage.field import Field
from ....storage.store.quarantine import QuarantinedRows, merge
from ..failing_rows import FailedRows
from .stored import LoadedValues

Arrays = dict[str, Any]
"""Values by field name: NumPy arrays, or Arrow arrays for strings of the corpus."""


@dataclass(kw_only=True)
class ShardBuffer:
    """The arrays of rows ``[start, stop)`` of the corpus, filled part by part."""

    start: int
    stop: int
    fields: Mapping[str, Field]  # by name, those whose values are collected in arrays
    failed: FailedRows  # rows that a block failed for
    arrays: Arrays = field(default_factory=dict)
    quarantined: list[QuarantinedRows] = field(default_factory=list)
    text_bytes: int = 0
    rows_filled: int = 0
    rows_computed: int = 0  # quarantined rows are not computed
    forms: NormalForms = NO_FORMS  # normal forms found so far; empty if texts are normalised
    seconds: dict[str, float] = field(default_factory=dict)  # by block, and "read" for waiting
    strings: dict[str, list[pa.Array]] = field(default_factory=dict)  # string columns, in batches
    micro_batch: tuple[int, int] | None = None  # texts, and their bytes, last given to a block
    ran: Mapping[str, int] = field(default_factory=dict)  # texts, by block with a condition
    stored: LoadedValues | None = None  # of earlier stages

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def is_full(self) -> bool:
        """Whether all rows are filled."""
        return self.rows_filled == len(self)

    def array(self, name: str) -> npt.NDArray[Any]:
        """Return the array of a field; it is made when its first rows are filled."""
        if name not in self.arrays:
            one = self.fields[name]
            self.arrays[name] = np.empty((len(self), *one.shape), one.array_dtype)
        found: npt.NDArray[Any] = self.arrays[name]
        return found

    def take_out(self, rows: Sequence[int], valid: str, computed: Iterable[Field]) -> None:
        """Make rows of a full shard invalid, counted from 0, and fill what was computed of them."""
        if rows:
            self.arrays[valid][rows] = False
            for one in computed:
                # What a block returned may be a part of other arrays, or read-only.
                array = self.arrays[one.name] = self.arrays[one.name].copy()
                array[rows] = one.fill

    def add_seconds(self, name: str, seconds: float) -> None:
        """Add to the seconds of a block, or of reading."""
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    def complete(self) -> None:
        """Join what was collected in batches."""
        entries = [*self.quarantined, *self.failed.entries.values()]
        self.quarantined = merge(sorted(entries, key=lambda entry: entry.row or 0))
        for name, parts in self.strings.items():
            self.arrays[name] = pa.concat_arrays(parts)
