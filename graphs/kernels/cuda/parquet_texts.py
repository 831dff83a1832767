"""Texts of Parquet decoded on the device by libcudf, cuDF's library, and checked there.

`text_decoder` returns a `TextDecoder` for the reader of the corpus. Only compressed pages are
copied to the device. What comes back is how long the texts are, and which of them cannot be used.
libcudf does not check that texts are UTF-8, which a kernel does here, and verifies no checksums of
pages, which the host has done before (`storage.formats.parquet.column_file`).

What libcudf does not read, or fails to read, is left to the host, except that a lost device is
lost. Damage that decompresses and belongs to pages without checksums can be decoded otherwise than
on the host, unless the sizes that the file states differ from what was decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ....storage.errors import DeviceLost
from ....storage.rows import CannotDecode, ColumnFile, DecodedText, TextDecoder
from ....storage.text import PackedText
from .. import long_texts
from .copies import to_device, to_host
from .device import device_name, load_cupy, responds
from .device_text import DeviceText, launch
from .streams import borrowed_stream, current_stream, device_errors, wait
from .string_column import NullMask, StringColumn

SMALLEST = 1 << 20
"""Bytes of a column as stored, below which the host decodes it: libcudf takes about a millisecond
to begin, in which a core decodes as much."""

_NULL, _NOT_UTF8 = 1, 2
"""States of texts, as in decoded_texts.cu."""

_PASS_LIMIT = 2
"""Bytes for decompression, as a multiple of those decoded at once. To libcudf it is a hint."""

_TRICKY = (
    *(b"", b"\0", b"mot", "dhātu \u0926 \U0001f600".encode(), b"\xc2\x80", b"\xdf\xbf"),
    *(b"\xe0\xa0\x80", b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xf0\x90\x80\x80", b"\xf4\x8f\xbf\xbf"),
    *(b"\x80", b"a\xbf", b"\xc0\x80", b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xed\xa0\x80"),
    *(b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xff", b"\xc3", b"\xe2\x82"),
    *(b"\xf0\x9f\x98", b"\xc3a", b"\xe2\x82a", b"\xc3\xa9\xa9", b"x" * 40 + b"\xe2\x82"),
    *(b"x" * 31 + b"\xc3\xa9" * 9, b"x" * 31 + b"\xc3\xa9" * 8 + b"\xa9"),
)
"""Texts that are UTF-8, and others that almost are."""


def text_decoder(limit: int) -> TextDecoder | str:
    """Return what decodes texts of Parquet on the device, or why the host must.

    Parameters
    ----------
    limit : int
        About how many bytes of text are decoded at once.
    """
    library = _library()
    if isinstance(library, str):
        return library
    if problem := self_test():
        return problem
    return lambda file: _decoded(library, file, limit)


@cache
def _library() -> Any:
    """Return the modules of pylibcudf that are used; a string says why there are none."""
    try:
        return SimpleNamespace(
            parquet=import_module("pylibcudf.io.parquet"),
            types=import_module("pylibcudf.io.types"),
            stream=import_module("rmm.pylibrmm.stream").Stream,
        )
    except Exception as error:  # noqa: BLE001 (RAPIDS raises what its libraries do)
        return f"cuDF cannot be used here ({type(error).__name__}: {error})"


@cache
def self_test() -> str | None:
    """Return what is wrong with the kernel that checks texts; None if nothing is."""
    texts = PackedText.from_strings(_TRICKY)
    staged: list[npt.NDArray[Any]] = []
    with device_errors(), current_stream() as stream:
        data, offsets = (to_device(one, stream, staged) for one in (texts.data, texts.offsets))
        states = to_host(_states(data, offsets, None), stream)
        wait(stream)
    expected = [0 if _is_utf8(one) else _NOT_UTF8 for one in _TRICKY]
    return None if states.tolist() == expected else "the device takes texts for UTF-8 that are not"


def forget() -> None:
    """Forget what was found of this process, for one whose packages or device are others now."""
    _library.cache_clear()
    self_test.cache_clear()


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _decoded(library: Any, file: ColumnFile, limit: int) -> Iterator[DecodedText]:
    """Yield the texts of a column.

    All of it is decoded before the first texts are yielded. If it has several parts, it is decoded
    again then, part by part: they need not fit into the device's memory together.
    """
    if len(file.data) < SMALLEST:
        raise CannotDecode(f"it has {len(file.data):,} bytes, fewer than {SMALLEST:,}")
    with borrowed_stream() as stream:
        with _left_to_the_host():
            _require_codec(library, file)
            column = _Column(library, file, limit, stream)
            only = _read_through(column, file)
        if only is not None:
            with _left_to_the_host():
                texts = _checked(only, stream)
            yield texts
            return
        with _left_to_the_host():
            column = _Column(library, file, limit, stream)
        while True:
            with _left_to_the_host():
                if not column.has_next():
                    return
                texts = _checked(column.next(), stream)
            yield texts


class _Part(NamedTuple):
    """Texts as libcudf has decoded them, on the device."""

    text: PackedText  # perhaps a slice, with offsets of 32 or 64 bits
    mask: NullMask | None

    def nbytes(self, stream: Any) -> int:
        """Return the bytes of the texts."""
        ends = [to_host(one, stream) for one in (self.text.offsets[:1], self.text.offsets[-1:])]
        wait(stream)
        first, last = (int(one[0]) for one in ends)
        return last - first


class _Column:
    """A column that libcudf decodes, part by part, on a stream."""

    def __init__(self, library: Any, file: ColumnFile, limit: int, stream: Any) -> None:
        self.stream = stream
        # libcudf reads the bytes where they are, so they must stay.
        self._source = library.types.SourceInfo([file.data])
        parquet = library.parquet
        self._reader = parquet.ChunkedParquetReader(
            parquet.ParquetReaderOptions.builder(self._source).build(),
            stream=library.stream(stream),
            chunk_read_limit=limit,
            pass_read_limit=_PASS_LIMIT * limit,
        )

    def has_next(self) -> bool:
        """Return whether there are more texts."""
        return bool(self._reader.has_next())

    def next(self) -> _Part:
        """Decode the next texts."""
        (column,) = self._reader.read_chunk().tbl.columns()
        with self.stream:
            made = StringColumn(column, waits=False)
            return _Part(made.text, made.null_mask)


def _read_through(column: _Column, file: ColumnFile) -> _Part | None:
    """Decode a whole column; return its only part, or None if it has several."""
    first: _Part | None = column.next()
    assert first is not None
    rows, nbytes = len(first.text), first.nbytes(column.stream)
    while column.has_next():
        first = None  # its memory is needed
        part = column.next()
        rows, nbytes = rows + len(part.text), nbytes + part.nbytes(column.stream)
        del part
    if rows != file.rows or nbytes != (nbytes if file.text_bytes is None else file.text_bytes):
        raise CannotDecode(
            f"{rows:,} texts with {nbytes:,} bytes were decoded, of {file.rows:,} with "
            f"{'an unknown number of' if file.text_bytes is None else f'{file.text_bytes:,}'} bytes"
        )
    return first


def _require_codec(library: Any, file: ColumnFile) -> None:
    """Raise `CannotDecode` if libcudf cannot decompress a column here."""
    if file.codec is None:
        return
    codec = getattr(library.types.CompressionType, file.codec.upper())
    if not library.parquet.is_supported_read_parquet(codec):
        raise CannotDecode(f"{file.codec} cannot be decompressed on the device")


def _checked(part: _Part, stream: Any) -> DecodedText:
    """Return texts that may be used, and what is wrong with the others."""
    with stream:
        offsets = part.text.offsets.astype(np.int64, copy=False)
        found = _states(part.text.data, offsets, part.mask)
        on_host = [to_host(one, stream) for one in (part.text.offsets, found)]
        wait(stream)
    # Copies, as those arrays are in pinned memory.
    text = DeviceText(part.text.data, np.array(on_host[0], np.int64))
    states = np.array(on_host[1])
    lengths = np.diff(text.offsets)
    if lengths[states == 0].max(initial=0) >= long_texts.LONG and long_texts.host_kernels():
        raise CannotDecode(f"a text of {long_texts.LONG:,} bytes or more, which the host computes")
    bad = states == _NOT_UTF8
    invalid = dict(zip(np.flatnonzero(bad).tolist(), text.chosen(bad).to_bytes(), strict=True))
    return DecodedText(text.emptied(states != 0), states == _NULL, invalid)


def _states(data: Any, offsets: Any, mask: NullMask | None) -> Any:
    """Return which texts can be used: CuPy array, uint8 [n]; see decoded_texts.cu."""
    texts = len(offsets) - 1
    states = load_cupy().zeros(texts, np.uint8)
    bits, first = (data, 0) if mask is None else mask
    masked = np.int32(mask is not None)
    arguments = (data, offsets, bits, masked, np.int64(first), np.int64(texts), states)
    launch("check_texts", texts, arguments)
    return states


@contextmanager
def _left_to_the_host() -> Iterator[None]:
    """Raise `CannotDecode` for every error, unless the device is lost."""
    try:
        with device_errors():
            yield
    except (CannotDecode, DeviceLost):
        raise
    except Exception as error:  # libcudf has one for everything that it does not read
        if not responds():
            raise DeviceLost(f"{device_name()} failed: {error}") from error
        raise CannotDecode(f"{type(error).__name__}: {error}") from error
