"""`compute`: reads rows of a corpus, runs the blocks on them, and fills the arrays of a shard.

Used by a run's tasks and by `verify`, which use different backends and treat the arrays
differently. No cluster and no store is involved: committing a shard is in `task`, running blocks in
`block_execution`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...graphs.graph import Graph
from ...storage.cleaning.normal_forms import NO_FORMS, NormalForms
from ...storage.corpus.opening import FileOpener
from ...storage.corpus.reading import read_stretches
from ...storage.field import STRING, Field
from ...storage.rows import EXCERPT_BYTES, Column, ColumnSelection, Rows, Stretch, validity
from ...storage.store.quarantine import QuarantinedRows, merge, quarantined_rows
from ...storage.text import PackedText
from .block_execution import Blocks
from .failing_rows import BlockFailure, FailedRows, FailureLimit
from .micro_batch import MicroBatch
from .user_code import Sources, abridged

_SHOWN_BYTES = 80  # of a text that a block failed for

Arrays = dict[str, Any]
"""Values by field name: NumPy arrays, or Arrow arrays for strings of the corpus."""


@dataclass(frozen=True, kw_only=True)
class ComputeSpec:
    """How rows become arrays: which columns are read, which blocks run, and on which backend."""

    graph: Graph
    backend: str  # a name, resolved on the worker
    columns: ColumnSelection
    id_column: Column | None  # None: a text's id is its row number
    keep: tuple[Column, ...]  # columns that become arrays too
    fields: tuple[Field, ...]  # every array of the store
    opener: FileOpener
    micro_batch: MicroBatch | None = None  # None: adapted to the backend
    failure_limit: FailureLimit | None = None  # None: the first failure ends, without a search
    sources: Sources = field(default_factory=dict)  # of the user's functions


@dataclass(kw_only=True)
class ShardBuffer:
    """The arrays of rows ``[start, stop)`` of the corpus, filled batch by batch."""

    start: int
    stop: int
    arrays: Arrays
    failed: FailedRows  # rows that a block failed for
    quarantined: list[QuarantinedRows] = field(default_factory=list)
    text_bytes: int = 0
    rows_computed: int = 0  # quarantined rows are not computed
    forms: NormalForms = NO_FORMS  # normal forms found so far; empty if texts are normalised
    seconds: dict[str, float] = field(default_factory=dict)  # by block, and "read" for waiting
    strings: dict[str, list[pa.Array]] = field(default_factory=dict)  # string columns, in batches
    micro_batch: tuple[int, int] | None = None  # texts, and their bytes, last given to a block


def compute(
    spec: ComputeSpec,
    stretches: Sequence[Stretch],
    ranges: Iterable[tuple[int, int]],
    begun: Callable[[str, str], object] | None = None,
    computed: Callable[[ShardBuffer], object] | None = None,
) -> Iterator[ShardBuffer]:
    """Read `stretches` once, in order, and yield a full buffer for each of the ascending `ranges`.

    Rows outside the ranges are skipped. Only one buffer is held at a time: the next range is taken
    when the caller requests the next buffer. `begun` is called before every call of a block, with
    its name and the location of the texts; `computed` after it, with the buffer so far.

    Raises
    ------
    BlockError
        A block failed; the message names it, the file and the rows.
    """
    blocks = Blocks(spec.graph, spec.backend, spec.micro_batch, begun, spec.sources)
    filler = _Filler(spec, blocks, computed or _ignore)
    batches = read_stretches(stretches, spec.opener, spec.columns)
    if blocks.joined_batch:
        batches = _gathered(batches, blocks)
    todo = iter(ranges)
    current = _begin(spec, next(todo, None))
    if current is None:
        return
    clock = time.perf_counter()
    for stretch, row, rows in _read_ahead(batches):
        while current is not None and row + len(rows) > current.start:
            low, high = max(row, current.start), min(row + len(rows), current.stop)
            _add_seconds(current, "read", time.perf_counter() - clock)
            if low < high:
                filler.fill(current, (stretch, low, rows.slice(low - row, high - row)))
            clock = time.perf_counter()
            if high < current.stop:
                break
            yield _completed(spec, current)
            # A normal form that was found once is not searched for in later ranges.
            current = _begin(spec, next(todo, None), current.forms)
            clock = time.perf_counter()
        if current is None:
            return


def _completed(spec: ComputeSpec, buffer: ShardBuffer) -> ShardBuffer:
    """Join what was collected in batches, and take out the rows that a block failed for."""
    for row in buffer.failed.entries:
        buffer.arrays["valid"][row - buffer.start] = False
        for computed in spec.graph.fields:
            buffer.arrays[computed.name][row - buffer.start] = computed.fill
    entries = [*buffer.quarantined, *buffer.failed.entries.values()]
    buffer.quarantined = merge(sorted(entries, key=lambda entry: entry.row or 0))
    for name, parts in buffer.strings.items():
        buffer.arrays[name] = pa.concat_arrays(parts)
    return buffer


Batch = tuple[Stretch, int, Rows]
"""A stretch, the number in the corpus of the first row read, and the rows."""


def _read_ahead(batches: Generator[Batch]) -> Iterator[Batch]:
    """Read one batch while the previous one is computed."""
    with closing(batches), ThreadPoolExecutor(1, "paninifs-read") as reader:
        upcoming = reader.submit(next, batches, None)
        while (batch := upcoming.result()) is not None:
            upcoming = reader.submit(next, batches, None)
            yield batch


def _gathered(batches: Generator[Batch], blocks: Blocks) -> Generator[Batch]:
    """Join the batches of a stretch until they have enough rows, or text, for the blocks."""
    with closing(batches):
        for _, batches_of_stretch in groupby(batches, key=lambda batch: batch[0]):
            held: list[Batch] = []
            for batch in batches_of_stretch:
                held.append(batch)
                n_rows = sum(len(rows) for *_, rows in held)
                nbytes = sum(rows.text.nbytes for *_, rows in held)
                target = blocks.joined_batch
                if target is None or n_rows >= target.rows or nbytes >= target.text_bytes:
                    yield _joined(held)
                    held = []
            if held:
                yield _joined(held)


def _joined(held: Sequence[Batch]) -> Batch:
    stretch, row, rows = held[0]
    return stretch, row, Rows.joined([rows for *_, rows in held]) if len(held) > 1 else rows


def _begin(
    spec: ComputeSpec, bounds: tuple[int, int] | None, forms: NormalForms = NO_FORMS
) -> ShardBuffer | None:
    if bounds is None:
        return None
    start, stop = bounds
    columns = {"id" if spec.id_column else "", *(column.array for column in spec.keep)}
    arrays = {
        field.name: np.empty((stop - start, *field.shape), field.array_dtype)
        for field in spec.fields
        if field.dtype != STRING or field.name not in columns
    }
    failed = FailedRows(limit=spec.failure_limit or FailureLimit(), rows=stop - start)
    return ShardBuffer(start=start, stop=stop, arrays=arrays, failed=failed, forms=forms)


@dataclass(frozen=True)
class _Filler:
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
        usable = validity(rows.text)
        buffer.arrays["valid"][here] = usable
        self._fill_columns(buffer, here, row, rows)
        buffer.quarantined += [quarantined_rows(stretch, fault) for fault in rows.faults]
        if spec.columns.cleaning.unicode is None:
            buffer.forms = buffer.forms.updated(rows.text, row)
        if usable.any():
            self._run_blocks(buffer, batch, np.flatnonzero(usable))
        if not usable.all():
            for computed in spec.graph.fields:
                buffer.arrays[computed.name][here][~usable] = computed.fill

    def _run_blocks(self, buffer: ShardBuffer, batch: Batch, usable: npt.NDArray[np.intp]) -> None:
        """Compute the usable rows of a batch, given by their positions in it."""
        spec, blocks = self.spec, self.blocks
        stretch, row, rows = batch
        whole = len(usable) == len(rows)
        # Blocks do not see quarantined rows, whose text is null.
        text = PackedText.from_arrow(rows.text if whole else rows.text.drop_null())
        at = row - buffer.start

        def where(start: int, stop: int) -> str:
            first, last = rows.start + int(usable[start]), rows.start + int(usable[stop - 1])
            if first == last:
                return f"{stretch.file.url}, row {first}"
            return f"{stretch.file.url}, rows {first}-{last}"

        def failed(number: int, failure: BlockFailure) -> None:
            here = int(usable[number])
            known = rows.columns[spec.id_column.name][here].as_py() if spec.id_column else None
            shown = "" if known is None else f", id {abridged(str(known), 60)!r}"
            (raw,) = text[number : number + 1].to_bytes()
            begins = " ".join(raw[:_SHOWN_BYTES].decode(errors="replace").split())
            more = "..." if len(raw) > _SHOWN_BYTES else ""
            error = failure.to_error(
                f"{where(number, number + 1)}{shown}, text {begins!r}{more}", spec.sources
            )
            entry = QuarantinedRows(
                row=row + here,
                rows=1,
                file=stretch.file.name,
                file_row=rows.start + here,
                reason=failure.reason(spec.sources),
                excerpt=raw[:EXCERPT_BYTES],
                block=failure.block,
                id=None if known is None else str(known),
            )
            buffer.failed.add(entry, error)

        for part in blocks.run(text, where, None if spec.failure_limit is None else failed):
            for name, array in part.arrays.items():
                if whole:
                    buffer.arrays[name][at + part.start : at + part.stop] = array
                else:
                    buffer.arrays[name][at + usable[part.start : part.stop]] = array
            for name, seconds in part.seconds.items():
                _add_seconds(buffer, name, seconds)
            buffer.text_bytes += text[part.start : part.stop].nbytes
            buffer.rows_computed += part.stop - part.start
            self.computed(buffer)
        buffer.micro_batch = blocks.size.rows, blocks.size.text_bytes

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


def _add_seconds(buffer: ShardBuffer, name: str, seconds: float) -> None:
    buffer.seconds[name] = buffer.seconds.get(name, 0.0) + seconds


def _ignore(_: ShardBuffer) -> None:
    """Do nothing."""
