"""Planning: shards tile the rows, partitions the shards, spans of files the partitions."""

import inspect

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paninifs.storage.corpus import partition
from paninifs.storage.corpus.partition import (
    FEW_SHARDS,
    MAX_SHARD_BYTES,
    MAX_SHARD_ROWS,
    MAX_SHARD_SECONDS,
    MIN_SHARD_ROWS,
    MIN_SHARD_SECONDS,
    SHARDS_AIMED_AT,
    FileRows,
    Sharding,
    file_spans,
    plan,
    shard_bounds,
)

many = settings(deadline=None, database=None, max_examples=150)


@st.composite
def corpora(draw):
    """Files of units (some without any), each unit with an offset of its own."""
    files = []
    for units in draw(st.lists(st.lists(st.integers(1, 60), max_size=6), max_size=6)):
        offsets = tuple(draw(st.integers(0, 5)) + 100 * n for n in range(len(units)))
        files.append(FileRows(tuple(units), offsets))
    return files


sizes = st.sampled_from([1, 2, 4, 8, 16, 32])


def total(files):
    return sum(file.rows for file in files)


def starts_of(files):
    """First row of each file, then the total."""
    return [total(files[:number]) for number in range(len(files) + 1)]


def units_of(files):
    """Rows ``[start, stop)`` of the corpus that each unit holds."""
    start, found = 0, []
    for file in files:
        for rows in file.units:
            found.append((start, start + rows))
            start += rows
    return found


