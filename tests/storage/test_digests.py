"""Digests of objects: they find every damage, and objects that only look whole."""

from __future__ import annotations

import hashlib

import google_crc32c
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paninifs.storage.field import Field
from paninifs.storage.store.digests import digest, is_unchanged
from paninifs.storage.store.encoding import encode_shard

FIELDS = (Field("n", "int32", compress=False), Field("v", "float32", (9,), compress=False))


def encoded(field, seed, rows=64):
    values = np.random.default_rng(seed).integers(0, 99, (rows, *field.shape))
    return encode_shard(field, values.astype(field.array_dtype), rows)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_objects_of_other_values_have_other_digests(field):
    """A plain CRC-32C is the same for all of them: each part ends with its own."""
    objects = [encoded(field, seed) for seed in range(50)]
    assert len(set(objects)) == len({digest(data) for data in objects}) == 50
    assert len({google_crc32c.value(data) for data in objects}) == 1


@given(data=st.binary(min_size=1, max_size=70), at=st.integers(0), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found(data, at, bit):
    damaged = bytearray(data)
    damaged[at % len(data)] ^= 1 << bit
    assert is_unchanged(data, len(data), digest(data))
    assert not is_unchanged(bytes(damaged), len(data), digest(data))


@pytest.mark.parametrize("lost", [1, 7, 8, 512])
def test_a_torn_object_is_found(lost):
    data = encoded(FIELDS[1], 1)
    for torn in (data[:-lost], data[:-lost] + bytes(lost), bytes(lost) + data[lost:]):
        assert not is_unchanged(torn, len(data), digest(data))


def test_a_digest_of_an_earlier_version_is_compared():
    sha = hashlib.sha256(b"whole").hexdigest()
    assert is_unchanged(b"whole", 5, sha)
    assert not is_unchanged(b"whale", 5, sha)
    assert not is_unchanged(b"whole", 6, sha)
