"""`frame` and `packed` on a device: real cuDF columns, real dask-cuDF frames."""

import pytest

cudf = pytest.importorskip("cudf", reason="needs RAPIDS: the extra cuda12 or cuda13")
cupy = pytest.importorskip("cupy", reason="needs CuPy")

import dask  # noqa: E402
import pandas as pd  # noqa: E402
import pyarrow as pa  # noqa: E402
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

import paninifs as pf  # noqa: E402
from paninifs.graphs import frames  # noqa: E402
from paninifs.storage.corpus import partition  # noqa: E402

pytestmark = pytest.mark.gpu


@pytest.fixture
def corpus(monkeypatch, glosses, write_jsonl):
    """Rows with null texts, in shards of 64 rows."""
    monkeypatch.setattr(partition, "MIN_SHARD_ROWS", 64)
    rows = [{"id": f"g{n}", "text": g["text"], "weight": n} for n, g in enumerate(glosses)]
    rows[70]["text"] = rows[1000]["weight"] = None
    return pf.open_corpus(write_jsonl(rows), keep=["weight"])


@pytest.fixture
def spilling():
    from cudf.core.buffer import spill_manager

    before = spill_manager.get_global_manager()
    manager = spill_manager.SpillManager()
    spill_manager.set_global_manager(manager)
    yield manager
    spill_manager.set_global_manager(before)


def texts_of(packed):
    """Copy a packed text to the host and read it."""
    return pf.PackedText(packed.data.get(), packed.offsets.get()).to_bytes()


def series_of(array):
    return cudf.DataFrame.from_arrow(pa.table({"text": array}))["text"]


# --- frame ----------------------------------------------------------------------------------------


def test_the_frame_is_dask_cudf_and_equals_the_pandas_frame(corpus):
    import dask_cudf

    found = pf.frame(corpus, "cuda")
    assert type(found) is dask_cudf.DataFrame
    assert found.divisions == corpus.frame.divisions
    assert found.npartitions > 4
    parts = dask.compute(*found.to_delayed())
    assert {type(part) for part in parts} == {cudf.DataFrame}
    assert all(part.dtypes.equals(found.dtypes) for part in parts)
    ours, theirs = found.compute(), corpus.frame.compute()
    assert ours.index.to_arrow().to_pylist() == list(theirs.index)
    for name in theirs.columns:
        expected = pa.array(theirs[name]).to_pylist()
        assert ours[name].to_arrow().to_pylist() == expected


def test_it_filters_joins_and_maps_as_any_dask_cudf_frame(corpus):
    found, theirs = pf.frame(corpus, "cuda"), corpus.frame.compute()
    long = found[found.text.str.len() > 60]
    lengths = long.map_partitions(lambda part: part.text.str.len()).compute()
    expected = theirs.text[theirs.text.str.len() > 60].str.len()
    assert lengths.to_pandas().to_dict() == expected.to_dict()
    joined = long.merge(found[["id", "weight"]], on="id", shuffle_method="tasks").compute()
    assert len(joined) == len(expected)
    assert found.loc[77].compute()["id"].to_arrow().to_pylist() == ["g77"]


def test_dasks_setting_chooses_it(corpus):
    with dask.config.set({"dataframe.backend": "cudf"}):
        assert isinstance(pf.frame(corpus)._meta, cudf.DataFrame)
    assert isinstance(pf.frame(corpus)._meta, pd.DataFrame)


def test_a_partitions_text_is_packed_as_pandass(corpus):
    ours = pf.frame(corpus, "cuda").partitions[1].compute()
    theirs = corpus.frame.partitions[1].compute()
    expected = [b for one in pf.PackedText.from_series(theirs.text) for b in one.to_bytes()]
    with frames.packed(ours.text) as text:
        assert texts_of(text) == expected
    assert frames.valid(ours.text).tolist() == theirs.text.notna().tolist()


# --- packed ---------------------------------------------------------------------------------------


def test_the_arrays_point_into_the_column():
    series = series_of(pa.array(["a", "dhātu", None, ""]))
    column = series._column.plc_column
    with frames.packed(series) as text, series._column.access(mode="read", scope="internal"):
        assert text.data.data.ptr == column.data().ptr
        assert text.offsets.data.ptr == column.children()[0].data().ptr
    with frames.packed(series.iloc[1:3]) as text:
        assert text.data.data.ptr == column.data().ptr
        assert texts_of(text) == ["dhātu".encode(), b""]


@given(
    st.lists(st.one_of(st.none(), st.text()), max_size=20),
    st.sampled_from([pa.string(), pa.large_string()]),
    st.integers(0, 20),
    st.integers(0, 20),
)
@settings(
    deadline=None,
    database=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
def test_it_is_what_arrow_reads(texts, kind, start, stop):
    array = pa.array(texts, kind)
    rows = slice(min(start, len(texts)), min(max(start, stop), len(texts)))
    series = series_of(array).iloc[rows]
    expected = [None if text is None else text.encode() for text in texts[rows]]
    known = frames.valid(series)
    assert isinstance(known, cupy.ndarray)
    assert known.dtype == bool
    assert known.tolist() == [text is not None for text in expected]
    with frames.packed(series) as text:
        found = texts_of(text)
    assert [t for t, k in zip(found, known.tolist(), strict=True) if k] == [
        text for text in expected if text is not None
    ]


@pytest.mark.slow("puts two gigabytes on the GPU")
def test_more_than_two_gigabytes_have_64_bit_offsets():
    chunk = pa.array(["x" * (1 << 20)] * 700, pa.large_string())
    series = series_of(pa.chunked_array([chunk] * 3 + [pa.array(["last"], pa.large_string())]))
    with frames.packed(series) as text:
        assert text.offsets.dtype == cupy.int64
        assert text.nbytes == 2100 * (1 << 20) + 4
        end = int(text.offsets[-1])
        assert bytes(text.data[end - 4 : end].get()) == b"last"


# --- spilling -------------------------------------------------------------------------------------


def test_a_viewed_column_cannot_be_spilled(spilling):
    series = series_of(pa.array(["a", "dhātu"] * 1000))
    with frames.packed(series) as text:
        assert spilling.spill_device_memory(nbytes=1 << 40) == 0
        assert texts_of(text)[:2] == [b"a", "dhātu".encode()]
    del text
    assert spilling.spill_device_memory(nbytes=1 << 40) > 0
    assert series._column.plc_column.data().owner.is_spilled


def test_a_spilled_column_comes_back_to_be_viewed(spilling):
    series = series_of(pa.array(["a", "dhātu"] * 1000))
    assert spilling.spill_device_memory(nbytes=1 << 40) > 0
    with frames.packed(series) as text:
        assert texts_of(text) == [b"a", "dhātu".encode()] * 1000


def test_a_view_that_is_kept_outlives_a_spill(spilling):
    series = series_of(pa.array(["a", "dhātu"] * 1000))
    with frames.packed(series) as text:
        pass
    assert spilling.spill_device_memory(nbytes=1 << 40) > 0
    for _ in range(8):
        cupy.full(1 << 20, 7, cupy.uint8)  # would land where the texts were
    assert texts_of(text) == [b"a", "dhātu".encode()] * 1000
