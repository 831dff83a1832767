"""The store: its metadata, and how shards are written, marked, found again and cleaned up."""

import json
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from one_by_one import OneByOneTarget

from paninifs import Field
from paninifs.storage.errors import UsageError
from paninifs.storage.rows import Column
from paninifs.storage.store.keys import ROOT_KEY, marker_key, shard_key
from paninifs.storage.store.layout import metadata, stored_fields, with_attributes
from paninifs.storage.store.quarantine import QuarantinedRows, from_parquet
from paninifs.storage.store.shards import (
    ShardContents,
    StoreLayout,
    commit_shards,
    done_shards,
    is_intact,
    leftovers,
    read_marker,
)

ROWS, SIZE = 1000, 256
ROOTS = ("RELATE", "MODAL", "EXIST")
COMPUTED = (
    Field("weight", "float32", (3,), ("root",), {"root": ROOTS}, "how much"),
    Field("base", "float64", (2,), ("prime",), {"prime": (2, 3)}),
    Field("digest", "uint8", (4,), ("byte",)),
    Field("length", "int64"),
    Field("long", "bool"),
    Field("note", "string"),
)
FIELDS = stored_fields(Column("key", "string"), [Column("year", "int64")], COMPUTED)


def entry(row, rows, *, file_row, reason="null text"):
    return QuarantinedRows(row=row, rows=rows, file="a", file_row=file_row, reason=reason)


class Recording(OneByOneTarget):
    """Remembers the order in which objects were written."""

    def __init__(self, path):
        super().__init__(path)
        self.written = []

    def put(self, key, data):
        self.written.append(key)
        super().put(key, data)


def commit(target, layout, shard, arrays, quarantined=(), text_bytes=0):
    contents = ShardContents(
        shard=shard, arrays=arrays, quarantined=quarantined, text_bytes=text_bytes
    )
    (marker,) = commit_shards(target, layout, [contents])
    return marker


@pytest.fixture
def target(tmp_path):
    return Recording(tmp_path / "store.zarr")


