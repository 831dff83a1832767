"""`Work`: rows as the blocks are given them, with their shards; `Preparation` makes it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ....graphs.block import ID, LENGTH, TEXT
from ....storage.errors import RunFailed
from ....storage.rows import EXCERPT_BYTES, Column, DecodedRows, Rows, Stretch
from ....storage.store.quarantine import QuarantinedRows
from ....storage.text import PackedText
from ..failing_rows import BlockFailure, OnFailure
from ..micro_batches.stream import Call
from ..user_code import abridged
from .batches import Batch, UnreadRows
from .compute_spec import ComputeSpec
from .inputs import Inputs, column_values, lengths
from .shard_buffer import ShardBuffer

_SHOWN_BYTES = 80  # of a text that a block failed for

AnyRows = Rows | DecodedRows | UnreadRows

HostBuffer = Callable[[int], npt.NDArray[np.uint8]]
"""Function that returns memory of a number of bytes."""


@dataclass(frozen=True, kw_only=True)
class Work(Call):
    """Consecutive rows of the corpus, which the blocks compute together.

    Blocks do not see rows that are not usable, such as those with a null text. So the texts of the
    call are counted without them.
    """

    row: int  # number in the corpus of the first one
    batches: Sequence[Batch]
    buffers: Sequence[ShardBuffer]  # of the shards that the rows belong to
    usable: npt.NDArray[np.bool_]
    rows_of_texts: npt.NDArray[np.intp]  # counted from the first row, by text
    text: PackedText | None  # None if it is not read

    def __len__(self) -> int:
        return len(self.usable)

    def rows_of(self, start: int, stop: int) -> tuple[int, int]:
        """Return the rows, counted from the first one, that come with texts ``[start, stop)``."""
        at, texts = self.rows_of_texts, len(self.rows_of_texts)
        return int(at[start]) if start else 0, int(at[stop]) if stop < texts else len(self)

    def batches_in(self, low: int, high: int) -> Iterator[tuple[int, Batch]]:
        """Yield the batches of rows ``[low, high)``, and where each begins."""
        at = 0
        for stretch, row, rows in self.batches:
            first, last = max(low, at), min(high, at + len(rows))
            if first < last:
                part: Any = rows.slice(first - at, last - at)
                yield first, (stretch, row + first - at, part)
            at += len(rows)


class Preparation:
    """Prepares rows for the blocks of a stage.

    Parameters
    ----------
    host_buffer : callable
        Makes the memory that texts are joined in.
    """

    def __init__(self, spec: ComputeSpec, host_buffer: HostBuffer) -> None:
        self._spec, self._host_buffer = spec, host_buffer

    def work(self, batches: Sequence[Batch], buffers: Sequence[ShardBuffer]) -> Work:
        """Return what the blocks compute for consecutive rows of the corpus.

        Raises
        ------
        RunFailed
            A text that an earlier stage has computed cannot be read now.
        """
        row, rows = batches[0][1], sum(len(rows) for *_, rows in batches)
        if buffers[0].stored is None:
            masks = [_read(batch).usable for batch in batches]
            usable = masks[0] if len(masks) == 1 else np.concatenate(masks)
        else:
            usable = _joined([one.stored.usable[at] for one, at in _slices(buffers, row, rows)])
            usable = _still_usable(usable, batches)
        at = np.flatnonzero(usable)
        text = self._text(batches, usable)
        locate = _Locations(batches, at)
        may_fail = self._spec.failure_limit is not None
        return Work(
            inputs=self._inputs(batches, buffers, at, text),
            where=locate.where,
            failed=self._on_failure(locate, buffers, text) if may_fail else None,
            row=row,
            batches=batches,
            buffers=buffers,
            usable=usable,
            rows_of_texts=at,
            text=text,
        )

    def _text(self, batches: Sequence[Batch], usable: npt.NDArray[np.bool_]) -> PackedText | None:
        """Return the usable texts, end to end; None if they were not read."""
        if isinstance(batches[0][2], UnreadRows):
            return None
        texts, at = [], 0
        for batch in batches:
            rows = _read(batch)
            texts.append(rows.packed(usable[at : at + len(rows)]))
            at += len(rows)
        # All are of one class; see `gathered`.
        return texts[0] if len(texts) == 1 else type(texts[0]).joined(texts, self._host_buffer)

    def _inputs(
        self,
        batches: Sequence[Batch],
        buffers: Sequence[ShardBuffer],
        at: npt.NDArray[np.intp],
        text: PackedText | None,
    ) -> Inputs:
        row, rows = batches[0][1], sum(len(rows) for *_, rows in batches)
        values: dict[str, Any] = {}
        for name in self._spec.graph.inputs:
            if name in (TEXT, LENGTH):
                assert text is not None  # see `ComputeSpec.reads_corpus`
                values[name] = text if name == TEXT else lengths(text)
            elif buffers[0].stored is not None and name in buffers[0].stored.values:
                slices = _slices(buffers, row, rows)
                values[name] = _joined([one.stored.values[name][here] for one, here in slices])[at]
            elif name == ID and self._spec.id_column is None:
                values[name] = (row + at).astype(np.int64)
            elif name in self._columns:  # a later stage has them in the store
                column, of_validity = self._columns[name]
                known = [column_values(_read(batch).columns[column.name]) for batch in batches]
                values[name] = _joined([one[of_validity] for one in known])[at]
        return Inputs(values, len(at))

    @cached_property
    def _columns(self) -> dict[str, tuple[Column, bool]]:
        """Columns by the names of inputs, and whether an input says which values are known."""
        ids = [("id", self._spec.id_column)] if self._spec.id_column else []
        named = [*ids, *((column.array, column) for column in self._spec.keep)]
        return {name: (column, False) for name, column in named} | {
            f"{name}_valid": (column, True) for name, column in named
        }

    def _on_failure(
        self, locate: _Locations, buffers: Sequence[ShardBuffer], text: PackedText | None
    ) -> OnFailure:
        def failed(number: int, failure: BlockFailure) -> None:
            stretch, row, rows, at = locate.place(number)
            buffer = next(one for one in buffers if row < one.stop)
            known = self._id(buffer, row, rows, at)
            raw = b"" if text is None else text[number : number + 1].to_bytes()[0]
            entry = QuarantinedRows(
                row=row,
                rows=1,
                file=stretch.file.name,
                file_row=rows.start + at,
                reason=failure.reason(self._spec.sources),
                excerpt=raw[:EXCERPT_BYTES],
                block=failure.block,
                id=known,
            )
            place = f"{locate.where(number, number + 1)}{_shown(known, raw)}"
            buffer.failed.add(entry, failure.to_error(place, self._spec.sources))

        return failed

    def _id(self, buffer: ShardBuffer, row: int, rows: AnyRows, at: int) -> str | None:
        """Return the identifier of a row, if rows have one."""
        column = self._spec.id_column
        if column is None:
            return None
        if buffer.stored is not None:
            return buffer.stored.id(row - buffer.start)
        assert not isinstance(rows, UnreadRows)  # the first stage reads them
        value = rows.columns[column.name][at].as_py()
        return None if value is None else str(value)


class _Locations:
    """Where texts come from, by number."""

    def __init__(self, batches: Sequence[Batch], rows_of_texts: npt.NDArray[np.intp]) -> None:
        self._batches, self._rows_of_texts = batches, rows_of_texts
        self._starts = [0]
        for *_, rows in batches[:-1]:
            self._starts.append(self._starts[-1] + len(rows))

    def place(self, number: int) -> tuple[Stretch, int, AnyRows, int]:
        """Return a text's stretch, row in the corpus, batch, and row in the batch."""
        at = int(self._rows_of_texts[number])
        batch = bisect_right(self._starts, at) - 1
        stretch, row, rows = self._batches[batch]
        at -= self._starts[batch]
        return stretch, row + at, rows, at

    def where(self, start: int, stop: int) -> str:
        """Describe the location of texts ``[start, stop)``, for messages."""
        (one, _, rows, at), (other, _, last_rows, last_at) = map(self.place, (start, stop - 1))
        first, last = rows.start + at, last_rows.start + last_at
        if one.file != other.file:
            return f"{one.file.url}, row {first}, to {other.file.url}, row {last}"
        return (
            f"{one.file.url}, row {first}"
            if first == last
            else (f"{one.file.url}, rows {first}-{last}")
        )


