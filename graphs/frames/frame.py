"""`frame`: a corpus as a lazy dask frame, in the memory of a backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ...storage.corpus.corpus import Corpus
from ...storage.errors import BackendUnavailable, UsageError
from ...storage.messages.tracebacks import short_traceback

if TYPE_CHECKING:
    import dask.dataframe as dd
    import pyarrow as pa

_DASK_NAMES = {"pandas": "cpu", "cudf": "cuda"}


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
