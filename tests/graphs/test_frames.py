"""`frame` and `packed`, tested with stand-ins for cuDF and CuPy over pandas and NumPy."""

import pickle
import sys
from contextlib import contextmanager
from itertools import pairwise
from types import ModuleType, SimpleNamespace

import dask
import dask.array  # now: it registers the arrays of whatever `cupy` it finds
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import paninifs as pf
from paninifs import PackedText
from paninifs.graphs.frames import cudf_text as frames
from paninifs.storage.corpus import partition
from paninifs.storage.corpus import reading as stretches_module
from paninifs.storage.errors import BackendUnavailable, UsageError

anywhere = settings(deadline=None, database=None)


# --- a device library of this machine's memory ----------------------------------------------------


class Memory:
    """The memory of a cuDF buffer: here, bytes of this process."""

    def __init__(self, raw):
        self.array = np.frombuffer(raw, np.uint8)


class Buffer:
    """A slice of memory that records reads of its address, with or without the lock."""

    def __init__(self, raw, skip=0):
        self.memory, self.skip = Memory(raw), skip
        self.locks, self.exposed, self.spilled = 0, False, False

    @property
    def size(self):
        return len(self.memory.array) - self.skip

    @property
    def owner(self):
        return SimpleNamespace(owner=None if self.spilled else self.memory)

    @property
    def ptr(self):
        self.exposed |= not self.locks
        self.spilled = False
        return self.memory.array.__array_interface__["data"][0] + self.skip

    @property
    def __cuda_array_interface__(self):
        raise AssertionError("this would expose the buffer for good, and copy one that is shared")


class Column:
    """The parts of a pylibcudf column that `packed` uses."""

    def __init__(self, kind, size, offset, data, children=()):
        self._kind, self._size, self._offset = kind, size, offset
        self._data, self._children = data, list(children)

    def type(self):
        return SimpleNamespace(
            id=lambda: self._kind, typestr={"INT32": "<i4", "INT64": "<i8"}.get(self._kind)
        )

    def size(self):
        return self._size

    def offset(self):
        return self._offset

    def data(self):
        return self._data

    def children(self):
        return self._children

    def buffers(self):
        own = [] if self._data is None else [self._data]
        return own + [buffer for child in self._children for buffer in child.buffers()]


class Series:
    def __init__(self, plc_column, mask=None):
        self._column = SimpleNamespace(plc_column=plc_column, access=self._access)
        self.mask = mask
        self.dtype = plc_column._kind

    @contextmanager
    def _access(self, *, mode, scope):
        assert (mode, scope) == ("read", "internal")
        buffers = self._column.plc_column.buffers()
        for buffer in buffers:
            buffer.locks += 1
        try:
            yield
        finally:
            for buffer in buffers:
                buffer.locks -= 1

    def notna(self):
        return SimpleNamespace(values=np.asarray(self.mask))


def as_array(obj):
    interface = dict(obj.__cuda_array_interface__)
    assert interface.pop("stream") == 1  # CuPy then waits for what cuDF has queued
    holder = SimpleNamespace(__array_interface__=interface, owner=obj)
    array = np.asarray(holder)
    assert array.base is holder  # like CuPy, NumPy holds the object it views
    return array


class CUDARuntimeError(RuntimeError):
    pass


@pytest.fixture
def device(monkeypatch):
    """Install stand-ins for cudf, dask_cudf, cupy and pylibcudf in host memory."""
    return put_device(monkeypatch)


def put_device(monkeypatch):
    made = {name: ModuleType(name) for name in ("cudf", "dask_cudf", "cupy", "pylibcudf")}
    seen = SimpleNamespace(tables=[], devices=1, modules=made)

    def from_arrow(table):
        seen.tables.append(table)
        return table.to_pandas(types_mapper=pd.ArrowDtype)

    def count():
        if not seen.devices:
            raise CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
        return seen.devices

    made["cudf"].Series = Series
    made["cudf"].DataFrame = SimpleNamespace(from_arrow=from_arrow)
    made["cudf"].RangeIndex = pd.RangeIndex
    made["cupy"].asarray, made["cupy"].zeros, made["cupy"].empty = as_array, np.zeros, np.empty
    runtime = SimpleNamespace(getDeviceCount=count, CUDARuntimeError=CUDARuntimeError)
    made["cupy"].cuda = SimpleNamespace(runtime=runtime)
    made["pylibcudf"].TypeId = SimpleNamespace(STRING="STRING")
    for name, module in made.items():
        monkeypatch.setitem(sys.modules, name, module)
    return seen


