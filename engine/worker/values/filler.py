"""`Filler`: writes computed rows, and the columns that are kept, to the buffers of their shards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ....storage.cleaning.normal_forms import NO_FORMS, NormalForms
from ....storage.messages.names import storable
from ....storage.rows import validity
from ....storage.store.quarantine import QuarantinedRows, quarantined_rows
from ..micro_batches.micro_batch import MicroBatch
from ..micro_batches.stream import Part
from .batches import Batch, UnreadRows
from .compute_spec import ComputeSpec
from .prepared_work import Work
from .shard_buffer import ShardBuffer


@dataclass
class Filler:
    """Fills the buffers of shards, in the order of the corpus.

    Parameters
    ----------
    computed : callable
        Called with a buffer after rows of it were filled.
    """

    spec: ComputeSpec
    computed: Callable[[ShardBuffer], object]
    # A normal form that was found once is not searched for in later shards.
    _forms: NormalForms = NO_FORMS

    def fill(self, work: Work, part: Part, size: MicroBatch) -> None:
        """Write a part of the results, and what else belongs to its rows."""
        if part.start == 0 and self.spec.stored is None:
            self._look_for_forms(work)
        low, high = work.rows_of(part.start, part.stop)
        for buffer in work.buffers:
            first = max(low, buffer.start - work.row)
            last = min(high, buffer.stop - work.row)
            if first < last:
                self._fill(buffer, work, part, first, last)
                buffer.micro_batch = size.rows, size.text_bytes
                self.computed(buffer)

    def _fill(self, buffer: ShardBuffer, work: Work, part: Part, low: int, high: int) -> None:
        """Write rows ``[low, high)`` of the work."""
        for at, batch in work.batches_in(low, high):
            self._fill_columns(buffer, batch, work.row + at - buffer.start)
        usable = work.usable[low:high]
        here = slice(work.row + low - buffer.start, work.row + high - buffer.start)
        buffer.array(self.spec.valid)[here] = usable
        start, stop = np.searchsorted(work.rows_of_texts, (low, high)).tolist()
        if start < stop:
            self._fill_values(buffer, work, part, start, stop)
        if not usable.all():
            for computed in self.spec.graph.arrays:
                buffer.array(computed.name)[here][~usable] = computed.fill
        buffer.rows_filled += high - low

    def _fill_values(
        self, buffer: ShardBuffer, work: Work, part: Part, start: int, stop: int
    ) -> None:
        """Write the fields of texts ``[start, stop)``."""
        at: Any = work.row - buffer.start + work.rows_of_texts[start:stop]
        if at[-1] - at[0] == len(at) - 1:
            at = slice(int(at[0]), int(at[-1]) + 1)
        for name, array in part.arrays.items():
            values = array[start - part.start : stop - part.start]
            if len(values) == len(buffer) and name in self._own:
                buffer.arrays[name] = values
            else:
                buffer.array(name)[at] = values
        share = (stop - start) / (part.stop - part.start)
        for name, seconds in part.seconds.items():
            buffer.add_seconds(name, share * seconds)
        if work.text is not None:
            buffer.text_bytes += work.text[start:stop].nbytes
        buffer.rows_computed += stop - start

    def _fill_columns(self, buffer: ShardBuffer, batch: Batch, at: int) -> None:
        """Write the columns and the quarantine of a batch, whose first row is number `at`."""
        stretch, row, rows = batch
        here = slice(at, at + len(rows))
        if buffer.stored is not None:
            if stretch.problem:  # its worker died whenever it was tried
                buffer.quarantined += _not_computed(batch, buffer.stored.usable[here])
            return
        assert not isinstance(rows, UnreadRows)  # the first stage reads them
        spec = self.spec
        buffer.quarantined += [quarantined_rows(stretch, fault) for fault in rows.faults]
        buffer.forms = self._forms.before(buffer.stop)
        if spec.id_column is None:
            buffer.array("id")[here] = np.arange(row, row + len(rows))
        ids = [("id", spec.id_column)] if spec.id_column else []
        for name, column in [*ids, *((column.array, column) for column in spec.keep)]:
            values = rows.columns[column.name]
            buffer.array(f"{name}_valid")[here] = known = validity(values)
            if column.kind == "string":
                filled = values if known.all() else values.fill_null("")
                buffer.strings.setdefault(name, []).append(filled.cast(pa.large_string()))
            else:
                filled = values if known.all() else values.fill_null(pa.scalar(0).cast(values.type))
                buffer.array(name)[here] = filled.to_numpy(zero_copy_only=False)

    def _look_for_forms(self, work: Work) -> None:
        """Find texts that are not in a normal form, unless cleaning converts them to one."""
        if self.spec.columns.cleaning.unicode is None:
            for _, row, rows in work.batches:
                assert not isinstance(rows, UnreadRows)  # the first stage reads them
                self._forms = self._forms.updated(rows.text, row)

    @cached_property
    def _own(self) -> frozenset[str]:
        """Fields of blocks of ours, which make new arrays; a user's block may use its own again."""
        ours = [one for one in self.spec.graph.maps if one.function is None]
        fields = [field for block in ours for field in block.fields]
        return frozenset(array.name for field in fields for array in field.arrays)

    def completed(self, buffer: ShardBuffer) -> ShardBuffer:
        """Return a full buffer; rows that a block failed for are taken out."""
        spec = self.spec
        failed = [row - buffer.start for row in buffer.failed.entries]
        buffer.take_out(failed, spec.valid, spec.graph.arrays)
        valid = buffer.arrays[spec.valid]
        buffer.ran = {
            block.name: int(np.count_nonzero(valid & self._chosen(buffer, block.when)))
            for block in spec.graph.maps
            if block.when
        }
        buffer.complete()
        return buffer

    def _chosen(self, buffer: ShardBuffer, condition: str) -> npt.NDArray[np.bool_]:
        """Return for which rows of a shard a condition is true."""
        stored = buffer.stored.values if buffer.stored is not None else {}
        found: npt.NDArray[np.bool_] = (stored if condition in stored else buffer.arrays)[condition]
        return found


def _not_computed(batch: Batch, usable: npt.NDArray[np.bool_]) -> list[QuarantinedRows]:
    """Return the entries for rows whose worker died whenever they were tried."""
    stretch, row, rows = batch
    changes = np.flatnonzero(np.diff(usable, prepend=False, append=False))
    return [
        QuarantinedRows(
            row=row + first,
            rows=stop - first,
            file=stretch.file.name,
            file_row=rows.start + first,
            reason=storable(str(stretch.problem)),
        )
        for first, stop in changes.reshape(-1, 2).tolist()
    ]
