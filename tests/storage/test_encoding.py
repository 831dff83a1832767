"""Shards are encoded in Zarr's sharding format: zarr-python and tensorstore read them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import tensorstore
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from paninifs.storage.field import Field
from paninifs.storage.store import encoding
from paninifs.storage.store.encoding import encode_shard
from paninifs.storage.store.keys import shard_key
from paninifs.storage.store.layout import metadata

FIELDS = (
    Field("weights", "float32", (3,), compress=False),
    Field("bytes", "uint8", (32,), compress=False),
    Field("number", "int64"),
    Field("flag", "bool"),
    Field("word", "string"),
)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(encoding, "CHUNK_ROWS", 8)


def values_of(field: Field, rows: int) -> np.ndarray:
    random = np.random.default_rng(rows)
    if field.dtype == "string":
        return np.array([["", "a", "धातु", "é" * 9][i % 4] for i in range(rows)], object)
    raw = random.integers(0, 2 if field.dtype == "bool" else 200, (rows, *field.shape))
    return raw.astype(field.array_dtype)


def stored(folder, rows: int, size: int) -> dict[str, np.ndarray]:
    """Write a store of FIELDS shard by shard; return the expected values."""
    for key, data in metadata([(field, size, 0) for field in FIELDS], rows, {}).items():
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(data)
    wanted = {field.name: values_of(field, rows) for field in FIELDS}
    for field in FIELDS:
        for shard in range(-(-rows // size)):
            path = folder / shard_key(field, shard)
            path.parent.mkdir(parents=True, exist_ok=True)
            part = wanted[field.name][shard * size : (shard + 1) * size]
            path.write_bytes(encode_shard(field, part, size))
    return wanted


@pytest.mark.parametrize(("rows", "size"), [(1, 4), (8, 8), (40, 16), (41, 16), (47, 32), (5, 64)])
def test_zarr_reads_back_what_was_encoded(tmp_path, rows, size):
    wanted = stored(tmp_path, rows, size)
    group = zarr.open_group(tmp_path, mode="r")
    for name, values in wanted.items():
        got = np.asarray(group[name][:])
        assert np.array_equal(got.astype(values.dtype), values), name
        assert np.array_equal(
            np.asarray(group[name][rows // 2 :]).astype(object), values[rows // 2 :]
        )


@pytest.mark.parametrize(("rows", "size"), [(41, 16), (5, 64)])
def test_tensorstore_reads_back_what_was_encoded(tmp_path, rows, size):
    wanted = stored(tmp_path, rows, size)
    for name in ("weights", "bytes", "number", "flag"):
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{tmp_path}/{name}/"}}
        assert np.array_equal(tensorstore.open(spec).result().read().result(), wanted[name])


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_readers_detect_a_changed_byte(tmp_path, field):
    stored(tmp_path, 20, 16)
    path = tmp_path / shard_key(field, 0)
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)
    with pytest.raises(Exception, match=r"(?i)checksum|decompress|corrupt|error"):
        zarr.open_group(tmp_path, mode="r")[field.name][:]


@settings(max_examples=60)
@given(strings=st.lists(st.text(max_size=9), min_size=1, max_size=20), cut=st.integers(0, 5))
def test_arrow_and_python_strings_give_the_same_bytes(strings, cut):
    field = Field("word", "string")
    for kind in (pa.string(), pa.large_string()):
        array = pa.array(["before"] * cut + strings, kind)[cut:]
        python = np.array(strings, object)
        assert encode_shard(field, array, 32) == encode_shard(field, python, 32)