def column_of(array, skip=0, child_offset=0):
    """Return an Arrow array as a pylibcudf column, each buffer `skip` bytes into its memory."""
    kind = "INT64" if pa.types.is_large_string(array.type) else "INT32"
    _, ends, data = array.buffers()
    width = 8 if kind == "INT64" else 4
    rows = array.offset + len(array)
    # Without rows, offsets may be missing in Arrow, and then in libcudf too.
    raw = bytes(ends)[: (rows + 1) * width] if ends is not None and len(ends) else b""
    before = b"\xee" * (skip + child_offset * width)
    child = Column(kind, rows + 1, child_offset, Buffer(before + raw, skip))
    characters = None if data is None else Buffer(b"\xee" * skip + bytes(data), skip)
    return Column("STRING", len(array), array.offset, characters, [child] if raw else [])


def series_of(array, **layout):
    return Series(column_of(array, **layout), array.is_valid().to_numpy(zero_copy_only=False))


# --- packed ---------------------------------------------------------------------------------------


def bytes_of(packed):
    """Return the texts, read from the two arrays alone."""
    return [bytes(packed.data[start:stop]) for start, stop in pairwise(packed.offsets)]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()], ids=str)
def test_a_column_is_viewed_where_it_lies(device, kind):
    series = series_of(pa.array(["before", "dhātu", None, "", "last"], kind).slice(1, 3))
    with frames.packed(series) as text:
        assert bytes_of(text) == ["dhātu".encode(), b"", b""]
        assert len(text) == 3
        assert text.nbytes == 6
        characters, ends = series._column.plc_column.buffers()
        width = 8 if kind == pa.large_string() else 4
        assert text.offsets.dtype == np.dtype(f"i{width}")
        assert text.data.__array_interface__["data"][0] == characters.ptr
        assert text.offsets.__array_interface__["data"][0] == ends.ptr + width
    assert frames.valid(series).tolist() == [True, False, True]


@pytest.mark.parametrize("skip", [0, 8])
@pytest.mark.parametrize("child_offset", [0, 3])
def test_slices_of_buffers_and_of_the_offsets_are_followed(device, skip, child_offset):
    array = pa.array(["x", "yy", "zzz", None]).slice(1)
    with frames.packed(series_of(array, skip=skip, child_offset=child_offset)) as text:
        assert bytes_of(text) == [b"yy", b"zzz", b""]


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
def test_texts_without_bytes_are_still_texts(device, array):
    series = series_of(array)
    with frames.packed(series) as text:
        assert bytes_of(text) == [b""] * len(array)
        assert (len(text), text.nbytes, text.data.dtype) == (len(array), 0, np.uint8)
    assert frames.valid(series).tolist() == array.is_valid().to_pylist()


def test_a_column_without_a_buffer_of_characters(device):
    ends = Column("INT32", 3, 0, Buffer(bytes(12)))
    with frames.packed(Series(Column("STRING", 2, 0, None, [ends]))) as text:
        assert bytes_of(text) == [b"", b""]


@pytest.mark.parametrize("rows", [0, 3])
def test_a_column_without_offsets(device, rows):
    with frames.packed(Series(Column("STRING", rows, 0, None))) as text:
        assert bytes_of(text) == [b""] * rows


def test_no_rows_are_not_read_from_offsets_that_are_not_there(device):
    ends = Column("INT32", 0, 0, None)
    with frames.packed(Series(Column("STRING", 0, 0, None, [ends]))) as text:
        assert text.offsets.tolist() == [0]