def _read(batch: Batch) -> Rows | DecodedRows:
    rows = batch[2]
    assert not isinstance(rows, UnreadRows)  # only a later stage leaves them unread
    return rows


def _slices(buffers: Sequence[ShardBuffer], row: int, rows: int) -> Iterator[tuple[Any, slice]]:
    """Yield shards, and which of their rows are among `rows` rows from a row on."""
    for one in buffers:
        yield one, slice(max(row, one.start) - one.start, min(row + rows, one.stop) - one.start)


def _joined(arrays: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _still_usable(usable: npt.NDArray[np.bool_], batches: Sequence[Batch]) -> npt.NDArray[np.bool_]:
    """Return which rows that an earlier stage has computed can be computed now."""
    found, at = [], 0
    for stretch, _, rows in batches:
        here = usable[at : at + len(rows)]
        at += len(rows)
        if stretch.problem:  # its worker died whenever it was tried
            here = np.zeros(len(rows), np.bool_)
        _require_readable(rows, here, stretch)
        found.append(here)
    return _joined(found)


def _require_readable(rows: AnyRows, usable: npt.NDArray[np.bool_], stretch: Stretch) -> None:
    """Raise `RunFailed` if a text that an earlier stage has computed cannot be read now."""
    if isinstance(rows, UnreadRows):
        return
    lost = np.flatnonzero(usable & ~rows.usable)
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
