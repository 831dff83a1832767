"""`verify`: recomputes a store from its corpus with the reference backend; compares every bit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import pyarrow as pa

from ...graphs.graph import Graph
from ...storage.corpus.index import CorpusIndex
from ...storage.corpus.relocation import CorpusLocation
from ...storage.errors import UsageError
from ...storage.messages.tracebacks import short_traceback
from ...storage.store.dataset import StoredArrays
from ...storage.store.digests import is_unchanged
from ...storage.store.duplicates import find_duplicates
from ...storage.store.layout import DUPLICATE
from ...storage.store.reader import ResultsStore
from ...storage.store.shards import Marker, StoreLayout, marked_shards, quarantined_of
from ...storage.store.stages.record import StageRecord
from ...storage.store.stages.reductions import read_reduction_marker
from ...storage.targets.target import Target
from ..worker.compute import compute
from ..worker.values.compute_spec import ComputeSpec
from ..worker.values.shard_buffer import ShardBuffer
from .recomputing import ModelLocation, Recomputed, recomputed_blocks

_REFERENCE = "reference"
_MAX_PROBLEMS = 20
_RUN_ROWS = 256
"""Neighbouring rows of a sample that are read together, if it has enough for `_SPREAD` places."""

_SPREAD = 16
"""Places that a sample is spread over, if it and the store have as many texts and shards."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The outcome of `verify`; true if it passed, which it did if `problems` is empty."""

    results: str
    rows: int  # rows whose values were recomputed and compared
    shards: int  # shards whose stored bytes were compared with their digests
    recomputed: tuple[str, ...]  # blocks
    digest_only: tuple[str, ...]  # blocks that were not recomputed
    not_recomputed: Mapping[str, str]  # why not, by block
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether no problem was found."""
        return not self.problems

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        outcome = "passed" if self.passed else f"{len(self.problems):,} problems"
        shown = "".join(f"\n  {problem}" for problem in self.problems)
        others = f", without {', '.join(self.digest_only)}" if self.digest_only else ""
        return (
            f"<Verification of {self.results}: {outcome}; {self.rows:,} texts recomputed{others}, "
            f"bytes of {self.shards:,} shard(s) compared>{shown}"
        )


@short_traceback
def verify(
    results: str | PathLike[str],
    *,
    sample: int | None = None,
    corpus: CorpusLocation | None = None,
    models: ModelLocation | Sequence[ModelLocation] = (),
    storage_options: Mapping[str, Any] | None = None,
) -> Verification:
    """Check a store against its corpus and against the digests recorded when it was written.

    Every shard's stored bytes are compared with the digests in its marker. Then its texts, ids and
    kept columns are read from the corpus again, the built-in blocks are recomputed by `reference`
    and embeddings by their models, and everything is compared for equality. The result says what
    was not recomputed, and why: blocks of your own, whose code is not in the store, and embeddings
    whose model or engine is not there, or might have other last bits here. For shards that are
    quarantined until a later run, only the bytes are compared. Marks of duplicates are recomputed
    from the stored digests unless `sample` is given.

    Parameters
    ----------
    results : str or path
        The store, finished or not.
    sample : int, optional
        Check about this many texts, spread over the store, and the bytes of their shards: at least
        16 shards, if there are as many shards and texts to check. By default everything is checked.
    corpus : str, path, list of them, or Corpus, optional
        Where the corpus is now, if not where the last run found it; or the data, if they lay in
        memory, or were those of a dask frame.
    models : str, path or list of them, optional
        Where embedding models are now, if not where the runs found them: see `embedding`.
    storage_options : mapping, optional
        Passed to fsspec, for results, corpus and models.

    Raises
    ------
    ResultsNotFound
        The store does not exist.
    UsageError
        A model of `models` is not one of the store.
    CorpusChanged
        A corpus file is no longer the one that was hashed.
    """
    if sample is not None and (not isinstance(sample, int) or sample < 1):
        raise UsageError(f"sample must be a whole number of texts, at least one, not {sample!r}")
    store = ResultsStore.open(results, storage_options, corpus)
    index, layout = store.index, store.layout
    markers = marked_shards(store.target, layout)
    problems = [] if len(markers) == layout.shards else [_unfinished(markers, layout)]
    again = recomputed_blocks(store, models, storage_options)
    spec = _spec(store, again)
    provisional = [shard for shard, marker in markers.items() if marker.provisional]
    ranges = _ranges(layout, sorted(set(markers) - set(provisional)), sample)
    recomputed = {start // layout.shard_rows for start, _ in ranges}
    checked = sorted(recomputed.union(provisional if sample is None else []))
    rows = 0
    for shard in checked:
        problems += _objects(store.target, markers[shard].objects)
    for part in _computed(spec, index, ranges):
        rows += part.stop - part.start
        if markers[part.start // layout.shard_rows].quarantined:
            _take_out_failed(store, spec, part)
        problems += _differences(store.arrays, spec, part)
        if len(problems) > _MAX_PROBLEMS:
            problems = [*problems[:_MAX_PROBLEMS], "and more: the check stopped here"]
            break
    if index.cleaning.duplicates and sample is None and not problems:
        problems += _marks(store.arrays, layout)
    for record in store.stages if len(problems) <= _MAX_PROBLEMS else ():
        problems += _later_bytes(store, record, checked if sample else None)
    return Verification(
        results=store.url,
        rows=rows,
        shards=len(checked),
        recomputed=tuple(block.name for block in again.blocks),
        digest_only=tuple(again.others),
        problems=tuple(problems),
        not_recomputed=again.others,
    )


def _spec(store: ResultsStore, again: Recomputed) -> ComputeSpec:
    """Return how to recompute all fields but those of blocks that cannot be."""
    index = store.index
    first = {field.name for field in store.layout.fields}
    later = [block for block in again.blocks if block.fields[0].name not in first]
    return ComputeSpec(
        graph=Graph(again.blocks),
        backend=_REFERENCE,
        columns=index.selection,
        id_column=index.id,
        keep=index.keep,
        fields=(
            *(field for field in store.layout.fields if field.name not in again.other_arrays),
            *(field for block in later for field in block.fields),
        ),
        opener=store.opener,
    )


def _unfinished(markers: Mapping[int, Marker], layout: StoreLayout) -> str:
    done = f"{len(markers)} of {layout.shards} shards are done"
    return f"unfinished: {done}; run the same command again to finish"


def _ranges(
    layout: StoreLayout, shards: Sequence[int], sample: int | None
) -> list[tuple[int, int]]:
    """Return the row ranges to check: whole shards, or ranges spread evenly over them."""
    if sample is None or not shards:
        return [layout.bounds(shard) for shard in shards]
    runs = min(len(shards), max(min(sample, _SPREAD), -(-sample // _RUN_ROWS)))
    length = -(-sample // runs)
    generator = np.random.default_rng(int(layout.fingerprint[:16], 16))
    chosen = []
    for at in np.linspace(0, len(shards) - 1, runs).astype(int):
        start, stop = layout.bounds(shards[at])
        first = int(generator.integers(start, max(start, stop - length) + 1))
        chosen.append((first, min(first + length, stop)))
    return chosen


def _computed(
    spec: ComputeSpec, index: CorpusIndex, ranges: Sequence[tuple[int, int]]
) -> Iterator[ShardBuffer]:
    """Compute the ranges; those that are read in one pass are computed together."""
    for group in _passes(index, ranges):
        yield from compute(spec, index.stretches(group[0][0], group[-1][1]), group)


def _passes(
    index: CorpusIndex, ranges: Sequence[tuple[int, int]]
) -> Iterator[list[tuple[int, int]]]:
    """Yield ranges in one file together if nothing between them is read needlessly.

    So a compressed file is read only once, and of a large file only what a sample needs.
    """
    group: list[tuple[int, int]] = []
    file = -1
    for start, stop in ranges:
        its_file = int(np.searchsorted(index.starts, start, side="right"))
        upto = group[-1][1] if group else -1
        if group and (its_file != file or not (upto == start or _one_unit(index, upto - 1, start))):
            yield group
            group = []
        if not group:
            file = its_file
        group.append((start, stop))
    if group:
        yield group


def _one_unit(index: CorpusIndex, row: int, later: int) -> bool:
    """Return whether two rows of a corpus are decoded together."""
    one, other = (index.stretches(at, at + 1)[0] for at in (row, later))
    return (one.file, one.span.unit_row) == (other.file, other.span.unit_row)


def _take_out_failed(store: ResultsStore, spec: ComputeSpec, part: ShardBuffer) -> None:
    """Fill the rows for which, by the store's quarantine, a block of the user's own failed.

    Those blocks are not run again.
    """
    rows = [
        entry.row - part.start
        for entry in quarantined_of(store.target, part.start // store.layout.shard_rows)
        if entry.block is not None and entry.row is not None
    ]
    within = [row for row in rows if 0 <= row < len(part)]
    part.take_out(within, spec.valid, spec.graph.arrays)


def _later_bytes(
    store: ResultsStore, record: StageRecord, first: Sequence[int] | None
) -> Iterator[str]:
    """Compare the stored bytes of a later stage with their digests.

    Parameters
    ----------
    first : sequence of int, optional
        The shards of the first stage whose rows are checked; by default all.
    """
    fingerprint = store.stages.fingerprint(record)
    if record.is_reduction:
        result = read_reduction_marker(store.target, record.name, fingerprint)
        if result is None:
            yield f"the reduction {record.name!r} is not finished; run again to compute it"
        else:
            yield from _objects(store.target, result.objects)
        return
    layout = store.stages.layout(record)
    markers = marked_shards(store.target, layout)
    if len(markers) < layout.shards:
        yield f"stage {record.name!r}: {_unfinished(markers, layout)}"
    for shard, marker in markers.items():
        start, _ = layout.bounds(shard)
        if first is None or start // store.layout.shard_rows in first:
            yield from _objects(store.target, marker.objects)


def _objects(target: Target, objects: Mapping[str, tuple[int, str]]) -> Iterator[str]:
    for key, expected in objects.items():
        data = target.get(key)
        if data is None:
            yield f"{key} is missing"
        elif not is_unchanged(data, *expected):
            yield f"{key} is not what was written: its digest differs"


def _marks(stored: StoredArrays, layout: StoreLayout) -> Iterator[str]:
    name = DUPLICATE.name
    try:
        written = np.asarray(stored[name][:])
    except Exception as error:  # noqa: BLE001 (a codec may raise anything on damaged bytes)
        yield f"{name}: cannot be decoded: {error}"
        return
    rows = np.flatnonzero(written != find_duplicates(stored, layout))
    if len(rows):
        yield (
            f"{name}, row {int(rows[0])}: stored and computed marks differ "
            f"({len(rows)} of {layout.rows} rows)"
        )


def _differences(arrays: StoredArrays, spec: ComputeSpec, part: ShardBuffer) -> Iterator[str]:
    for field in spec.fields:
        expected = part.arrays[field.name]
        if isinstance(expected, pa.Array):
            expected = np.array(expected.to_pylist(), object)
        try:
            stored = np.asarray(arrays[field.name][part.start : part.stop])
        except Exception as error:  # noqa: BLE001 (a codec may raise anything on damaged bytes)
            yield f"{field.name}, rows {part.start}-{part.stop - 1}: cannot be decoded: {error}"
            continue
        rows = np.flatnonzero(field.kind.unequal(expected, stored))
        if len(rows):
            yield (
                f"{field.name}, row {part.start + int(rows[0])}: stored and computed values "
                f"differ ({len(rows)} of rows {part.start}-{part.stop - 1})"
            )