@given(
    st.lists(st.one_of(st.none(), st.text()), max_size=20),
    st.sampled_from([pa.string(), pa.large_string()]),
    st.integers(0, 20),
    st.integers(0, 20),
    st.sampled_from([0, 8, 64]),
    st.integers(0, 4),
)
@anywhere
def test_it_is_what_arrow_reads(texts, kind, start, length, skip, child_offset):
    array = pa.array(texts, kind).slice(min(start, len(texts)), length)
    expected = PackedText.from_arrow(array)
    with pytest.MonkeyPatch.context() as monkeypatch:
        put_device(monkeypatch)
        series = series_of(array, skip=skip, child_offset=child_offset)
        with frames.packed(series) as text:
            assert bytes_of(text) == expected.to_bytes()
            assert bytes_of(text[1:3]) == expected[1:3].to_bytes()
            assert text.nbytes == expected.nbytes


def test_a_viewed_column_is_locked_and_never_exposed(device):
    series = series_of(pa.array(["a", "b"]))
    buffers = series._column.plc_column.buffers()
    assert len(buffers) == 2
    for end_in in ("peace", "an error"):
        try:
            with frames.packed(series):
                assert [buffer.locks for buffer in buffers] == [1, 1]
                if end_in == "an error":
                    raise KeyError
        except KeyError:
            pass
        assert [buffer.locks for buffer in buffers] == [0, 0]
    assert not any(buffer.exposed for buffer in buffers)


def test_a_spilled_column_is_brought_back(device):
    series = series_of(pa.array(["a", "b"]))
    for buffer in series._column.plc_column.buffers():
        buffer.spilled = True
    with frames.packed(series) as text:
        assert bytes_of(text) == [b"a", b"b"]
        assert text.data.base.owner.memory is not None


def test_a_view_that_is_kept_keeps_its_memory(device):
    series = series_of(pa.array(["a", "b"]))
    with frames.packed(series) as text:
        pass
    characters, ends = series._column.plc_column.buffers()
    assert text.data.base.owner.memory is characters.memory
    assert text.offsets.base.owner.memory is ends.memory


@pytest.mark.parametrize(
    ("series", "named"),
    [
        (pd.Series(["a"]), "Series"),
        (["a"], "list"),
        (Series(Column("INT32", 1, 0, Buffer(bytes(4)))), "INT32"),
    ],
    ids=["pandas", "list", "numbers"],
)
def test_anything_else_is_a_type_error(device, series, named):
    refused = pytest.raises(TypeError, match=f"must be a cuDF series of strings, not .*{named}")
    with refused, frames.packed(series):
        pass


# --- frame ----------------------------------------------------------------------------------------


@pytest.fixture
def corpus(tmp_path, monkeypatch, glosses, write_jsonl):
    """Three files of two formats with null and broken rows, in shards of 64 rows."""
    monkeypatch.setattr(partition, "MIN_SHARD_ROWS", 64)
    rows = [{"id": n, "text": g["text"], "lang": "en"} for n, g in enumerate(glosses[:300])]
    rows[70]["text"] = rows[80]["lang"] = None
    write_jsonl(rows[:100], "1.jsonl")
    with (tmp_path / "1.jsonl").open("a") as file:
        file.write("no json\n")
    pq.write_table(pa.Table.from_pylist(rows[100:]), tmp_path / "2.parquet", row_group_size=50)
    return pf.open_corpus(tmp_path, keep=["lang"])


@pytest.fixture
def read(monkeypatch):
    """Return a list that collects the stretches that are read."""
    seen = []

    def reading(stretch, *args):
        seen.append(stretch)
        return read_stretch(stretch, *args)

    read_stretch = stretches_module.read_stretch
    monkeypatch.setattr(stretches_module, "read_stretch", reading)
    return seen


def test_on_the_cpu_it_is_the_corpuss_own_frame(corpus):
    assert pf.frame(corpus, "cpu") is corpus.frame
    assert pf.frame(corpus) is corpus.frame