@given(
    st.integers(0, 10**11),
    st.integers(0, 10**8),
    st.sampled_from([0.0, 1e-7, 1e-4, 0.02, 1.0, 59.0, 1e4]),
    st.sampled_from([FEW_SHARDS, SHARDS_AIMED_AT]),
)
@many
def test_the_rows_per_shard_are_a_power_of_two_within_bounds(rows, row_bytes, seconds, shards):
    size = Sharding(None, shards, seconds).choose(rows, row_bytes)
    assert size & (size - 1) == 0
    assert 1 <= size <= MAX_SHARD_ROWS
    assert size * row_bytes <= MAX_SHARD_BYTES or size == 1
    assert size * seconds <= MAX_SHARD_SECONDS or size == 1
    small = row_bytes * MIN_SHARD_ROWS <= MAX_SHARD_BYTES
    quick = seconds * MIN_SHARD_ROWS <= MAX_SHARD_SECONDS
    least = (
        min(MIN_SHARD_ROWS, max(1, int(MIN_SHARD_SECONDS / seconds))) if seconds else MIN_SHARD_ROWS
    )
    assert 2 * size > least or not (small and quick)
    assert size * shards <= rows or size <= least
    # It is the largest: twice as many rows would exceed a limit.
    double = 2 * size
    assert (
        double > max(rows // shards, least)
        or double > MAX_SHARD_ROWS
        or double * row_bytes > MAX_SHARD_BYTES
        or double * seconds > MAX_SHARD_SECONDS
    )


def test_the_rows_per_shard_may_be_set_by_the_user():
    assert Sharding(512, FEW_SHARDS, 1.0).choose(10**9, 10**6) == 512


@given(st.integers(1, 10_000), sizes)
@many
def test_shards_tile_the_rows(rows, size):
    bounds = [shard_bounds(shard, rows, size) for shard in range(-(-rows // size))]
    assert [start for start, _ in bounds] == list(range(0, rows, size))
    assert [stop for _, stop in bounds] == [*(start for start, _ in bounds[1:]), rows]
    assert all(0 < stop - start <= size for start, stop in bounds)


@given(corpora(), sizes)
@many
def test_partitions_are_whole_shards_and_tile_them_all(files, size):
    partitions = plan(files, size)
    rows = total(files)
    assert [p.number for p in partitions] == list(range(len(partitions)))
    shards = [shard for p in partitions for shard in range(p.shard_start, p.shard_stop)]
    assert shards == list(range(-(-rows // size)))
    for p in partitions:
        assert p.shard_start < p.shard_stop
        assert p.row_start == shard_bounds(p.shard_start, rows, size)[0]
        assert p.row_stop == shard_bounds(p.shard_stop - 1, rows, size)[1]
        assert p.rows == p.row_stop - p.row_start


@given(corpora(), sizes)
@many
def test_each_unit_is_decoded_once_plus_less_than_a_shard(files, size):
    partitions = plan(files, size)
    for start, stop in units_of(files):
        overlaps = [
            (max(start, p.row_start), min(stop, p.row_stop))
            for p in partitions
            if max(start, p.row_start) < min(stop, p.row_stop)
        ]
        assert 1 <= len(overlaps) <= 2
        *heads, (_, last) = overlaps
        assert last == stop
        for first, end in heads:
            assert first == start
            assert end - first < size


@given(corpora(), sizes)
@many
def test_partitions_are_as_small_as_that_allows(files, size):
    # Every inner shard boundary that costs no second decoding is a cut.
    rows, cuts = total(files), {p.row_start for p in plan(files, size)}
    for boundary in range(size, rows, size):
        inside = [start for start, stop in units_of(files) if start < boundary < stop]
        free = all(boundary - start < size for start in inside)
        assert (boundary in cuts) == free


@given(corpora(), sizes)
@many
def test_spans_tile_each_partition_and_begin_at_their_units(files, size):
    where = [(number, row) for number, file in enumerate(files) for row in range(file.rows)]
    read = []
    for p in plan(files, size):
        found = list(file_spans(files, starts_of(files), p.row_start, p.row_stop))
        assert all(span.start < span.stop for _, span in found)
        rows = [(number, row) for number, span in found for row in range(span.start, span.stop)]
        assert len(rows) == p.rows
        read += rows
        for number, span in found:
            file = files[number]
            unit = file.offsets.index(span.unit_offset)
            first = sum(file.units[:unit])
            assert span.unit_row == first
            assert first <= span.start < first + file.units[unit]
    assert read == where


@given(corpora(), st.data())
@many
def test_spans_of_any_rows_are_those_rows(files, data):
    where = [(number, row) for number, file in enumerate(files) for row in range(file.rows)]
    start = data.draw(st.integers(0, len(where)))
    stop = data.draw(st.integers(start, len(where)))
    found = list(file_spans(files, starts_of(files), start, stop))
    rows = [(number, row) for number, span in found for row in range(span.start, span.stop)]
    assert rows == where[start:stop]


@given(st.integers(1, 10**6), sizes, st.integers(0, 50))
@many
def test_a_compressed_file_is_one_partition(rows, size, before):
    # A single unit: only the shard that it shares with the file before belongs to another task.
    files = [FileRows((before,) if before else (), (0,) if before else ()), FileRows((rows,), (0,))]
    partitions = plan(files, size)
    mine = [p for p in partitions if p.row_stop > before and p.row_start < before + rows]
    whole = [p for p in mine if p.row_start >= before]
    assert len(whole) <= 1
    assert sum(min(p.row_stop - before, rows) for p in mine if p.row_start < before) < size
    assert len(plan([FileRows((rows,), (0,))], size)) == 1


def test_an_empty_corpus_has_no_partitions():
    assert plan([], 4096) == []
    assert plan([FileRows((), ())], 4096) == []
    assert list(file_spans([FileRows((), ())], [0, 0], 0, 0)) == []


def test_the_plan_is_a_function_of_the_files_and_the_size_alone(monkeypatch):
    files = [FileRows((5_000,) * 20, tuple(range(20))), FileRows((100_000,), (0,))]
    expected = plan(files, 4096)
    for cpus in (1, 64):
        monkeypatch.setattr("os.cpu_count", lambda cpus=cpus: cpus)
        monkeypatch.setenv("DASK_DISTRIBUTED__WORKER__NTHREADS", str(cpus))
        assert plan(files, 4096) == expected
        assert Sharding().choose(200_000) == 4096
    assert list(inspect.signature(plan).parameters) == ["files", "shard_rows"]
    assert list(inspect.signature(Sharding).parameters) == ["rows", "shards", "text_seconds"]
    assert list(inspect.signature(Sharding.choose).parameters) == ["self", "rows", "row_bytes"]


@pytest.mark.parametrize("name", ["os", "pathlib", "fsspec", "psutil", "dask", "numpy"])
def test_planning_knows_no_files_and_no_machine(name):
    assert name not in vars(partition)
