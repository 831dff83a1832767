"""`Format`: everything that the engine asks of a corpus format.

Each format's file ends with one, and `registry.FORMATS` names them. What a file of the corpus is
(`SourceFile`) and what is read from it (`Rows`) are in `rows`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..rows import ColumnSelection, Lengths, Opener, Outline, Rows, RowSpan, SourceFile


@dataclass(frozen=True, kw_only=True)
class Format:
    """A corpus format: how its files are counted and read, and what else depends on the format.

    Parameters
    ----------
    outline : callable
        Counts a file's records.
    columns : callable
        Finds the columns and their kinds, reading no more of the file than that takes.
    read : callable
        Yields the rows of a span.
    endings : tuple of str
        Endings of the files that are read in this format when no format is named.
    further_endings : tuple of str
        Endings that a folder's files may have as well, when this format is named.
    text_copies : int
        How many times a record's bytes are in memory at the same time: as stored, as parsed, as
        Arrow's, and so on. Measured with single texts of 200 MB (tests/engine/test_memory.py
        repeats it with smaller ones).
    calibrated_as : str
        The format whose measured speed predicts this one: its own name, or that of a format that
        takes about as long. The names used here are those that `engine.calibrate` measures.
    counting_cost : float
        Time to count a byte, relative to a byte of lines.
    counted_bytes : int, optional
        Bytes that counting reads at most; None: all of the file.
    has_schema : bool
        Whether a file says once which columns all of its records have.
    line_oriented : bool
        Whether a record is a line, so that reading can begin at any line.
    random_access : bool
        Whether reading jumps about in the file. Such a file is opened without a buffer, cannot be
        read inside a compression, and is never taken for its first bytes.
    single_row : bool
        Whether a file is one row, which is not opened to be counted.
    exact_lengths : callable, optional
        Finds out how long the texts are for which `outline` only gives a bound.
    """

    outline: Callable[[SourceFile, Opener], Outline]
    columns: Callable[[SourceFile, Opener], dict[str, str]]
    read: Callable[[SourceFile, Opener, RowSpan, ColumnSelection], Iterator[Rows]]
    endings: tuple[str, ...]
    further_endings: tuple[str, ...] = ()
    text_copies: int
    calibrated_as: str
    counting_cost: float = 1.0
    counted_bytes: int | None = None
    has_schema: bool = True
    line_oriented: bool = False
    random_access: bool = False
    single_row: bool = False
    exact_lengths: Callable[[SourceFile, Opener, str, Lengths], Lengths] | None = None

    @property
    def front_only(self) -> bool:
        """Whether records that were not counted are found only from the front of a file."""
        return not (self.line_oriented or self.random_access or self.single_row)

    def counting_bytes(self, size: int) -> float:
        """Return what counting a file of `size` bytes costs, in bytes of lines."""
        read = size if self.counted_bytes is None else min(size, self.counted_bytes)
        return read * self.counting_cost
