"""Every kind of field is stored so that zarr-python, xarray and TensorStore read it as it was."""

from __future__ import annotations

import hashlib
import json
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorstore
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import BY_NAME, KINDS, drawn, examples

import paninifs as pf
from paninifs import Field
from paninifs.storage.corpus.partition import MAX_SHARD_BYTES, Sharding
from paninifs.storage.errors import GraphError, ResultsDamaged
from paninifs.storage.store import encoding
from paninifs.storage.store.dataset import StoredArrays
from paninifs.storage.store.encoding import CHUNK_BYTES, chunk_rows, encode_shard, new_chunk_bytes
from paninifs.storage.store.keys import shard_key
from paninifs.storage.store.layout import metadata
from paninifs.storage.targets.local import LocalTarget

FIELDS = tuple(row.field for row in KINDS)
ROWS = 29


def write(folder: Path, fields, arrays, rows: int, shard_rows: int, chunk_bytes: int = 0) -> None:
    """Write arrays as the shards of a store, without its manifest."""
    stored = [array for field in fields for array in field.arrays]
    for key, data in metadata([(one, shard_rows, chunk_bytes) for one in stored], rows, {}).items():
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(data)
    for field in stored:
        for shard in range(-(-rows // shard_rows)):
            path = folder / shard_key(field, shard)
            path.parent.mkdir(parents=True, exist_ok=True)
            part = arrays[field.name][shard * shard_rows : (shard + 1) * shard_rows]
            path.write_bytes(encode_shard(field, part, shard_rows, chunk_bytes))


@pytest.mark.parametrize("name", BY_NAME)
@settings(max_examples=10, deadline=None)
@given(data=st.data(), rows=st.integers(1, 20), cut=st.integers(0, 20))
def test_zarr_reads_back_what_was_encoded(name, data, rows, cut):
    row = BY_NAME[name]
    arrays = drawn(row, rows, data.draw)
    with tempfile.TemporaryDirectory() as made, pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "CHUNK_ROWS", 4)  # chunks end within shards, and are padded
        write(Path(made), [row.field], arrays, rows, 8)
        group = zarr.open_group(made, mode="r")
        for field in row.field.arrays:
            for part in (slice(None), slice(cut), slice(cut, None), slice(cut // 2, cut)):
                got = field.kind.decode(np.asarray(group[field.name][part]))
                assert not field.kind.unequal(arrays[field.name][part], got).any()


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A folder with an array of every kind, and the arrays."""
    monkeypatch.setattr(encoding, "CHUNK_ROWS", 4)
    arrays = examples(ROWS)
    write(tmp_path, FIELDS, arrays, ROWS, 8)
    return tmp_path, arrays


def as_in_memory(field: Field, plain: xr.DataArray) -> np.ndarray:
    """Return what a user makes of an array with what its attributes say, without paninifs."""
    if "ragged" in plain.attrs:
        rows = np.empty(len(plain), object)
        for at, raw in enumerate(plain.values):
            rows[at] = np.frombuffer(raw, plain.attrs["ragged"])
        return rows
    fixed = plain.attrs.get("fixed")
    return plain.values.astype(fixed or field.array_dtype)


def test_a_plain_xarray_opens_every_kind_without_a_warning(stored):
    folder, arrays = stored
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = xr.open_zarr(folder)
        for row in KINDS:
            plain = dataset[row.field.name]
            assert plain.dtype.kind in row.plain, row.field
            got = as_in_memory(row.field, plain)
            assert not row.field.kind.unequal(arrays[row.field.name], got).any(), row.field
            if row.field.nullable:
                assert plain.attrs["ancillary_variables"] == row.field.mask
                assert np.array_equal(dataset[row.field.mask], arrays[row.field.mask])


def test_every_data_type_and_codec_has_a_specification(stored):
    folder, _ = stored
    root = json.loads((folder / "zarr.json").read_text())
    nodes = root["consolidated_metadata"]["metadata"]
    for row in KINDS:
        alone = json.loads((folder / row.field.name / "zarr.json").read_text())
        for node in (alone, nodes[row.field.name]):
            data_type = node["data_type"]
            name = data_type if isinstance(data_type, str) else data_type["name"]
            assert name in {*["bool", "string", "bytes", "numpy.datetime64"]} or name[-1].isdigit()
            codecs = node["codecs"][0]["configuration"]["codecs"]
            assert codecs[0]["name"] in ("bytes", "vlen-utf8", "vlen-bytes")


@pytest.mark.parametrize("name", [name for name, row in BY_NAME.items() if row.tensorstore])
def test_tensorstore_reads_numbers_and_categories(stored, name):
    folder, arrays = stored
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{folder}/{name}/"}}
    assert np.array_equal(tensorstore.open(spec).result().read().result(), arrays[name])


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("name", BY_NAME)
def test_readers_detect_a_changed_byte(tmp_path, name, compress):
    field = replace(BY_NAME[name].field, name="x", compress=compress, nullable=False, dims=None)
    values = examples(ROWS)[name]
    write(tmp_path, [field], {"x": values}, ROWS, 32)
    path = tmp_path / shard_key(field, 0)
    good = path.read_bytes()
    found = 0
    for at in (-1, -5, -9, -20):
        data = bytearray(good)
        data[at] ^= 1
        path.write_bytes(data)
        try:
            read = StoredArrays(LocalTarget(tmp_path))["x"][:]
        except ResultsDamaged:
            found += 1
        else:  # a bit of the compressed form that means nothing
            assert not field.kind.unequal(read, values).any()
    assert found >= 3


# --- wide rows ------------------------------------------------------------------------------------


def test_the_stores_of_narrow_fields_are_as_before():
    graph = pf.default_graph()
    assert new_chunk_bytes(graph.fields) == 0
    for field in graph.fields:
        assert chunk_rows(131_072, field.row_bytes) == 8192
        assert not set(field.describe()) - {"name", "dtype", "shape", "dims", "compress"}


@pytest.mark.parametrize("width", [1000, 1024, 1536, 4096, 20_000_000])
def test_shards_and_chunks_of_wide_rows_stay_within_their_limits(width):
    field = Field("e", "float32", (width,))
    shard_rows = Sharding().choose(10**9, field.row_bytes)
    assert shard_rows * field.row_bytes <= MAX_SHARD_BYTES or shard_rows == 1
    rows = chunk_rows(shard_rows, field.row_bytes, new_chunk_bytes([field]))
    assert rows * field.row_bytes <= CHUNK_BYTES or rows == 1
    assert shard_rows % rows == 0


@given(
    shard_rows=st.integers(0, 17).map(lambda n: 2**n),
    row_bytes=st.integers(1, 10**7),
    limit=st.sampled_from([0, CHUNK_BYTES]),
)
def test_chunks_divide_their_shard(shard_rows, row_bytes, limit):
    rows = chunk_rows(shard_rows, row_bytes, limit)
    assert 1 <= rows <= min(shard_rows, encoding.CHUNK_ROWS)
    assert shard_rows % rows == 0
    assert not limit or rows == 1 or rows * row_bytes <= limit


def test_embeddings_are_read_back_from_several_chunks(tmp_path):
    field = Field("e", "float32", (1024,))
    values = np.random.default_rng(1).random((3000, 1024), np.float32)
    write(tmp_path, [field], {"e": values}, 3000, 2048, CHUNK_BYTES)
    array = zarr.open_group(tmp_path, mode="r")["e"]
    assert array.chunks == (1024, 1024)
    assert np.array_equal(array[1000:1100], values[1000:1100])
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{tmp_path}/e/"}}
    assert np.array_equal(tensorstore.open(spec).result().read().result(), values)


def test_a_shard_larger_than_its_estimate_is_no_failure(tmp_path):
    fields = [Field("tokens", "int64", ragged=True), Field("raw", "bytes")]
    arrays = {field.name: field.filled(4) for field in fields}
    arrays["tokens"][2] = np.arange(300_000)
    arrays["raw"][1] = bytes(3 << 20)
    assert sum(field.row_bytes for field in fields) * 4 < 10_000
    write(tmp_path, fields, arrays, 4, 4)
    group = zarr.open_group(tmp_path, mode="r")
    assert len(group["raw"][1:2][0]) == 3 << 20
    assert np.array_equal(np.frombuffer(group["tokens"][2:3][0], "<i8"), np.arange(300_000))


def test_the_digest_of_a_shard_of_every_kind_stays_the_same():
    """A change of these bytes is a new format: `LAYOUT_VERSION`."""
    digest = hashlib.sha256()
    arrays = examples(7)
    for field in FIELDS:
        digest.update(encode_shard(replace(field, compress=False), arrays[field.name], 8))
    assert digest.hexdigest()[:16] == "7086b75db86eab9c"


# --- declarations ---------------------------------------------------------------------------------

REFUSED = {
    "a ragged shape": ({"dtype": "int32", "shape": (2,), "ragged": True}, "leave out shape=(2,)"),
    "ragged strings": ({"dtype": "string", "ragged": True}, "numbers or datetimes, not 'string'"),
    "ragged categories": (
        {"dtype": "category", "ragged": True, "categories": ("a",)},
        "numbers or datetimes",
    ),
    "no categories": ({"dtype": "category"}, "categories=('a', 'b')"),
    "categories of numbers": ({"dtype": "int8", "categories": ("a",)}, "need each other"),
    "repeated categories": ({"dtype": "category", "categories": ("a", "a")}, "different strings"),
    "one string of categories": ({"dtype": "category", "categories": "ab"}, "different strings"),
    "numbers as categories": ({"dtype": "category", "categories": (1, 2)}, "different strings"),
    "a lone surrogate": ({"dtype": "category", "categories": ("\ud800",)}, "different strings"),
    "days": ({"dtype": "datetime64[D]"}, "'datetime64[s]' (or ms, us, ns)"),
    "no unit": ({"dtype": "datetime64"}, "'datetime64[s]'"),
    "durations": ({"dtype": "timedelta64[s]"}, "cannot be stored"),
    "no length": ({"dtype": "U"}, "'U8' or 'S8'"),
    "complex numbers": ({"dtype": "complex64"}, "cannot be stored"),
}


@pytest.mark.parametrize(("declared", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_stored_is_refused(declared, message):
    with pytest.raises(GraphError) as caught:
        Field("x", **declared)
    assert message in str(caught.value)


def test_names_of_dtypes_are_those_of_numpy():
    assert [Field("x", dtype).dtype for dtype in ("<U8", "|S3", "f2", "?", "M8[us]")] == [
        "U8",
        "S3",
        "float16",
        "bool",
        "datetime64[us]",
    ]


def test_a_fill_is_assigned_through_a_mask_and_to_slices():
    for row in KINDS:
        array = examples(5)[row.field.name].copy()
        array[np.array([True, False, True, False, True])] = row.field.fill
        array[1:2] = row.field.fill
        full = np.full((1, *row.field.shape), row.field.fill, row.field.array_dtype)
        whole = np.concatenate([array[:3], full])
        assert not row.field.kind.unequal(whole, row.field.filled(4)).any()
