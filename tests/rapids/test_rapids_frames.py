"""`frame` and `packed` with the real RAPIDS, on a machine without a GPU.

cuDF's own columns and buffers, and pylibcudf's, stand here on memory of this process, which they
never look into; only CuPy, which would, is replaced. So what is used of them exists, and means what
`packed` takes it to mean, down to the spill locks.
"""

import inspect
import sys
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("cudf", reason="needs RAPIDS; see `make test-rapids`")

import cudf
import cupy
import dask.dataframe as dd
import dask_cudf
import pylibcudf as plc
from cudf.core.buffer import Buffer, SpillableBuffer, spill_manager

import paninifs as pf
from paninifs.graphs.frames import cudf_text
from paninifs.storage.errors import BackendUnavailable


class Memory:
    """Bytes of this process that pass for a device's."""

    def __init__(self, raw):
        self.array = np.frombuffer(bytearray(raw), np.uint8)

    @property
    def ptr(self):
        return self.array.ctypes.data

    @property
    def size(self):
        return self.array.nbytes

    @property
    def __cuda_array_interface__(self):
        return {
            "data": (self.ptr, False),
            "shape": (self.size,),
            "strides": None,
            "typestr": "|u1",
            "version": 3,
        }


@pytest.fixture(autouse=True)
def host_cupy(monkeypatch):
    """Put a CuPy in place that looks at this process's memory."""

    def as_array(obj):
        interface = dict(obj.__cuda_array_interface__)
        del interface["stream"]
        return np.asarray(SimpleNamespace(__array_interface__=interface, owner=obj))

    host = SimpleNamespace(asarray=as_array, zeros=np.zeros, empty=np.empty)
    monkeypatch.setitem(sys.modules, "cupy", host)


@pytest.fixture(params=["spilling", "not spilling"])
def buffers_are(request):
    """The class of cuDF's buffers: with cuDF's spilling on, and off."""
    before = spill_manager.get_global_manager()
    spilling = request.param == "spilling"
    spill_manager.set_global_manager(spill_manager.SpillManager() if spilling else None)
    yield SpillableBuffer if spilling else Buffer
    spill_manager.set_global_manager(before)


def series_of(array):
    """Lay an Arrow string array out as a cuDF series."""
    large = pa.types.is_large_string(array.type)
    _, ends, data = array.buffers()
    child = plc.Column(
        plc.DataType(plc.TypeId.INT64 if large else plc.TypeId.INT32),
        array.offset + len(array) + 1,
        Memory(ends),
        None,
        0,
        0,
        [],
    )
    column = plc.Column(
        plc.DataType(plc.TypeId.STRING),
        len(array),
        None if data is None else Memory(data),
        None,
        0,
        array.offset,
        [child],
    )
    return cudf.Series.from_pylibcudf(column)


def buffers_of(series):
    column = series._column.plc_column
    return [column.data(), column.children()[0].data()]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()], ids=str)
def test_cudfs_column_is_viewed_where_it_lies(buffers_are, kind):
    series = series_of(pa.array(["before", "dhātu", "", "last"], kind).slice(1, 2))
    characters, ends = buffers_of(series)
    assert type(characters) is type(ends) is buffers_are
    with cudf_text.packed(series) as text:
        assert text.to_bytes() == ["dhātu".encode(), b""]
        assert text.offsets.itemsize == (8 if kind == pa.large_string() else 4)
        assert text.data.ctypes.data == characters.ptr
        assert text.offsets.ctypes.data == ends.ptr + text.offsets.itemsize
        assert text.data.base.owner.memory is characters.owner.owner
    assert isinstance(characters.owner.owner, plc.gpumemoryview | Memory)


def test_a_buffer_that_is_a_slice_of_another_is_followed(buffers_are):
    series = series_of(pa.array(["ab", "c"]))
    column = series._column.plc_column
    child = column.children()[0]
    with series._column.access(mode="read", scope="internal"):
        sliced = plc.Column(
            column.type(), 1, column.data()[2:], None, 0, 0,
            [plc.Column(child.type(), 2, Memory(np.array([0, 1], "i4").tobytes()), None, 0, 0, [])],
        )  # fmt: skip
        other = cudf.Series.from_pylibcudf(sliced)
    with cudf_text.packed(other) as text:
        assert text.to_bytes() == [b"c"]


@pytest.mark.parametrize("buffers_are", ["spilling"], indirect=True)
def test_cudf_can_spill_it_before_and_after_and_not_meanwhile(buffers_are):
    series = series_of(pa.array(["a", "b"]))
    owners = [buffer.owner for buffer in buffers_of(series)]
    assert all(owner.spillable for owner in owners)
    with cudf_text.packed(series):
        assert not any(owner.spillable or owner.exposed for owner in owners)
    assert all(owner.spillable for owner in owners)
    # What `packed` avoids: this is for good.
    _ = series._column.plc_column.data().__cuda_array_interface__["data"][0]
    assert owners[0].exposed


