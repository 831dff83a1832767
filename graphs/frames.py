"""Frames: a corpus as a lazy dask frame (`frame`), and cuDF text as kernel input (`packed`).

Covers the conversion of a corpus or a frame to a backend's arrays. Files are read in `storage`, and
`kernels` compute with the arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..storage.corpus.corpus import Corpus
from ..storage.errors import BackendUnavailable, UsageError
from ..storage.messages.tracebacks import short_traceback
from ..storage.text import PackedText

if TYPE_CHECKING:
    import dask.dataframe as dd
    import pyarrow as pa

_DASK_NAMES = {"pandas": "cpu", "cudf": "cuda"}

_LEGACY_DEFAULT_STREAM = 1  # its number in the CUDA array interface


@short_traceback
def frame(corpus: Corpus, backend: str | None = None) -> dd.DataFrame:
    r"""Return a corpus as a lazy dask frame in a backend's memory.

    Partitions, columns and index are the same on every backend. The index is the row of the corpus,
    and quarantined rows have a null text. Making the frame counts the rows but reads no text.

    Parameters
    ----------
    corpus : Corpus
        From `open_corpus`.
    backend : str, optional
        ``cpu``: pandas with Arrow-backed text, which is `Corpus.frame`. ``cuda``: dask-cuDF; text
        is copied from the readers to the device as Arrow buffers. Defaults to dask's setting
        ``dataframe.backend`` (pandas or cudf).

    Raises
    ------
    BackendUnavailable
        The name is unknown, or this process lacks RAPIDS or a GPU, which a dask-cuDF frame needs
        for its metadata. To submit a run, the client needs neither: its workers make the frames.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from paninifs import open_corpus
    >>> file = Path(mkdtemp(), "a.txt")
    >>> _ = file.write_text("un\ndeux\n")
    >>> texts = frame(open_corpus(file), "cpu").text
    >>> texts[texts.str.len() > 2].compute().to_dict()
    {1: 'deux'}
    """
    if not isinstance(corpus, Corpus):
        raise UsageError("frame needs a corpus from open_corpus(...)")
    name = _backend_of_dask() if backend is None else backend
    if name not in _FRAMES:
        choices = ", ".join(_FRAMES)
        raise BackendUnavailable(f"no frames for backend {name!r}; choose one of: {choices}")
    return _FRAMES[name](corpus)


@contextmanager
def packed(series: Any) -> Iterator[PackedText]:
    """View a cuDF string column as a `PackedText` of CuPy arrays, without a copy.

    A spilled column is copied back to the device, and cuDF cannot spill it inside the ``with``
    block, so limit the block to a micro-batch. Afterwards the column can be spilled as before; a
    view that is held longer stays readable and keeps its memory on the device. The arrays are
    read-only by convention, because CuPy cannot enforce it: writing to them changes the frame.

    Taking the view waits for cuDF's queued work. Kernels that read it on another stream must have
    finished before the ``with`` block ends.

    Parameters
    ----------
    series : cudf.Series
        A series or slice of strings. The bytes of a null text are undefined; see `valid`.

    Yields
    ------
    PackedText
        Its `data` uint8 [bytes] and `offsets` int32 or int64 [n + 1] are on the column's device.

    Raises
    ------
    TypeError
        `series` is not a cuDF series of strings.

    Examples
    --------
    >>> def weights(part, kernels, dhatus):
    ...     with packed(part.text) as text:
    ...         return kernels.dhatu(text, dhatus=dhatus)
    """
    import cudf
    from pylibcudf import TypeId

    if not isinstance(series, cudf.Series):
        raise TypeError(f"text must be a cuDF series of strings, not {type(series).__name__}")
    # Not Series.to_pylibcudf, which returns a spilled column without its buffers.
    column = series._column
    if column.plc_column.type().id() != TypeId.STRING:
        raise TypeError(f"text must be a cuDF series of strings, not of {series.dtype}")
    with column.access(mode="read", scope="internal"):
        yield _view(column.plc_column)


def valid(series: Any) -> Any:
    """Return which rows of a cuDF column are not null: a new CuPy array, bool [n]."""
    return series.notna().values


def _pandas_frame(corpus: Corpus) -> dd.DataFrame:
    return corpus.frame


def _cudf_frame(corpus: Corpus) -> dd.DataFrame:
    try:
        cupy, _, _ = map(import_module, ("cupy", "cudf", "dask_cudf"))
    except ImportError as error:
        raise BackendUnavailable(
            f"no 'cuda' frames here: they need an NVIDIA GPU and RAPIDS ({error}); `paninifs "
            "devices` reports whether there is a GPU and what to install; or choose backend='cpu'"
        ) from error
    runtime = cupy.cuda.runtime
    try:
        runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        raise BackendUnavailable(
            f"no 'cuda' frames here: they need a GPU in this process ({error}); "
            "choose backend='cpu', or submit the corpus itself to workers that have one"
        ) from error
    return corpus.frame_of(_to_cudf)


_FRAMES: Mapping[str, Callable[[Corpus], dd.DataFrame]] = {
    "cpu": _pandas_frame,
    "cuda": _cudf_frame,
}


def _backend_of_dask() -> str:
    import dask

    setting = dask.config.get("dataframe.backend", "pandas")
    if setting not in _DASK_NAMES:
        raise BackendUnavailable(
            f"dask's dataframe.backend is {setting!r}, but frames are available for "
            f"{' and '.join(_DASK_NAMES)}; choose one with backend='cpu'"
        )
    return _DASK_NAMES[setting]


def _to_cudf(table: pa.Table, start: int) -> Any:
    import cudf

    partition = cudf.DataFrame.from_arrow(table)
    partition.index = cudf.RangeIndex(start, start + len(table))
    return partition


def _view(column: Any) -> PackedText:
    """View a pylibcudf string column whose cuDF buffers cannot be spilled at the moment."""
    import cupy

    rows, children = column.size(), column.children()
    if not rows or not children:  # without rows libcudf makes neither offsets nor characters
        return PackedText(cupy.empty(0, np.uint8), cupy.zeros(rows + 1, np.int32))
    (ends,) = children
    # A slice shares its parent's buffers: the offset counts rows, i.e. entries of the child.
    first, width = ends.offset() + column.offset(), np.dtype(ends.type().typestr)
    offsets = _array(ends.data(), first, rows + 1, width)
    characters = column.data()
    if characters is None:  # all texts are null or empty
        return PackedText(cupy.empty(0, np.uint8), offsets)
    return PackedText(_array(characters, 0, characters.size, np.dtype(np.uint8)), offsets)


def _array(buffer: Any, start: int, length: int, dtype: np.dtype[Any]) -> Any:
    """View items ``[start, start + length)`` of a cuDF buffer as a CuPy array.

    The buffer's own array interface is not used, because it requests write access: cuDF would copy
    a shared buffer and never spill it again.
    """
    import cupy

    interface = {
        "data": (buffer.ptr + start * dtype.itemsize, False),
        "shape": (length,),
        "strides": None,
        "typestr": dtype.str,
        "stream": _LEGACY_DEFAULT_STREAM,
        "version": 3,
    }
    # `memory` owns the memory of cuDF's buffer, so that the array outlives a spill.
    memory = buffer.owner.owner
    return cupy.asarray(SimpleNamespace(__cuda_array_interface__=interface, memory=memory))
