"""`Filler`: computes the blocks for a batch of rows and writes the values to a shard's buffer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ....graphs.block import ID, LENGTH, TEXT
from ....storage.errors import RunFailed
from ....storage.messages.names import storable
from ....storage.rows import EXCERPT_BYTES, Column, Rows, Stretch, validity
from ....storage.store.quarantine import QuarantinedRows, quarantined_rows
from ....storage.text import PackedText
from ..block_execution import Blocks
from ..failing_rows import BlockFailure
from ..user_code import abridged
from .batches import Batch, UnreadRows
from .compute_spec import ComputeSpec
from .inputs import Inputs, column_values, lengths
from .shard_buffer import ShardBuffer

_SHOWN_BYTES = 80  # of a text that a block failed for


@dataclass(frozen=True)
class Filler:
    """Computes batches and writes their values to the buffer of a shard."""

    spec: ComputeSpec
    blocks: Blocks
    computed: Callable[[ShardBuffer], object]

    def fill(self, buffer: ShardBuffer, batch: Batch) -> None:
        """Compute a batch and write its values to the buffer."""
        spec = self.spec
        stretch, row, rows = batch
        at = row - buffer.start
        here = slice(at, at + len(rows))
        if buffer.stored is not None:
            usable = buffer.stored.usable[here]
            if stretch.problem and usable.any():  # its worker died whenever it was tried
                buffer.quarantined += _not_computed(batch, usable)
                usable = np.zeros(len(rows), np.bool_)
            _require_readable(rows, usable, stretch)
        else:
            assert isinstance(rows, Rows)  # the first stage reads them
            usable = validity(rows.text)
            self._fill_columns(buffer, here, row, rows)
            buffer.quarantined += [quarantined_rows(stretch, fault) for fault in rows.faults]
            if spec.columns.cleaning.unicode is None:
                buffer.forms = buffer.forms.updated(rows.text, row)
        buffer.arrays[spec.valid][here] = usable
        if usable.any():
            self._run_blocks(buffer, batch, usable)
        if not usable.all():
            for computed in spec.graph.arrays:
                buffer.arrays[computed.name][here][~usable] = computed.fill

    def _run_blocks(self, buffer: ShardBuffer, batch: Batch, mask: npt.NDArray[np.bool_]) -> None:
        """Compute the usable rows of a batch."""
        spec, blocks = self.spec, self.blocks
        stretch, row, rows = batch
        whole = bool(mask.all())
        usable = np.flatnonzero(mask)
        # Blocks do not see quarantined rows, whose text is null.
        text = _texts(rows, mask)
        inputs = self._inputs(buffer, batch, usable, text)
        at = row - buffer.start

        def where(start: int, stop: int) -> str:
            first, last = rows.start + int(usable[start]), rows.start + int(usable[stop - 1])
            if first == last:
                return f"{stretch.file.url}, row {first}"
            return f"{stretch.file.url}, rows {first}-{last}"

        def failed(number: int, failure: BlockFailure) -> None:
            here = int(usable[number])
            known = self._id(buffer, batch, here)
            raw = b"" if text is None else text[number : number + 1].to_bytes()[0]
            entry = QuarantinedRows(
                row=row + here,
                rows=1,
                file=stretch.file.name,
                file_row=rows.start + here,
                reason=failure.reason(spec.sources),
                excerpt=raw[:EXCERPT_BYTES],
                block=failure.block,
                id=known,
            )
            place = f"{where(number, number + 1)}{_shown(known, raw)}"
            buffer.failed.add(entry, failure.to_error(place, spec.sources))

        for part in blocks.run(inputs, where, None if spec.failure_limit is None else failed):
            for name, array in part.arrays.items():
                if whole:
                    buffer.arrays[name][at + part.start : at + part.stop] = array
                else:
                    buffer.arrays[name][at + usable[part.start : part.stop]] = array
            for name, seconds in part.seconds.items():
                buffer.add_seconds(name, seconds)
            buffer.ran.update(part.ran)
            if text is not None:
                buffer.text_bytes += text[part.start : part.stop].nbytes
            buffer.rows_computed += part.stop - part.start
            self.computed(buffer)
        buffer.micro_batch = blocks.size.rows, blocks.size.text_bytes

    def _inputs(
        self,
        buffer: ShardBuffer,
        batch: Batch,
        usable: npt.NDArray[np.intp],
        text: PackedText | None,
    ) -> Inputs:
        """Return what the blocks take for the usable rows of a batch."""
        _, row, rows = batch
        at = row - buffer.start
        values: dict[str, Any] = {}
        for name in self.spec.graph.inputs:
            if name in (TEXT, LENGTH):
                assert text is not None  # see `ComputeSpec.reads_corpus`
                values[name] = text if name == TEXT else lengths(text)
            elif buffer.stored is not None and name in buffer.stored.values:
                values[name] = buffer.stored.values[name][at + usable]
            elif name == ID and self.spec.id_column is None:
                values[name] = (row + usable).astype(np.int64)
            elif name in self._columns:
                assert isinstance(rows, Rows)  # a later stage has them in the store
                column, of_validity = self._columns[name]
                known = column_values(rows.columns[column.name])
                values[name] = known[of_validity][usable]
        return Inputs(values, len(usable))

    @cached_property
    def _columns(self) -> dict[str, tuple[Column, bool]]:
        """Columns by the names of inputs, and whether an input says which values are known."""
        ids = [("id", self.spec.id_column)] if self.spec.id_column else []
        named = [*ids, *((column.array, column) for column in self.spec.keep)]
        return {name: (column, False) for name, column in named} | {
            f"{name}_valid": (column, True) for name, column in named
        }

    def _id(self, buffer: ShardBuffer, batch: Batch, at: int) -> str | None:
        """Return the identifier of a row of a batch, if rows have one."""
        _, row, rows = batch
        column = self.spec.id_column
        if column is None:
            return None
        if buffer.stored is not None:
            return buffer.stored.id(row - buffer.start + at)
        assert isinstance(rows, Rows)  # as above
        value = rows.columns[column.name][at].as_py()
        return None if value is None else str(value)

    def _fill_columns(self, buffer: ShardBuffer, here: slice, row: int, rows: Rows) -> None:
        spec, arrays = self.spec, buffer.arrays
        if spec.id_column is None:
            arrays["id"][here] = np.arange(row, row + len(rows))
        ids = [("id", spec.id_column)] if spec.id_column else []
        for name, column in [*ids, *((column.array, column) for column in spec.keep)]:
            values = rows.columns[column.name]
            arrays[f"{name}_valid"][here] = known = validity(values)
            if column.kind == "string":
                filled = values if known.all() else values.fill_null("")
                buffer.strings.setdefault(name, []).append(filled.cast(pa.large_string()))
            else:
                filled = values if known.all() else values.fill_null(pa.scalar(0).cast(values.type))
                arrays[name][here] = filled.to_numpy(zero_copy_only=False)


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


def _texts(rows: Rows | UnreadRows, usable: npt.NDArray[np.bool_]) -> PackedText | None:
    """Return the usable texts of a batch; None if they were not read."""
    if isinstance(rows, UnreadRows):
        return None
    return PackedText.from_arrow(rows.text if usable.all() else rows.text.filter(pa.array(usable)))


def _require_readable(
    rows: Rows | UnreadRows, usable: npt.NDArray[np.bool_], stretch: Stretch
) -> None:
    """Raise `RunFailed` if a text that an earlier stage has computed cannot be read now."""
    if isinstance(rows, UnreadRows) or not rows.text.null_count:
        return
    lost = np.flatnonzero(usable & ~validity(rows.text))
    if len(lost):
        at = rows.start + int(lost[0])
        reasons = [one.reason for one in rows.faults if one.row <= at < one.row + one.rows]
        raise RunFailed(
            f"{stretch.file.url}, row {at}: an earlier stage has computed this text, and now it "
            f"cannot be read: {', '.join(reasons) or 'it is null'}; run again once it can"
        )


def _shown(known: str | None, raw: bytes) -> str:
    """Describe a text for a message: its identifier and its beginning."""
    shown = "" if known is None else f", id {abridged(known, 60)!r}"
    if not raw:
        return shown
    begins = " ".join(raw[:_SHOWN_BYTES].decode(errors="replace").split())
    return f"{shown}, text {begins!r}{'...' if len(raw) > _SHOWN_BYTES else ''}"
