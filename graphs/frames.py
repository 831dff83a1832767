"""`frame`: a corpus as a lazy dask frame where its blocks compute; `packed`: cuDF text for kernels.

What is between a corpus or a frame and a backend's arrays belongs here. How files are read is
`storage`'s business, what is computed from the arrays the kernels'.
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
from ..storage.text import PackedText

if TYPE_CHECKING:
    import dask.dataframe as dd
    import pyarrow as pa

_DASK_NAMES = {"pandas": "cpu", "cudf": "cuda"}

_LEGACY_DEFAULT_STREAM = 1  # as the CUDA array interface numbers it


def frame(corpus: Corpus, backend: str | None = None) -> dd.DataFrame:
    r"""Return a corpus as a lazy dask frame that lies where a backend computes.

    Partitions, columns and index are the same on each: the index is the row of the corpus, and rows
    that were set aside have a null text. Counts the rows, reads no text.

    Parameters
    ----------
    corpus : Corpus
        From `open_corpus`.
    backend : str, optional
        ``cpu``: pandas with Arrow-backed text, which is `Corpus.frame`. ``cuda``: dask-cuDF; text
        goes from the readers to the device as Arrow buffers. When left out, as dask's setting
        ``dataframe.backend`` (pandas or cudf) says.

    Raises
    ------
    BackendUnavailable
        Nothing is known by that name; or RAPIDS or a GPU is missing in this process, which a
        dask-cuDF frame needs to describe itself. A run needs neither: its workers make the frames.

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
        raise BackendUnavailable(f"no frames on {name!r}; there are: {', '.join(_FRAMES)}")
    return _FRAMES[name](corpus)


@contextmanager
def packed(series: Any) -> Iterator[PackedText]:
    """View a cuDF string column as a `PackedText` of CuPy arrays, copying nothing.

    While the block lasts cuDF cannot spill the column (one that was spilled is brought back), so
    keep the block to a micro-batch. Afterwards the column may be spilled as before: a view that is
    kept longer stays readable, and keeps its memory on the device whatever cuDF spills. The arrays
    are for reading only, which CuPy cannot enforce: writing to them changes the frame.

    Taking the view waits for what cuDF has queued. Kernels that read it on a stream of their own
    must have ended when the block does.

    Parameters
    ----------
    series : cudf.Series
        Of strings; a slice too. A null text has a slot whose bytes mean nothing: see `valid`.

    Yields
    ------
    PackedText
        With `data` uint8 [bytes] and `offsets` int32 or int64 [n + 1] on the column's device.

    Raises
    ------
    TypeError
        It is not a cuDF series of strings.

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
    # Not Series.to_pylibcudf, which hands a spilled column over without its buffers.
    column = series._column
    if column.plc_column.type().id() != TypeId.STRING:
        raise TypeError(f"text must be a cuDF series of strings, not of {series.dtype}")
    with column.access(mode="read", scope="internal"):
        yield _view(column.plc_column)


def valid(series: Any) -> Any:
    """Return which rows of a cuDF column are not null: a CuPy bool array [n] of its own."""
    return series.notna().values


def _pandas_frame(corpus: Corpus) -> dd.DataFrame:
    return corpus.frame


def _cudf_frame(corpus: Corpus) -> dd.DataFrame:
    try:
        cupy, _, _ = map(import_module, ("cupy", "cudf", "dask_cudf"))
    except ImportError as error:
        raise BackendUnavailable(
            f"no frames on 'cuda' here: they need an NVIDIA GPU and RAPIDS ({error}); `paninifs "
            "devices` says whether there is a GPU, and what to install for it; or take "
            "backend='cpu'"
        ) from error
    runtime = cupy.cuda.runtime
    try:
        runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        raise BackendUnavailable(
            f"no frames on 'cuda' here: they need a GPU in this process ({error}); "
            "take backend='cpu', or submit the corpus itself to workers that have one"
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
            f"dask's dataframe.backend is {setting!r}, and frames are made for "
            f"{' and '.join(_DASK_NAMES)}; name one: backend='cpu'"
        )
    return _DASK_NAMES[setting]


def _to_cudf(table: pa.Table, start: int) -> Any:
    import cudf

    made = cudf.DataFrame.from_arrow(table)
    made.index = cudf.RangeIndex(start, start + len(table))
    return made


def _view(column: Any) -> PackedText:
    """View a pylibcudf string column, whose buffers are cuDF's and cannot be spilled now."""
    import cupy

    rows, children = column.size(), column.children()
    if not rows or not children:  # libcudf makes neither offsets nor characters for no rows
        return PackedText(cupy.empty(0, np.uint8), cupy.zeros(rows + 1, np.int32))
    (ends,) = children
    # A slice shares its parent's buffers: the offset counts rows, and so entries of the child.
    first, width = ends.offset() + column.offset(), np.dtype(ends.type().typestr)
    offsets = _array(ends.data(), first, rows + 1, width)
    characters = column.data()
    if characters is None:  # all texts are null or empty
        return PackedText(cupy.empty(0, np.uint8), offsets)
    return PackedText(_array(characters, 0, characters.size, np.dtype(np.uint8)), offsets)


def _array(buffer: Any, start: int, length: int, dtype: np.dtype[Any]) -> Any:
    """View items ``[start, start + length)`` of a cuDF buffer as a CuPy array.

    Not through the buffer's own array interface, which asks for write access: cuDF would copy a
    shared buffer, and never spill it again.
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
    # `memory` is what cuDF's buffer stands on: with it the array outlives a spill.
    memory = buffer.owner.owner
    return cupy.asarray(SimpleNamespace(__cuda_array_interface__=interface, memory=memory))
