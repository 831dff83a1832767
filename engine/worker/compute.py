"""From rows of a corpus to the arrays of a shard: reading and the blocks, no cluster, no store.

A run's tasks and `verify` both go through here; they differ in backend and in what becomes of the
arrays.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa

from ...graphs.graph import Graph
from ...storage.cleaning.normal_forms import NONE_MET, NormalForms
from ...storage.corpus.opening import FileOpener
from ...storage.corpus.reading import read_stretches
from ...storage.field import STRING, Field
from ...storage.rows import Column, ColumnSelection, Rows, Stretch, validity
from ...storage.store.quarantine import QuarantinedRows, merge, set_aside
from ...storage.text import PackedText
from .blocks import Blocks
from .micro_batch import MicroBatch

Arrays = dict[str, Any]
"""A field's values by its name: a NumPy array, or an Arrow one for strings of the corpus."""


@dataclass(frozen=True)
class Recipe:
    """How rows become arrays: which columns are read, which blocks run, and on what."""

    graph: Graph
    backend: str  # a name, resolved where the work is done
    selection: ColumnSelection
    identity: Column | None  # None: a text's id is its row number
    keep: tuple[Column, ...]  # columns that become arrays too
    fields: tuple[Field, ...]  # every array of the store
    opener: FileOpener
    micro_batch: MicroBatch | None  # None: as suits the backend


@dataclass
class RowRange:
    """Rows ``[start, stop)`` of the corpus, computed."""

    start: int
    stop: int
    arrays: Arrays
    quarantined: list[QuarantinedRows] = field(default_factory=list)
    text_bytes: int = 0
    forms: NormalForms = NONE_MET  # met up to `stop`, if texts are not brought into one
    seconds: dict[str, float] = field(default_factory=dict)  # by block, and waiting to "read"
    strings: dict[str, list[pa.Array]] = field(default_factory=dict)  # columns, as they come
    micro_batch: tuple[int, int] | None = None  # texts, and their bytes, that a block was given


def compute(
    recipe: Recipe, stretches: Sequence[Stretch], ranges: Iterable[tuple[int, int]]
) -> Iterator[RowRange]:
    """Read `stretches` once, in order, and yield each of the ascending `ranges` when it is full.

    Rows outside the ranges are read over. Only one range is held, and the next one asked for when
    it was taken.

    Raises
    ------
    BlockError
        A block failed; the message names it, the file and the rows.
    """
    blocks = Blocks(recipe.graph, recipe.backend, recipe.micro_batch)
    batches = read_stretches(stretches, recipe.opener, recipe.selection)
    if blocks.enough:
        batches = _gathered(batches, blocks)
    todo = iter(ranges)
    current = _begin(recipe, next(todo, None))
    if current is None:
        return
    clock = time.perf_counter()
    for stretch, row, rows in _read_ahead(batches):
        while current is not None and row + len(rows) > current.start:
            low, high = max(row, current.start), min(row + len(rows), current.stop)
            _add_seconds(current, "read", time.perf_counter() - clock)
            if low < high:
                part = rows.slice(low - row, high - row)
                _fill(recipe, blocks, current, low, stretch, part)
            clock = time.perf_counter()
            if high < current.stop:
                break
            current.quarantined = merge(current.quarantined)
            for name, parts in current.strings.items():
                current.arrays[name] = pa.concat_arrays(parts)
            yield current
            # A form that was met is not looked for in the ranges behind.
            current = _begin(recipe, next(todo, None), current.forms)
            clock = time.perf_counter()
        if current is None:
            return


Batch = tuple[Stretch, int, Rows]  # what was read, where from, and its first row in the corpus


def _read_ahead(batches: Generator[Batch]) -> Iterator[Batch]:
    """Read one batch while the one before it is computed."""
    with closing(batches), ThreadPoolExecutor(1, "paninifs-read") as reader:
        coming = reader.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = reader.submit(next, batches, None)
            yield batch


def _gathered(batches: Generator[Batch], blocks: Blocks) -> Generator[Batch]:
    """Join the batches of a stretch until they have rows, or text, enough for the blocks."""
    with closing(batches):
        for _, same in groupby(batches, key=lambda batch: batch[0]):
            held: list[Batch] = []
            for batch in same:
                held.append(batch)
                rows = sum(len(rows) for *_, rows in held)
                nbytes = sum(rows.text.nbytes for *_, rows in held)
                enough = blocks.enough
                if enough is None or rows >= enough.rows or nbytes >= enough.text_bytes:
                    yield _joined(held)
                    held = []
            if held:
                yield _joined(held)


def _joined(held: Sequence[Batch]) -> Batch:
    stretch, row, rows = held[0]
    return stretch, row, Rows.joined([rows for *_, rows in held]) if len(held) > 1 else rows


def _begin(
    recipe: Recipe, bounds: tuple[int, int] | None, forms: NormalForms = NONE_MET
) -> RowRange | None:
    if bounds is None:
        return None
    length = bounds[1] - bounds[0]
    columns = {"id" if recipe.identity else "", *(kept.array for kept in recipe.keep)}
    arrays = {
        one.name: np.empty((length, *one.shape), one.array_dtype)
        for one in recipe.fields
        if one.dtype != STRING or one.name not in columns
    }
    return RowRange(*bounds, arrays, forms=forms)


def _fill(
    recipe: Recipe, blocks: Blocks, current: RowRange, row: int, stretch: Stretch, rows: Rows
) -> None:
    """Compute a batch and lay it into its place in the range."""
    at = row - current.start
    here = slice(at, at + len(rows))
    usable = validity(rows.text)
    current.arrays["valid"][here] = usable
    _fill_columns(recipe, current, here, row, rows)
    current.quarantined += [set_aside(stretch, fault) for fault in rows.faults]
    if recipe.selection.cleaning.unicode is None:
        current.forms = current.forms.met(rows.text, row)
    if usable.any():
        _run_blocks(blocks, current, at, stretch, rows)
    if not usable.all():
        for one in recipe.graph.fields:
            current.arrays[one.name][here][~usable] = one.fill


def _run_blocks(blocks: Blocks, current: RowRange, at: int, stretch: Stretch, rows: Rows) -> None:
    text = PackedText.from_arrow(rows.text)
    current.text_bytes += text.nbytes

    def where(start: int, stop: int) -> str:
        return f"{stretch.file.url}, rows {rows.start + start}-{rows.start + stop - 1}"

    current.micro_batch = blocks.size.rows, blocks.size.text_bytes
    for part in blocks.run(text, where):
        for name, array in part.arrays.items():
            current.arrays[name][at + part.start : at + part.stop] = array
        for name, seconds in part.seconds.items():
            _add_seconds(current, name, seconds)


def _fill_columns(recipe: Recipe, current: RowRange, here: slice, row: int, rows: Rows) -> None:
    arrays = current.arrays
    if recipe.identity is None:
        arrays["id"][here] = np.arange(row, row + len(rows))
    named = [("id", recipe.identity)] if recipe.identity else []
    for name, column in [*named, *((kept.array, kept) for kept in recipe.keep)]:
        values = rows.columns[column.name]
        arrays[f"{name}_valid"][here] = known = validity(values)
        if column.kind == "string":
            filled = values if known.all() else values.fill_null("")
            current.strings.setdefault(name, []).append(filled.cast(pa.large_string()))
        else:
            filled = values if known.all() else values.fill_null(pa.scalar(0).cast(values.type))
            arrays[name][here] = filled.to_numpy(zero_copy_only=False)


def _add_seconds(current: RowRange, name: str, seconds: float) -> None:
    current.seconds[name] = current.seconds.get(name, 0.0) + seconds
