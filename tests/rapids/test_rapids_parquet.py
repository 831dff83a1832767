"""What decodes Parquet on the device, with the real pylibcudf, on a machine without a GPU.

Nothing is decoded here. libcudf reads the footers that we write, its signatures are those that are
called, and its columns are viewed on memory of this process.
"""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import numpy as np
import parquet_corpora
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("pylibcudf", reason="needs RAPIDS; see `make test-rapids`")

import cupy
import pylibcudf as plc
import pylibcudf_on_host
from pylibcudf.io import parquet, parquet_metadata
from pylibcudf.io.types import CompressionType, SourceInfo, TableWithMetadata
from rmm.pylibrmm.stream import Stream

from paninifs.graphs.kernels.cuda import parquet_texts, string_column
from paninifs.storage.formats.decoding import StoredFile
from paninifs.storage.formats.parquet import column_file
from paninifs.storage.formats.parquet.footer import read_footer
from paninifs.storage.formats.parquet.schema import columns_of
from paninifs.storage.rows import CannotDecode


def handed_over(name):
    """Return the column files of a corpus, and the texts that they should hold."""
    data = parquet_corpora.CORPORA[name]()
    stored = StoredFile(io.BytesIO(data))
    footer = read_footer(stored)
    column = columns_of(footer.schema)["text"]
    for group in range(len(footer.groups)):
        try:
            yield column_file.column_file(footer, stored, group, column)
        except CannotDecode:
            continue


@pytest.mark.parametrize(
    "name", [name for name in parquet_corpora.CORPORA if name != "in a struct"]
)
def test_libcudf_reads_the_footers_that_are_written(name):
    files = list(handed_over(name))
    assert files
    for file in files:
        source = SourceInfo([file.data])
        metadata = parquet_metadata.read_parquet_metadata(source)
        assert (metadata.num_rows(), metadata.num_rowgroups()) == (file.rows, 1)
        assert metadata.schema().column_types()["text"].id() == plc.TypeId.STRING
        (footer,) = parquet_metadata.read_parquet_footers(source)
        (group,) = footer.row_groups
        (column,) = group.columns
        assert column.meta_data.path_in_schema == ["text"]
        assert column.meta_data.num_values == file.rows
        ours = pq.ParquetFile(io.BytesIO(file.data)).metadata.row_group(0).column(0)
        assert column.meta_data.total_compressed_size == ours.total_compressed_size


@pytest.mark.parametrize("codec", ["snappy", "gzip", "brotli", "zstd", "lz4"])
def test_every_codec_has_a_name_there(codec):
    assert isinstance(
        parquet.is_supported_read_parquet(getattr(CompressionType, codec.upper())), bool
    )


def test_the_reader_takes_what_it_is_given():
    try:
        devices = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError:
        devices = 0
    if devices:
        pytest.skip("there is a GPU, which has no such stream")
    (file, *_) = handed_over("plain")
    stream = SimpleNamespace(__cuda_stream__=lambda: (0, 4711))
    with pytest.raises(Exception, match="driver") as caught:  # all arguments were taken by then
        parquet_texts._Column(parquet_texts._library(), file, 1000, stream)
    assert not isinstance(caught.value, TypeError)
    options = parquet.ParquetReaderOptions.builder(SourceInfo([file.data])).build()
    with pytest.raises(TypeError, match="unexpected keyword"):
        parquet.ChunkedParquetReader(options, limit=1)


def test_what_is_called_of_it_exists():
    for name in ("has_next", "read_chunk"):
        assert callable(getattr(parquet.ChunkedParquetReader, name))
    assert callable(plc.Table.columns)
    assert hasattr(TableWithMetadata, "tbl")


def test_streams_of_cupy_are_streams_of_rmm():
    assert hasattr(cupy.cuda.Stream, "__cuda_stream__")
    known = SimpleNamespace(__cuda_stream__=lambda: (0, 4711))
    assert Stream(known).__cuda_stream__() == (0, 4711)


def test_the_modules_are_found():
    parquet_texts.forget()
    library = parquet_texts._library()
    parquet_texts.forget()
    assert library.parquet is parquet
    assert library.types.SourceInfo is SourceInfo
    assert library.stream is Stream


def test_the_stand_in_has_nothing_that_pylibcudf_has_not():
    pairs = [
        (pylibcudf_on_host.ChunkedParquetReader, parquet.ChunkedParquetReader),
        (pylibcudf_on_host.ParquetReaderOptions, parquet.ParquetReaderOptions),
        (pylibcudf_on_host.ParquetReaderOptionsBuilder, parquet.ParquetReaderOptionsBuilder),
        (pylibcudf_on_host.Column, plc.Column),
    ]
    for stand_in, real in pairs:
        public = {name for name in vars(stand_in) if not name.startswith("_")}
        assert public <= set(dir(real))
    names = set(pylibcudf_on_host.CompressionType.__members__)
    assert names <= {name for name in dir(CompressionType) if name.isupper()}
    assert {"ptr", "size"} <= set(dir(plc.gpumemoryview))


# --- columns --------------------------------------------------------------------------------------


class Memory:
    """Bytes of this process that pass for a device's."""

    def __init__(self, raw):
        self.array = np.frombuffer(bytearray(raw), np.uint8)
        self.ptr, self.size = self.array.ctypes.data, self.array.nbytes


@pytest.fixture
def _host_cupy(monkeypatch):
    """Put a CuPy in place that looks at this process's memory."""

    def as_array(obj):
        interface = dict(obj.__cuda_array_interface__)
        assert interface.pop("stream") is None
        return np.asarray(SimpleNamespace(__array_interface__=interface, owner=obj))

    host = SimpleNamespace(asarray=as_array, zeros=np.zeros, empty=np.empty)
    monkeypatch.setitem(sys.modules, "cupy", host)


@pytest.mark.usefixtures("_host_cupy")
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()], ids=str)
def test_a_column_of_pylibcudf_is_viewed_where_it_lies(kind):
    array = pa.array(["before", "dhātu", None, "", "last"], kind).slice(1, 3)
    mask, ends, data = (Memory(buffer.to_pybytes()) for buffer in array.buffers())
    wide = kind == pa.large_string()
    child_type = plc.DataType(plc.TypeId.INT64 if wide else plc.TypeId.INT32)
    child = plc.Column(child_type, 6, ends, None, 0, 0, [])
    column = plc.Column(plc.DataType(plc.TypeId.STRING), 3, data, mask, 1, 1, [child])
    viewed = string_column.StringColumn(column, waits=False)
    text, found = viewed.text, viewed.null_mask
    assert text.to_bytes() == ["dhātu".encode(), b"", b""]
    assert text.offsets.dtype == (np.int64 if wide else np.int32)
    assert text.data.ctypes.data == data.ptr
    bits = np.unpackbits(found.bits, bitorder="little")[found.first :][:3]
    assert bits.tolist() == [1, 0, 1]
