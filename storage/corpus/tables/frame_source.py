"""`FrameSource`: a dask frame, whose partitions become the files of a corpus.

A frame has no row numbers before its partitions are counted; how a run counts and reads them is in
`engine.run.frames`. One that may give another result when it is computed again is computed once,
next to the results; how is in `engine.staged`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ...errors import ColumnNotFound
from ...messages.names import did_you_mean, listed, quoted
from ...rows import SourceFile
from .parts_together import brought_together

if TYPE_CHECKING:
    import pandas as pd

TEXT_ATTRIBUTE = "paninifs.text"
"""Attribute of a frame that names its column of texts."""


@dataclass(frozen=True)
class FrameSource:
    """A dask frame with the columns that a run reads; its partitions are pandas or cuDF frames."""

    frame: Any

    name = "frame"
    notes = ()

    def __repr__(self) -> str:
        return f"a dask frame of {self.partitions:,} partition{'s' * (self.partitions != 1)}"

    @property
    def partitions(self) -> int:
        """Number of partitions, each of which is staged at once."""
        return int(self.frame.npartitions)

    @cached_property
    def token(self) -> str | None:
        """What identifies the frame in every process; None if dask cannot tell."""
        import dask
        from dask.base import tokenize
        from dask.tokenize import TokenizationError

        try:
            with dask.config.set({"tokenize.ensure-deterministic": True}):
                return str(tokenize(self.frame))
        except TokenizationError:
            return None

    @cached_property
    def parts(self) -> Sequence[Any]:
        """The partitions as delayed objects; their number may be smaller than `partitions`.

        dask may read several as one.
        """
        return list(self.frame.to_delayed())

    def brought(self, files: Iterable[SourceFile]) -> tuple[SourceFile, ...]:
        """Return partitions that dask computes when they are read, as files."""
        return brought_together(files, self.parts)

    def head(self, n: int) -> pd.DataFrame:
        """Return the first rows as a pandas frame; as many partitions as needed are computed."""
        found = self.frame.head(n, npartitions=-1, compute=True)
        first: pd.DataFrame = found.to_pandas() if hasattr(found, "to_pandas") else found
        return first


def is_dask_frame(value: Any) -> bool:
    """Return whether a value is a DataFrame or Series of dask, without importing it."""
    known = {("dask", "DataFrame"), ("dask", "Series")}
    return any((t.__module__.partition(".")[0], t.__name__) in known for t in type(value).__mro__)


def text_column_of(frame: Any, text: str) -> str:
    """Return the column that holds the text: that of the corpus which a frame was made from.

    Parameters
    ----------
    text : str
        The column, unless pandas handed on the name of another.
    """
    known = getattr(frame._meta, "attrs", {}).get(TEXT_ATTRIBUTE)
    return str(known) if known in frame.columns else text


def frame_source(frame: Any, text: str, id: str | None, keep: Sequence[str]) -> FrameSource:
    """Return a dask frame with the columns that a run reads; a Series is one of texts.

    Raises
    ------
    ColumnNotFound
        The frame has no such column.
    """
    if frame.ndim == 1:
        frame = frame.to_frame(name=text)
    names = list(frame.columns)
    columns = dict.fromkeys([text, *([id] if id else ["id"] if "id" in names else []), *keep])
    missing = [name for name in columns if name not in names]
    if missing:
        known = [str(name) for name in names]  # pandas has columns that are numbers
        which = "; text= names the one that holds the text" if missing[0] == text else ""
        raise ColumnNotFound(
            f"no column {quoted(missing[0])}; the frame has: {listed(known)}"
            f"{did_you_mean(missing[0], known)}{which}"
        )
    return FrameSource(frame[list(columns)])
