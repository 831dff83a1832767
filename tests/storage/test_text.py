"""`PackedText`: the same bytes as Arrow's and pandas's, at the same addresses."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import PAPERS

from paninifs import PackedText

KINDS = [pa.string(), pa.large_string(), pa.binary(), pa.large_binary()]

texts = st.lists(st.one_of(st.text(), st.binary()), max_size=20)
anywhere = settings(deadline=None, database=None)


def address(array):
    return array.__array_interface__["data"][0]


def lies_in(packed, array):
    """Return whether a PackedText has the buffers of an Arrow array, by their addresses."""
    _, offsets, data = array.buffers()
    width = packed.offsets.itemsize
    return (
        address(packed.data) == data.address
        and address(packed.offsets) == offsets.address + array.offset * width
    )


@pytest.fixture(scope="module")
def papers():
    lines = PAPERS.read_text("utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_an_arrow_array_is_viewed_in_place(kind, papers):
    array = pa.array([text.encode() for text in papers], pa.binary()).cast(kind)
    packed = PackedText.from_arrow(array)
    assert lies_in(packed, array)
    assert packed.offsets.dtype == (np.int64 if "large" in str(kind) else np.int32)
    assert packed.to_bytes() == [text.encode() for text in papers]
    assert packed.nbytes == sum(len(text.encode()) for text in papers)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_slice_with_nulls_keeps_its_first_offset(kind):
    array = pa.array([b"before", b"ba\xcc\x84", None, b"", b"last"], pa.binary()).cast(kind)
    sliced = array.slice(1, 3)
    packed = PackedText.from_arrow(sliced)
    assert lies_in(packed, sliced)
    assert len(packed) == 3
    assert packed.offsets[0] == 6
    assert packed.to_bytes() == [b"ba\xcc\x84", b"", b""]
    assert packed.nbytes == 4


@pytest.mark.parametrize(
    "array",
    [
        pa.array([], pa.string()),
        pa.array(["a", "b"]).slice(1, 0),
        pa.array(["", "", ""], pa.large_string()),
        pa.nulls(2, pa.string()),
    ],
    ids=["empty", "empty slice", "empty texts", "nulls"],
)
def test_texts_without_bytes_are_still_texts(array):
    packed = PackedText.from_arrow(array)
    assert len(packed) == len(array)
    assert packed.nbytes == 0
    assert packed.to_bytes() == [b""] * len(array)


def test_a_pandas_column_is_viewed_in_place_chunk_by_chunk(papers):
    chunks = [pa.array(papers[:50], pa.large_string()), pa.array(papers[50:], pa.large_string())]
    empty = pa.array([], pa.large_string())
    array = pd.arrays.ArrowExtensionArray(pa.chunked_array([chunks[0], empty, chunks[1]]))
    packed = PackedText.from_series(pd.Series(array, index=range(7, 7 + len(papers))))
    assert [len(one) for one in packed] == [50, len(papers) - 50]
    assert all(lies_in(one, chunk) for one, chunk in zip(packed, chunks, strict=True))
    assert [t for one in packed for t in one.to_bytes()] == [text.encode() for text in papers]


def test_a_pandas_column_of_short_strings_is_viewed_in_place():
    array = pa.array(["a", None, "b"], pa.string())
    series = pd.Series(pd.arrays.ArrowExtensionArray(array))
    (packed,) = PackedText.from_series(series)
    assert packed.offsets.dtype == np.int32
    assert lies_in(packed, array)


def test_rows_picked_from_a_pandas_column_share_its_buffers(papers):
    array = pa.array(papers, pa.large_string())
    series = pd.Series(pd.arrays.ArrowExtensionArray(array))
    (packed,) = PackedText.from_series(series.iloc[3:9])
    assert lies_in(packed, array.slice(3, 6))
    assert packed.to_bytes() == [text.encode() for text in papers[3:9]]


def test_pandas_own_arrow_strings_are_viewed_in_place(papers):
    # `string[pyarrow]`, as made by `read_parquet(dtype_backend=...)` and by dask itself.
    array = pa.array(papers, pa.large_string())
    (packed,) = PackedText.from_series(pd.Series(pd.arrays.ArrowStringArray(array)))
    assert lies_in(packed, array)


@pytest.mark.parametrize(
    "array", [pa.array([1, 2]), pa.array(["a"]).dictionary_encode()], ids=["int", "dictionary"]
)
def test_an_arrow_array_of_anything_else_is_a_type_error(array):
    with pytest.raises(TypeError, match="must be an Arrow string array, not"):
        PackedText.from_arrow(array)


@pytest.mark.parametrize(
    "series",
    [
        pd.Series(["a", "b"], dtype=object),
        pd.Series(["a", "b"], dtype="category"),
        pd.Series([1, 2]),
        pd.Series([1, 2], dtype=pd.ArrowDtype(pa.int64())),
    ],
    ids=["object", "category", "int", "arrow int"],
)
def test_a_pandas_column_that_is_not_arrow_text_is_a_type_error(series):
    with pytest.raises(TypeError):
        PackedText.from_series(series)


@given(texts)
@anywhere
def test_packed_texts_are_unpacked_unchanged(values):
    raw = [v.encode() if isinstance(v, str) else v for v in values]
    packed = PackedText.from_strings(values)
    assert len(packed) == len(raw)
    assert packed.to_bytes() == raw
    assert [bytes(view) for view in packed] == raw
    assert packed.nbytes == sum(map(len, raw))


@given(texts, st.slices(20), st.slices(20))
@anywhere
def test_a_slice_is_the_lists_slice_and_shares_the_buffers(values, first, second):
    packed, raw = PackedText.from_strings(values), PackedText.from_strings(values).to_bytes()
    for rows in (first, second):
        rows = slice(rows.start, rows.stop)  # noqa: PLW2901 (runs only)
        packed, raw = packed[rows], raw[rows]
        assert packed.to_bytes() == raw
        assert len(packed) == len(raw)
        assert packed.nbytes == sum(map(len, raw))
    whole = PackedText.from_strings(values)
    assert address(whole[rows].data) == address(whole.data)
    assert np.shares_memory(whole[rows].offsets, whole.offsets)


def test_a_step_is_refused():
    with pytest.raises(ValueError, match="step must be 1"):
        PackedText.from_strings(["a", "b"])[::2]


def test_the_views_of_the_texts_are_read_only():
    assert all(view.readonly for view in PackedText.from_arrow(pa.array(["a", "bc"])))
    assert not PackedText.from_arrow(pa.array(["a", "bc"])).data.flags.writeable


def test_texts_are_utf_8():
    assert PackedText.from_strings(["dhātu"]).to_bytes() == [b"dh\xc4\x81tu"]
