"""`Format`: everything that the engine needs to know about a corpus format.

The module of each format ends with its `Format`, and `registry.FORMATS` lists them. What a file of
the corpus is (`SourceFile`) and what is read from it (`Rows`) are in `rows`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from ..rows import (
    ColumnSelection,
    DecodedRows,
    Lengths,
    Opener,
    Outline,
    Rows,
    RowSpan,
    SourceFile,
    TextDecoder,
)

ReadDecoded = Callable[
    [SourceFile, Opener, RowSpan, ColumnSelection, TextDecoder], Iterator[Rows | DecodedRows]
]


@dataclass(frozen=True, kw_only=True)
class Format:
    """A corpus format: how its files are counted and read, and what else depends on the format.

    Parameters
    ----------
    outline : callable
        Counts a file's records.
    columns : callable
        Finds the columns and their kinds, reading as little of the file as possible.
    read : callable
        Yields the rows of a span.
    endings : tuple of str
        Endings of files that are read in this format when the user names no format.
    options : tuple of str
        Options of `Dialect` that change how its files are read.
    further_endings : tuple of str
        Further endings of files that are read from a folder when the user names this format.
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
        Maximum number of bytes that counting reads; None: the whole file.
    has_schema : bool
        Whether a file declares once which columns all of its records have.
    line_oriented : bool
        Whether a record is a line, so that reading can begin at any line.
    random_access : bool
        Whether reading seeks in the file. Such a file is opened without a buffer, cannot be read
        if it is compressed, and is never represented by its first bytes alone.
    single_row : bool
        Whether every file is one row, so that it need not be opened to be counted.
    exact_lengths : callable, optional
        Finds the exact lengths of texts for which `outline` returns only a bound.
    outline_seeking : callable, optional
        Counts a file's records like `outline`, and finds which of some columns any record has, not
        only the first ones. For formats without a schema.
    read_decoded : callable, optional
        Yields the same rows as `read`, with their texts decoded by a `TextDecoder` where it can.
    impostors : tuple of callable
        Functions of `recognition`, which tell from a file's first bytes that it is another thing.
    """

    outline: Callable[[SourceFile, Opener], Outline]
    columns: Callable[[SourceFile, Opener], dict[str, str]]
    read: Callable[[SourceFile, Opener, RowSpan, ColumnSelection], Iterator[Rows]]
    endings: tuple[str, ...]
    options: tuple[str, ...] = ("encoding",)
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
    outline_seeking: Callable[[SourceFile, Opener, Collection[str]], Outline] | None = None
    read_decoded: ReadDecoded | None = None
    impostors: tuple[Callable[[bytes], str | None], ...] = ()

    @property
    def front_only(self) -> bool:
        """Whether uncounted records can be found only by reading a file from its beginning."""
        return not (self.line_oriented or self.random_access or self.single_row)

    def counting_bytes(self, size: int) -> float:
        """Return what counting a file of `size` bytes costs, in bytes of lines."""
        read = size if self.counted_bytes is None else min(size, self.counted_bytes)
        return read * self.counting_cost
