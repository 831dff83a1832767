"""`compute`: reads rows of a corpus, runs the blocks on them, and fills the arrays of a shard.

Used by a run's tasks and by `verify`, which use different backends and treat the arrays
differently. No cluster and no store is involved: committing a shard is in `task`, running blocks in
`block_execution`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any

from ...storage.cleaning.normal_forms import NO_FORMS, NormalForms
from ...storage.corpus.reading import read_stretches
from ...storage.field import STRING
from ...storage.rows import Stretch
from .block_execution import Blocks
from .failing_rows import FailureLimit
from .values.batches import Batch, ReadBatch, gathered, read_ahead, unread
from .values.compute_spec import ComputeSpec
from .values.filler import Filler
from .values.shard_buffer import ShardBuffer
from .values.stored import StoredRows


def compute(
    spec: ComputeSpec,
    stretches: Sequence[Stretch],
    ranges: Iterable[tuple[int, int]],
    begun: Callable[[str, str], object] | None = None,
    computed: Callable[[ShardBuffer], object] | None = None,
) -> Iterator[ShardBuffer]:
    """Go through `stretches` in order; yield a full buffer for each of the ascending `ranges`.

    Rows outside the ranges are skipped. Only one buffer is held at a time: the next range is taken
    when the caller requests the next buffer. `begun` is called before every call of a block, with
    its name and the location of the texts; `computed` after it, with the buffer so far.

    Raises
    ------
    BlockError
        A block failed; the message names it, the file and the rows.
    """
    todo = iter(ranges)
    stored = spec.stored.open() if spec.stored else None

    def begin(forms: NormalForms = NO_FORMS) -> ShardBuffer | None:
        bounds = next(todo, None)
        return None if bounds is None else _begun(spec, bounds, stored, forms)

    current = begin()
    if current is None:
        return
    reductions = spec.reductions.load() if spec.reductions else {}
    with Blocks(
        spec.graph, spec.backend, spec.micro_batch, begun, spec.sources, reductions=reductions
    ) as blocks:
        for name, seconds in blocks.setup_seconds.items():
            current.add_seconds(name, seconds)
        filler = Filler(spec, blocks, computed or _ignore)
        if not spec.reads_corpus:
            yield from _filled(spec, filler, unread(stretches), current, begin)
            return
        batches = read_stretches(stretches, spec.opener, spec.columns)
        if blocks.joined_batch:
            batches = gathered(batches, blocks)
        yield from _filled(spec, filler, batches, current, begin)


def _filled(
    spec: ComputeSpec,
    filler: Filler,
    batches: Generator[ReadBatch] | Generator[Batch],
    current: ShardBuffer | None,
    begin: Callable[[NormalForms], ShardBuffer | None],
) -> Iterator[ShardBuffer]:
    clock = time.perf_counter()
    for stretch, row, rows in read_ahead(batches):
        while current is not None and row + len(rows) > current.start:
            low, high = max(row, current.start), min(row + len(rows), current.stop)
            current.add_seconds("read", time.perf_counter() - clock)
            if low < high:
                part: Any = rows.slice(low - row, high - row)
                filler.fill(current, (stretch, low, part))
            clock = time.perf_counter()
            if high < current.stop:
                break
            yield _completed(spec, current)
            # A normal form that was found once is not searched for in later ranges.
            current = begin(current.forms)
            clock = time.perf_counter()
        if current is None:
            return


def _completed(spec: ComputeSpec, buffer: ShardBuffer) -> ShardBuffer:
    """Join what was collected in batches, and take out the rows that a block failed for."""
    for row in buffer.failed.entries:
        buffer.arrays[spec.valid][row - buffer.start] = False
        at = slice(row - buffer.start, row - buffer.start + 1)
        for computed in spec.graph.arrays:
            buffer.arrays[computed.name][at] = computed.fill
    buffer.complete()
    return buffer


def _begun(
    spec: ComputeSpec, bounds: tuple[int, int], stored: StoredRows | None, forms: NormalForms
) -> ShardBuffer:
    columns = {"id" if spec.id_column else "", *(column.array for column in spec.keep)}
    began = time.perf_counter()
    buffer = ShardBuffer.of(
        bounds,
        [one for one in spec.fields if one.dtype != STRING or one.name not in columns],
        spec.failure_limit or FailureLimit(),
        forms,
    )
    if stored is not None:
        buffer.stored = stored.load(*bounds)
        buffer.add_seconds("read", time.perf_counter() - began)
    return buffer


def _ignore(_: ShardBuffer) -> None:
    """Do nothing."""