def test_on_cuda_it_has_the_same_partitions_rows_and_index(device, corpus):
    ours, theirs = pf.frame(corpus, "cuda"), corpus.frame
    assert (ours.npartitions, ours.divisions) == (theirs.npartitions, theirs.divisions)
    assert ours.npartitions > 3
    assert list(ours.columns) == list(theirs.columns) == ["text", "id", "lang"]
    pairs = zip(*dask.compute(ours.to_delayed(), theirs.to_delayed()), strict=True)
    for ours_part, theirs_part in pairs:
        pd.testing.assert_frame_equal(ours_part, theirs_part)
    found = ours.compute()
    assert found.index.tolist() == list(range(301))
    assert found.index[found.text.isna()].tolist() == [70, 100]
    assert found.index[found.lang.isna()].tolist() == [80, 100]


def test_cudf_is_given_arrow_text_of_the_readers_uncopied(device, corpus, monkeypatch):
    handed = []

    def recording(*args):
        for rows in read_stretch(*args):
            handed.append(rows.text)
            yield rows

    read_stretch = stretches_module.read_stretch
    monkeypatch.setattr(stretches_module, "read_stretch", recording)
    pf.frame(corpus, "cuda").partitions[0].compute()
    empty, table = device.tables
    assert (len(empty), len(table)) == (0, corpus.frame.divisions[1])
    assert empty.schema == table.schema
    assert empty.column("text").num_chunks == 1  # many readers fail on a column without chunks
    addresses = [chunk.buffers()[2].address for chunk in table.column("text").chunks]
    # 32-bit offsets are widened, the characters are not copied.
    assert addresses == [text.buffers()[2].address for text in handed]


def test_nothing_is_read_before_it_is_computed(device, corpus, read):
    found = pf.frame(corpus, "cuda")
    long = found[found.text.str.len() > 60].map_partitions(
        lambda part: part.assign(length=part.text.str.len())
    )
    joined = long.merge(found[["id"]], on="id", shuffle_method="tasks")
    assert read == []
    assert [len(table) for table in device.tables] == [0]
    assert 0 < len(joined.compute()) < 300
    assert read != []


def test_frames_of_two_backends_do_not_share_keys(device, corpus):
    assert pf.frame(corpus, "cuda")._name != corpus.frame._name
    assert pf.frame(corpus, "cuda")._name == pf.frame(corpus, "cuda")._name


def test_a_task_carries_names_and_no_code(device, corpus):
    # Plain pickle refuses a function that cannot be found again by its name.
    assert b"_to_cudf" in pickle.dumps(pf.frame(corpus, "cuda").__dask_graph__())


@pytest.mark.parametrize(("setting", "device_frames"), [("pandas", 0), ("cudf", 1)])
def test_left_out_it_follows_dasks_setting(device, corpus, setting, device_frames):
    with dask.config.set({"dataframe.backend": setting}):
        pf.frame(corpus)
    assert len(device.tables) == device_frames


def test_an_unknown_dask_setting_is_named(corpus):
    with (
        dask.config.set({"dataframe.backend": "polars"}),
        pytest.raises(
            BackendUnavailable, match="'polars', but frames are available for pandas and cu"
        ),
    ):
        pf.frame(corpus)


@pytest.mark.parametrize("name", ["gpu", "cudf", "", "reference"])
def test_an_unknown_backend_is_refused_with_the_choices(corpus, read, name):
    with pytest.raises(
        BackendUnavailable, match=f"no frames for backend '{name}'; choose one of: cpu, cuda"
    ):
        pf.frame(corpus, name)


@pytest.mark.parametrize("missing", ["cupy", "cudf", "dask_cudf"])
def test_what_is_missing_is_named_before_anything_is_counted(
    device, tmp_path, monkeypatch, missing
):
    (tmp_path / "a.txt").write_text("a")
    corpus = pf.open_corpus(tmp_path)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(BackendUnavailable, match=rf"{missing}.*`paninifs devices`.*'cpu'"):
        pf.frame(corpus, "cuda")
    assert "index" not in vars(corpus)


def test_without_a_gpu_it_says_so(device, corpus):
    device.devices = 0
    with pytest.raises(BackendUnavailable, match=r"a GPU in this process \(cudaErrorNoDevice.*cpu"):
        pf.frame(corpus, "cuda")
    assert device.tables == []


def test_a_frame_is_of_a_corpus():
    with pytest.raises(UsageError, match="a corpus from open_corpus"):
        pf.frame("texts.jsonl")
