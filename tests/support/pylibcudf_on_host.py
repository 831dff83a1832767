"""A stand-in for the parts of pylibcudf that decode Parquet, for `cuda_on_host`.

It is as awkward as the real one: columns are slices of larger ones, their offsets have 32 or 64
bits, their null masks are bits in multiples of 64 bytes, parts end anywhere, memory is gone with
the last reference to it, nothing is checked to be UTF-8 and no checksum is verified, and every
failure is a `RuntimeError`.
"""

from __future__ import annotations

import ctypes
import io
import sys
import types
import weakref
from contextlib import contextmanager
from enum import IntEnum

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest


class gpumemoryview:  # noqa: N801 (pylibcudf's name)
    """Memory of the "device", overwritten when the last reference goes."""

    def __init__(self, raw):
        import cupy

        self._taken = cupy.device.take(len(raw))
        self._raw = (ctypes.c_byte * max(1, len(raw))).from_buffer_copy(raw.ljust(1, b"\0"))
        self.ptr, self.size = ctypes.addressof(self._raw), len(raw)
        weakref.finalize(self, ctypes.memset, self._raw, 0xDD, len(self._raw)).atexit = False


class DataType:
    def __init__(self, typestr):
        self.typestr = typestr


class Column:
    def __init__(self, typestr, size, data, mask, offset, children):
        self._parts = DataType(typestr), size, data, mask, offset, children

    def type(self):
        return self._parts[0]

    def size(self):
        return self._parts[1]

    def data(self):
        return self._parts[2]

    def null_mask(self):
        return self._parts[3]

    def offset(self):
        return self._parts[4]

    def children(self):
        return self._parts[5]


def column_of(texts, *, before=0, wide=False):
    """Lay texts (bytes, or None) out as a column, with `before` other rows before them."""
    rows = [b"\xc3"] * before + texts
    ends = np.cumsum([0, *(len(text or b"") for text in rows)], dtype="<i8" if wide else "<i4")
    data = b"".join(text or b"" for text in rows)
    known = np.array([text is not None for text in rows], bool)
    mask = None
    if not known.all():
        bits = np.packbits(known, bitorder="little").tobytes()
        mask = gpumemoryview(bits + b"\xff" * (-len(bits) % 64))
    children = []
    if rows:
        children = [Column(ends.dtype.str, len(ends), gpumemoryview(ends.tobytes()), None, 0, [])]
    return Column("|O", len(texts), gpumemoryview(data) if data else None, mask, before, children)


class CompressionType(IntEnum):
    NONE = 0
    SNAPPY = 2
    GZIP = 3
    BROTLI = 5
    LZ4 = 9
    ZSTD = 11


UNSUPPORTED = {CompressionType.BROTLI}  # as without nvCOMP's code for it


def is_supported_read_parquet(compression):
    assert type(compression) is CompressionType
    return compression not in UNSUPPORTED


class SourceInfo:
    def __init__(self, sources):
        (self.data,) = sources
        assert type(self.data) is bytes


class ParquetReaderOptions:
    @staticmethod
    def builder(source):
        assert type(source) is SourceInfo
        return ParquetReaderOptionsBuilder(source)


class ParquetReaderOptionsBuilder:
    def __init__(self, source):
        self.source = source

    def build(self):
        return types.SimpleNamespace(source=weakref.ref(self.source))


class Stream:
    """A stream of RMM, around one of CuPy."""

    def __init__(self, obj=None, flags=None):
        assert hasattr(obj, "synchronize")
        assert flags is None


reads = []  # columns that were begun


class ChunkedParquetReader:
    def __init__(
        self,
        options,
        stream=None,
        mr=None,
        chunk_read_limit=0,
        pass_read_limit=1024000000,
        parquet_metadatas=None,
    ):
        assert type(stream) is Stream
        assert mr is parquet_metadatas is None
        assert pass_read_limit >= chunk_read_limit > 0
        self._source, self._limit, self._at, self._texts = (
            options.source,
            chunk_read_limit,
            0,
            None,
        )
        reads.append(len(self._data))

    @property
    def _data(self):
        source = self._source()
        assert source is not None, "libcudf reads the bytes where they are"
        return source.data

    def _load(self):
        if self._texts is None:
            try:
                (column,) = pq.ParquetFile(io.BytesIO(self._data)).read().columns
            except (pa.ArrowException, OSError) as error:
                raise RuntimeError(f"CUDF failure at: reader_impl.cu:42: {error}") from error
            chunks = [chunk.cast(pa.large_binary()) for chunk in column.chunks]
            self._texts = [text for chunk in chunks for text in chunk.to_pylist()]

    def has_next(self):
        return self._texts is None or self._at < len(self._texts)

    def read_chunk(self):
        self._load()
        start, nbytes = self._at, 0
        while self._at < len(self._texts):
            nbytes += 4 + len(self._texts[self._at] or b"")
            if nbytes > self._limit and self._at > start:
                break
            self._at += 1
        number = len(reads) + start
        column = column_of(self._texts[start : self._at], before=number % 11, wide=bool(number % 2))
        return types.SimpleNamespace(tbl=types.SimpleNamespace(columns=lambda: [column]))


@contextmanager
def installed():
    """Give this process the modules."""
    reads.clear()
    modules = {
        "pylibcudf.io.parquet": types.SimpleNamespace(
            ChunkedParquetReader=ChunkedParquetReader,
            ParquetReaderOptions=ParquetReaderOptions,
            is_supported_read_parquet=is_supported_read_parquet,
        ),
        "pylibcudf.io.types": types.SimpleNamespace(
            SourceInfo=SourceInfo, CompressionType=CompressionType
        ),
        "rmm.pylibrmm.stream": types.SimpleNamespace(Stream=Stream),
    }
    from paninifs.graphs.kernels.cuda import parquet_texts

    with pytest.MonkeyPatch.context() as patch:
        for name, module in modules.items():
            patch.setitem(sys.modules, name, module)
        patch.setattr(parquet_texts, "SMALLEST", 0)
        parquet_texts.forget()
        yield reads
    parquet_texts.forget()