@pytest.fixture(scope="module")
def values():
    """Values of every array for all rows; the last shard is not full."""
    random = np.random.default_rng(108)
    return {
        "id": np.array([f"clé-{n}" for n in range(ROWS)], object),
        "id_valid": random.random(ROWS) > 0.1,
        "year": random.integers(-(2**60), 2**60, ROWS),
        "year_valid": random.random(ROWS) > 0.5,
        "weight": random.random((ROWS, 3), np.float32),
        "base": random.random((ROWS, 2)) * 1e20,
        "digest": random.integers(0, 256, (ROWS, 4), np.uint8),
        "length": random.integers(0, 2**40, ROWS),
        "long": random.random(ROWS) > 0.5,
        "note": np.array(["", "dhātu", "\U0001f409" * 3, "a\nb"] * (ROWS // 4), object),
        "valid": random.random(ROWS) > 0.05,
    }


@pytest.fixture
def layout():
    return StoreLayout(FIELDS, ROWS, SIZE, "fingerprint-1")


@pytest.fixture
def begun(target, layout):
    """A store with its metadata, but no values."""
    for key, data in metadata(
        [(field, SIZE, 0) for field in FIELDS], ROWS, {"complete": False}
    ).items():
        target.put(key, data)
    target.written.clear()
    return target


@pytest.fixture
def write(begun, layout, values):
    """Commit a shard of the values."""

    def commit_shard(shard, quarantined=(), layout=layout, target=begun):
        start, stop = layout.bounds(shard)
        arrays = {name: array[start:stop] for name, array in values.items()}
        return commit(target, layout, shard, arrays, quarantined, 77)

    return commit_shard


@pytest.fixture
def full(begun, write, layout):
    for shard in range(layout.shards):
        write(shard)
    return begun


# --- metadata -----------------------------------------------------------------------------------


def test_open_zarr_opens_the_store_without_a_warning(begun):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = xr.open_zarr(begun.url)
        found.load()
    assert dict(found.sizes) == {"text": ROWS, "root": 3, "prime": 2, "byte": 4}
    assert found.weight.dims == ("text", "root")
    assert found.weight.shape == (ROWS, 3)
    assert found.valid.dims == ("text",)
    assert found.root.values.tolist() == list(ROOTS)
    assert found.prime.values.tolist() == [2, 3]
    assert set(found.coords) == {"id", "root", "prime"}
    assert found.weight.attrs["description"] == "how much"
    assert found.attrs["complete"] is False
    kinds = {name: found[name].dtype.kind for name in ("weight", "digest", "length", "long")}
    assert kinds == {"weight": "f", "digest": "u", "length": "i", "long": "b"}


def test_unwritten_values_are_zeros_and_not_valid(begun):
    found = xr.open_zarr(begun.url).load()
    assert not found.valid.any()
    assert not found.weight.any()
    assert set(found.note.values) == {""}


def test_metadata_is_consolidated_and_the_root_comes_last(layout):
    objects = metadata([(field, SIZE, 0) for field in FIELDS], ROWS, {"complete": False})
    assert list(objects)[-1] == ROOT_KEY
    root = json.loads(objects[ROOT_KEY])
    consolidated = root["consolidated_metadata"]["metadata"]
    assert set(consolidated) == {field.name for field in FIELDS} | {"root", "prime"}
    for name, document in consolidated.items():
        assert json.loads(objects[f"{name}/zarr.json"]) == document


def test_stores_begun_at_the_same_time_do_not_warn(layout):
    def begin(_):
        return metadata([(field, SIZE, 0) for field in layout.fields], layout.rows, {})

    with ThreadPoolExecutor(8) as pool:  # warnings are errors here
        made = list(pool.map(begin, range(64)))
    assert all(one == made[0] for one in made)


def test_shape_shards_chunks_and_checksum_of_an_array():
    for rows, size in ((1, 4096), (ROWS, SIZE), (100_000, 16_384)):
        root = json.loads(metadata([(field, size, 0) for field in FIELDS], rows, {})[ROOT_KEY])
        for field in FIELDS:
            document = root["consolidated_metadata"]["metadata"][field.name]
            assert document["shape"] == [rows, *field.shape]
            chunk = document["chunk_grid"]["configuration"]["chunk_shape"]
            assert chunk == [size, *field.shape]
            (sharding,) = document["codecs"]
            inner = sharding["configuration"]
            assert inner["chunk_shape"] == [min(size, 8192), *field.shape]
            assert inner["index_location"] == "start"
            assert inner["codecs"][-1]["configuration"]["checksum"] is True
            assert document["dimension_names"] == ["text", *field.dims]


def test_setting_attributes_keeps_the_rest_of_the_root(begun):
    before = json.loads(begun.get(ROOT_KEY))
    begun.put(ROOT_KEY, with_attributes(begun.get(ROOT_KEY), complete=True, summary={"rows": 1}))
    after = json.loads(begun.get(ROOT_KEY))
    assert after["attributes"] == before["attributes"] | {"complete": True, "summary": {"rows": 1}}
    assert after["consolidated_metadata"] == before["consolidated_metadata"]
    assert xr.open_zarr(begun.url).attrs["complete"] is True


def test_the_order_of_arrays_ends_with_valid():
    names = [field.name for field in FIELDS]
    computed = [field.name for field in COMPUTED]
    assert names == ["id", "id_valid", "year", "year_valid", *computed, "valid"]
    assert FIELDS[0].dtype == "string"
    (row, *_) = without = stored_fields(None, [], COMPUTED)
    assert (row.name, row.dtype) == ("id", "int64")
    assert [field.name for field in without] == ["id", *computed, "valid"]


@pytest.mark.parametrize(
    ("keep", "computed"),
    [
        (["length"], COMPUTED),
        (["valid"], COMPUTED),
        (["id"], COMPUTED),
        (["root"], COMPUTED),
        (["text"], COMPUTED),
        (["year", "year"], COMPUTED),
        ([], (Field("a", "int64"), Field("a", "int8"))),
        ([], (Field("year", "int64"), Field("b", "int64", (2,), ("year",)))),
    ],
)
def test_two_arrays_of_one_name_are_refused(keep, computed):
    with pytest.raises(UsageError, match="two arrays of the results would be called"):
        stored_fields(None, [Column(name, "string") for name in keep], computed)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("my column", "my_column"),
        ("1st", "column_1st"),
        ("_x", "column__x"),
        ("a/b", "a_b"),
        ("", "column_"),
        ("pr\udce9nom", "pr_nom"),
        ("prénom", "prénom"),
        ("हिन्दी.अर्थ", "हिन्दी_अर्थ"),
        ("..", "column___"),
    ],
)
def test_a_kept_column_of_any_name_has_a_valid_array_name(name, array):
    fields = stored_fields(None, [Column(name, "string")], COMPUTED)

    assert [field.name for field in fields][1:3] == [array, f"{array}_valid"]