@pytest.mark.parametrize("buffers_are", ["spilling"], indirect=True)
def test_a_spilled_column_comes_back(buffers_are, monkeypatch):
    from cudf.core.buffer import spillable_buffer

    def to_host(ptr, host):
        host[:] = b"ab" if len(host) == 2 else np.array([0, 1, 2], "i4").tobytes()

    device_buffer = SimpleNamespace(copy_ptr_to_host=to_host)
    rmm = SimpleNamespace(
        pylibrmm=SimpleNamespace(device_buffer=device_buffer),
        DeviceBuffer=SimpleNamespace(to_device=Memory),
    )
    monkeypatch.setattr(spillable_buffer, "rmm", rmm)
    series = series_of(pa.array(["a", "b"]))
    for buffer in buffers_of(series):
        buffer.owner.spill(target="cpu")
        assert buffer.owner.owner is None
    # The public way would hand these over as buffers that are not there.
    assert series.to_pylibcudf()[0].data() is None
    with cudf_text.packed(series) as text:
        assert text.to_bytes() == [b"a", b"b"]
        assert not any(buffer.owner.is_spilled for buffer in buffers_of(series))
    buffers_of(series)[0].owner.spill(target="cpu")
    assert text.to_bytes() == [b"a", b"b"]  # the view holds the memory


def test_a_shared_buffer_is_not_copied(buffers_are):
    series = series_of(pa.array(["a", "b"]))
    other = series.copy(deep=False)
    with cudf_text.packed(series) as text, cudf_text.packed(other) as same:
        assert text.data.ctypes.data == same.data.ctypes.data


def test_anything_but_strings_is_a_type_error():
    numbers = plc.Column(plc.DataType(plc.TypeId.INT32), 1, Memory(bytes(4)), None, 0, 0, [])
    for series in (cudf.Series.from_pylibcudf(numbers), ["a"]):
        refused = pytest.raises(TypeError, match="must be a cuDF series of strings, not")
        with refused, cudf_text.packed(series):
            pass


def test_no_rows():
    column = plc.Column(plc.DataType(plc.TypeId.STRING), 0, None, None, 0, 0, [])
    with cudf_text.packed(cudf.Series.from_pylibcudf(column)) as text:
        assert (len(text), text.nbytes) == (0, 0)


def test_what_makes_a_frame_takes_what_it_is_given():
    inspect.signature(cudf.DataFrame.from_arrow).bind(pa.table({"text": ["a"]}))
    assert list(cudf.RangeIndex(3, 5).to_pandas()) == [3, 4]
    assert isinstance(inspect.getattr_static(cudf.DataFrame, "index"), property)
    assert cudf.DataFrame.index.fset is not None
    inspect.signature(cudf.Series.notna).bind(None)
    assert isinstance(inspect.getattr_static(cudf.Series, "values"), property)


def test_what_is_used_of_cupy_is_there():
    assert issubclass(cupy.cuda.runtime.CUDARuntimeError, RuntimeError)
    assert callable(cupy.cuda.runtime.getDeviceCount)
    for made in (cupy.zeros, cupy.empty):
        inspect.signature(made).bind(1, np.int32)
    inspect.signature(cupy.asarray).bind(None)


def test_dask_makes_a_dask_cudf_frame_of_cudfs_meta(monkeypatch):
    # Dask names a frame by a hash of its meta, which cuDF takes on the device.
    monkeypatch.setattr(cudf.DataFrame, "__dask_tokenize__", lambda self: "meta")
    found = dd.from_map(
        len,
        [[], []],
        meta=cudf.DataFrame(index=cudf.RangeIndex(0, 0)),
        divisions=(0, 5, 9),
        label="corpus",
        enforce_metadata=False,
    )
    assert type(found) is dask_cudf.DataFrame
    assert type(found.partitions[0]) is dask_cudf.DataFrame
    assert type(found.index) is dask_cudf.Index
    assert found.divisions == (0, 5, 9)


def test_without_a_gpu_the_frame_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (tmp_path / "a.txt").write_text("a")
    corpus = pf.open_corpus(tmp_path)
    try:
        devices = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError:
        devices = 0
    if devices:
        pytest.skip("there is a GPU")
    with pytest.raises(BackendUnavailable, match="they need a GPU in this process"):
        pf.frame(corpus, "cuda")
    assert "index" not in vars(corpus)


def test_what_reads_a_partition_takes_what_it_is_given():
    inspect.signature(cudf.DataFrame.to_arrow).bind(None)
    assert isinstance(inspect.getattr_static(cudf.DataFrame, "columns"), property)
    assert callable(dask_cudf.DataFrame.to_delayed)
