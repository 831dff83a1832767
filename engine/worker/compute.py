"""`compute`: reads rows of a corpus, runs the blocks on them, and fills the arrays of shards.

Used by a run's tasks and by `verify`, which use different backends and treat the arrays
differently. No cluster and no store is involved: committing a shard is in `task`, running blocks in
`block_execution`. The blocks get rows as they are read, whatever shards they belong to; only the
results are cut at the ends of shards.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any

from ...graphs.kernels import load
from ...storage.corpus.reading import read_stretches
from ...storage.rows import Stretch
from .block_execution import Blocks
from .micro_batches.stream import Part, Stream
from .text_decoding import text_decoder
from .values.batches import gathered, one_by_one, read_ahead, slice_of, unread
from .values.compute_spec import ComputeSpec
from .values.filler import Filler
from .values.open_shards import OpenShards
from .values.prepared_work import Preparation, Work
from .values.shard_buffer import ShardBuffer


def compute(
    spec: ComputeSpec,
    stretches: Sequence[Stretch],
    ranges: Iterable[tuple[int, int]],
    begun: Callable[[str, str], object] | None = None,
    computed: Callable[[ShardBuffer], object] | None = None,
) -> Iterator[ShardBuffer]:
    """Go through `stretches` in order; yield a full buffer for each of the ascending `ranges`.

    Rows outside the ranges are skipped. A range is taken when the first of its rows was read.
    `begun` is called before every call of a block, with its name and the location of the texts;
    `computed` after rows of a buffer were filled, with the buffer so far.

    Raises
    ------
    BlockError
        A block failed; the message names it, the file and the rows.
    """
    shards = OpenShards(spec, ranges)
    if shards.first is None:
        return
    reductions = spec.reductions.load() if spec.reductions else {}
    with Blocks(
        spec.graph, spec.backend, spec.micro_batch, begun, spec.sources, reductions=reductions
    ) as blocks:
        for name, seconds in blocks.setup_seconds.items():
            shards.first.add_seconds(name, seconds)
        filler = Filler(spec, computed or _ignore)
        for work, part in _parts(spec, stretches, shards, blocks):
            filler.fill(work, part, blocks.size)
            for buffer in shards.full():
                yield filler.completed(buffer)


def _parts(
    spec: ComputeSpec, stretches: Sequence[Stretch], shards: OpenShards, blocks: Blocks
) -> Iterator[tuple[Work, Part]]:
    """Yield the results for the rows of all shards, in order."""
    batches: Generator[Any]
    if not spec.reads_corpus:
        batches = unread(stretches)
    elif blocks.joined_batch is None:
        batches = one_by_one(read_stretches(stretches, spec.opener, spec.columns))
    else:
        decode = text_decoder(spec, load(spec.backend), stretches)
        read = read_stretches(stretches, spec.opener, spec.columns, decode)
        batches = gathered(read, lambda: blocks.joined_batch or blocks.size)
    preparation = Preparation(spec, blocks.host_buffer)
    stream: Stream[Work]
    with blocks.stream() as stream, closing(read_ahead(batches, lambda: stream.oldest)) as groups:
        clock = time.perf_counter()
        for group in groups:
            if not group:
                yield from stream.done()
                clock = time.perf_counter()
                continue
            if shards.first is not None:
                shards.first.add_seconds("read", time.perf_counter() - clock)
            first, last = group[0][1], group[-1][1] + len(group[-1][2])
            # Unread rows may be a whole file, and what they take is loaded shard by shard.
            most = last - first if spec.reads_corpus else (blocks.joined_batch or blocks.size).rows
            for start, stop, buffers in shards.runs(first, last, most):
                work = preparation.work(slice_of(group, start, stop), buffers)
                yield from stream.send(work)
            if not shards.has_rows_from(last):
                break
            clock = time.perf_counter()
        yield from stream.rest()


def _ignore(_: ShardBuffer) -> None:
    """Do nothing."""