# --- writing a shard ----------------------------------------------------------------------------


def test_valid_is_the_last_array_and_the_marker_comes_last(write, begun, layout):
    write(1, [entry(300, 2, file_row=3)])
    *objects, quarantine, marker = begun.written
    assert objects == [shard_key(field, 1) for field in FIELDS]
    assert objects[-1] == "valid/c/1"
    assert (quarantine, marker) == ("_run/quarantine/00000001.parquet", marker_key(1))
    begun.written.clear()
    write(0)
    assert begun.written == [*(shard_key(field, 0) for field in FIELDS), marker_key(0)]


def test_a_marker_describes_the_shard(write, begun, layout, values):
    quarantined = [entry(768, 2, file_row=3), entry(9, 1, file_row=9, reason="torn")]
    marker = write(3, quarantined)
    assert read_marker(begun, layout, 3) == marker
    assert (marker.shard, marker.rows, marker.quarantined) == (3, ROWS - 768, 3)
    without = values["valid"] & ~values["id_valid"]  # quarantined rows do not count
    assert marker.null_ids == np.count_nonzero(without[768:]) > 0
    assert (marker.text_bytes, marker.fingerprint) == (77, "fingerprint-1")
    assert len(marker.objects) == len(FIELDS) + 1
    assert is_intact(begun, marker.objects)
    assert from_parquet(begun.get("_run/quarantine/00000003.parquet")) == quarantined


def test_zarr_and_xarray_read_what_was_written(full, values):
    group = zarr.open_group(full.url, mode="r")
    found = xr.open_zarr(full.url).load()
    for name, array in values.items():
        assert group[name].shape == array.shape
        np.testing.assert_array_equal(group[name][:], array)
        np.testing.assert_array_equal(found[name].values, array)
    assert found.id.dims == ("text",)


def test_tensorstore_reads_the_numbers(full, values):
    import tensorstore

    read = 0
    for field in FIELDS:
        if field.dtype == "string":  # tensorstore knows no strings in Zarr
            continue
        store = {"driver": "file", "path": f"{full.url}/{field.name}/"}
        array = tensorstore.open({"driver": "zarr3", "kvstore": store}, read=True).result()
        assert array.shape == values[field.name].shape
        assert tuple(array.domain.labels) == ("text", *field.dims)
        np.testing.assert_array_equal(array.read().result(), values[field.name])
        read += 1
    assert read == 9


def test_a_shard_of_only_zeros_is_written(begun, layout):
    arrays = {f.name: np.full((SIZE, *f.shape), f.fill, f.array_dtype) for f in FIELDS}
    marker = commit(begun, layout, 0, arrays)
    sizes = begun.sizes()
    assert all(sizes[shard_key(field, 0)] > 0 for field in FIELDS)
    assert set(done_shards(begun, layout)) == {0}
    assert marker.null_ids == 0


def test_a_shard_written_twice_has_the_same_bytes(write, begun):
    first = write(2)
    write(0)
    assert write(2) == first


def test_shards_written_by_several_threads_are_correct(write, begun, layout, values):
    failures = []

    def run(shard):
        try:
            for _ in range(5):
                write(shard)
        except Exception as error:  # noqa: BLE001 (whatever it is)
            failures.append(error)

    threads = [threading.Thread(target=run, args=(shard,)) for shard in range(layout.shards)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert set(done_shards(begun, layout)) == set(range(layout.shards))
    found = xr.open_zarr(begun.url).load()
    for name, array in values.items():
        np.testing.assert_array_equal(found[name].values, array)


@given(
    rows=st.integers(1, 70),
    size=st.sampled_from([1, 2, 8, 64]),
    texts=st.lists(st.text(max_size=5), min_size=70, max_size=70),
)
@pytest.mark.slow("writes and reads a store for each example")
@settings(deadline=None, database=None, max_examples=15)
def test_any_rows_in_shards_of_any_size_are_read_back(rows, size, texts):
    from paninifs.storage.targets.remote import FsspecTarget

    fields = stored_fields(None, [], (Field("note", "string"),))
    layout = StoreLayout(fields, rows, size, "f")
    target = FsspecTarget("memory://layout.zarr", {})
    target.delete(target.sizes())
    for key, data in metadata([(field, size, 0) for field in fields], rows, {}).items():
        target.put(key, data)
    valid, notes = np.arange(rows) % 3 > 0, np.array(texts[:rows], object)
    for shard in range(layout.shards):
        start, stop = layout.bounds(shard)
        arrays = {"id": np.arange(start, stop), "note": notes[start:stop]}
        part = arrays | {"valid": valid[start:stop]}
        commit(target, layout, shard, part)
    found = xr.open_zarr("memory://layout.zarr").load()
    assert found.id.values.tolist() == list(range(rows))
    assert found.note.values.tolist() == texts[:rows]
    assert found.valid.values.tolist() == valid.tolist()
    target.delete(target.sizes())


# --- finding shards again -----------------------------------------------------------------------


def test_done_means_a_marker_and_objects_of_the_right_sizes(full, layout):
    every = set(range(layout.shards))
    assert set(done_shards(full, layout)) == every
    assert sum(marker.rows for marker in done_shards(full, layout).values()) == ROWS
    for number, field in enumerate(FIELDS):
        key, shard = shard_key(field, number % layout.shards), number % layout.shards
        data = full.get(key)
        full.put(key, data[:-1])
        assert set(done_shards(full, layout)) == every - {shard}, f"{key} is short"
        full.put(key, data + b"\0")
        assert set(done_shards(full, layout)) == every - {shard}, f"{key} is long"
        full.delete([key])
        assert set(done_shards(full, layout)) == every - {shard}, f"{key} is missing"
        full.put(key, data)
        assert set(done_shards(full, layout)) == every


def test_a_shard_whose_quarantine_is_missing_is_not_done(write, begun, layout):
    write(0, [entry(0, 1, file_row=0)])
    assert set(done_shards(begun, layout)) == {0}
    begun.delete(["_run/quarantine/00000000.parquet"])
    assert done_shards(begun, layout) == {}


def test_arrays_without_a_marker_are_not_done(full, layout):
    full.delete([marker_key(2)])
    assert set(done_shards(full, layout)) == {0, 1, 3}


@pytest.mark.parametrize(
    "torn", [b"", b"{", b"null", b"[]", b"{}", b"\xff\xfe", b'{"objects": {}}', b'{"objects": 7}']
)
def test_a_torn_marker_does_not_count(full, layout, torn):
    data = full.get(marker_key(1))
    full.put(marker_key(1), torn or data[: len(data) // 2])
    assert read_marker(full, layout, 1) is None
    assert set(done_shards(full, layout)) == {0, 2, 3}


def test_markers_of_other_runs_or_shards_do_not_count(full, layout, write):
    other = StoreLayout(FIELDS, ROWS, SIZE, "fingerprint-2")
    assert done_shards(full, other) == {}
    write(1, layout=other)
    assert set(done_shards(full, layout)) == {0, 2, 3}
    assert set(done_shards(full, other)) == {1}
    full.put(marker_key(0), full.get(marker_key(2)))
    assert set(done_shards(full, layout)) == {2, 3}


def test_leftovers_of_a_stopped_run(full, layout, write):
    write(1, [entry(300, 1, file_row=3)])
    write(2, [entry(600, 1, file_row=3)])
    full.put("_run/manifest.json", b"{}")
    full.put("_run/index.json", b"{}")
    full.put("_run/lease/00000001.json", b"{}")
    full.put("quarantine.parquet", b"")
    assert leftovers(full, layout, done_shards(full, layout)) == []
    full.delete([marker_key(1)])  # stopped before its marker
    stray = ["weight/c/0/.writing-0a1b", "_run/done/.writing-0a1b", ".writing-0a1b"]
    for key in stray:
        full.put(key, b"half")
    stale = [shard_key(field, 1) for field in FIELDS]
    found = leftovers(full, layout, done_shards(full, layout))
    assert sorted(found) == sorted([*stale, "_run/quarantine/00000001.parquet", *stray])
    full.delete(found)
    assert leftovers(full, layout, done_shards(full, layout)) == []
    assert set(done_shards(full, layout)) == {0, 2, 3}
    found = xr.open_zarr(full.url).load()
    assert not found.valid.values[SIZE : 2 * SIZE].any()


def test_a_lease_being_created_is_not_a_leftover(full, layout):
    # A driver that is being refused right now must not trip over a missing file.
    full.put("_run/lease/.writing-0a1b", b"half")
    assert leftovers(full, layout, done_shards(full, layout)) == []


def test_leftovers_of_a_torn_shard_and_marker_are_found(full, layout):
    full.put(marker_key(3), b"{")
    found = leftovers(full, layout, done_shards(full, layout))
    assert sorted(found) == sorted([*(shard_key(field, 3) for field in FIELDS), marker_key(3)])
