"""`survey`: the index of a corpus, estimated if the corpus is too large to be counted quickly.

An estimate is made from the first bytes of some files, assuming that the others are similar. It is
a `CorpusIndex` like any other, except that its rows do not correspond to particular rows of the
corpus: `Survey.readable` returns what to read in their place. Exact counting is in `index`.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from io import BytesIO
from itertools import accumulate, pairwise
from typing import Any, BinaryIO, cast

from ..errors import CorpusEmpty
from ..filesystems.filesystem import LOCAL, filesystem_of, protocols_of
from ..formats.registry import FORMATS
from ..rows import Lengths, RowSpan, SourceFile, Stretch, Unit
from .corpus import Corpus
from .index import CorpusIndex, FileIndex, build_index
from .opening import FileOpener
from .partition import MIN_SHARD_ROWS

COUNTED_BYTES = 4 << 30
"""Bytes of lines that can be counted exactly within seconds. A larger corpus is estimated."""

_COMPRESSED_COST = _REMOTE_COST = 10.0
"""Time to count a byte of a compressed or a remote file, relative to a byte of local lines."""

FRONT_BYTES = 2 << 20
"""Bytes at the front of a file that an estimate is made from."""

LONGEST_FRONT = 1 << 28
"""Bytes of the longest front, which is held in memory. A first line that is longer is not read."""

FILES = 16
"""Number of files whose fronts are read."""

_PIECE = 1 << 18
_MARGIN = 1.5  # factor on the expected bytes of rows, so that enough follow before the file ends


@dataclass(frozen=True)
class Survey:
    """A corpus's index, exact or estimated."""

    index: CorpusIndex
    counted: bool  # whether it is exact
    seconds: float = 0.0  # to count the whole corpus
    opener: FrontOpener | None = None
    fronts: dict[str, FileIndex] = field(default_factory=dict, compare=False)  # by URL

    def readable(self, stretches: Sequence[Stretch]) -> tuple[Stretch, ...]:
        """Replace estimated stretches with real ones that have the same number of rows."""
        if self.counted:
            return tuple(stretches)
        return tuple(real for stretch in stretches for real in self._readable(stretch))

    def _readable(self, stretch: Stretch) -> Iterator[Stretch]:
        file, span = stretch.file, stretch.span
        if stretch.problem:
            yield stretch
        elif FORMATS[file.format].line_oriented and not file.sequential:
            mean = file.size / next(f.rows for f in self.index.files if f.file.url == file.url)
            needed = int((span.stop - span.start) * mean * _MARGIN)
            at = int(min(span.start * mean, max(0, file.size - needed)))
            assert self.opener is not None
            offset = self.opener.line_start(file, at)
            yield replace(stretch, span=RowSpan(span.start, span.stop, span.start, offset))
        else:
            yield from self._repeated(stretch)

    def _repeated(self, stretch: Stretch) -> Iterator[Stretch]:
        """Yield rows of the counted front of a file, repeatedly if there are too few."""
        front = self._front(stretch.file)
        starts = list(accumulate((unit.rows for unit in front.units), initial=0))
        row, left = stretch.row, stretch.span.stop - stretch.span.start
        first = stretch.span.start % front.rows
        while left:
            count = min(left, front.rows - first)
            unit = min(bisect_right(starts, first), len(front.units)) - 1
            span = RowSpan(first, first + count, starts[unit], front.units[unit].offset)
            yield replace(stretch, row=row, file=front.file, span=span)
            row, left, first = row + count, left - count, 0

    def _front(self, file: SourceFile) -> FileIndex:
        if file.url not in self.fronts:
            assert self.opener is not None
            selection = self.index.selection
            found = build_index([file], self.opener, selection.text, None, ())
            self.fronts[file.url] = found.files[0]
        return self.fronts[file.url]


def survey(corpus: Corpus) -> Survey:
    """Count a corpus if that takes only seconds, otherwise estimate its index.

    Raises
    ------
    ColumnNotFound, CorpusEmpty
        As for `Corpus.index`, from the files that are read.
    """
    corpus.require_files()
    began = time.perf_counter()
    if sum(map(_cost, corpus.files)) * _distance_cost(corpus) <= COUNTED_BYTES:
        index = replace(corpus).index  # counted again, to measure how long it takes
        return Survey(index, counted=True, seconds=time.perf_counter() - began)
    usable = [file for file in corpus.files if not file.problem and file.size] or corpus.files
    chosen = list(dict.fromkeys(usable[n * len(usable) // FILES] for n in range(FILES)))
    opener = FrontOpener(corpus.storage_options)
    try:
        found = build_index(chosen, opener, corpus.text, corpus.id, corpus.keep)
    except CorpusEmpty as error:
        if not opener.unending:
            raise
        raise CorpusEmpty(
            f"{', '.join(opener.unending)}: no line ends in the first {LONGEST_FRONT >> 20} MiB, "
            "so no text can be sampled without reading all of it; does it have one text per line?"
        ) from error
    warm = time.perf_counter()
    build_index(chosen, opener, corpus.text, corpus.id, corpus.keep)
    read = sum(_cost(replace(file, size=int(opener.front_bytes(file)))) for file in chosen)
    seconds = (time.perf_counter() - warm) * sum(map(_cost, corpus.files)) / max(1.0, read)
    fronts = {f.file.url: f for f in found.files if f.rows}
    estimated = tuple(_estimated(file, found, opener) for file in corpus.files)
    index = replace(found, files=estimated, cleaning=corpus.cleaning)
    return Survey(index, counted=False, seconds=seconds, opener=opener, fronts=fronts)


def _cost(file: SourceFile) -> float:
    """Return the cost of counting a file, in bytes of local lines."""
    packed = _COMPRESSED_COST if file.compression else 1.0
    return FORMATS[file.format].counting_bytes(file.size) * packed


def _distance_cost(corpus: Corpus) -> float:
    fs, _ = filesystem_of(corpus.files[0].location, corpus.storage_options)
    return 1.0 if protocols_of(fs) & LOCAL else _REMOTE_COST


def _estimated(file: SourceFile, found: CorpusIndex, opener: FrontOpener) -> FileIndex:
    """Return the estimated index of a file, from its own front or those of similar files."""
    own = next((f for f in found.files if f.file.url == file.url), None)
    file = own.file if own else file  # with the dialect that was found out
    if own and own.problem and not own.units:
        return own
    if FORMATS[file.format].single_row:
        return FileIndex(file, (Unit(1, 0),), file.problem, Lengths(file.size, file.size, 0))
    with_rows = [f for f in found.files if f.rows]
    similar = [f for f in with_rows if _kind(f.file) == _kind(file)]
    read = [own] if own and own.rows else similar or with_rows
    share = file.size / sum(opener.front_bytes(f.file) for f in read)
    rows = max(1, round(share * sum(f.rows for f in read)))
    known = [f.lengths for f in read if f.lengths]
    nbytes = round(share * sum(lengths.nbytes for lengths in known))
    longest = max((lengths.longest for lengths in known), default=0)
    units = _even_units(file, rows, share * sum(len(f.units) for f in read))
    return FileIndex(file, units, own.problem if own else None, Lengths(nbytes, longest, 0))


def _kind(file: SourceFile) -> tuple[str, str | None]:
    return file.format, file.compression


def _even_units(file: SourceFile, rows: int, alike: float) -> tuple[Unit, ...]:
    """Return units that a file may have, without their true offsets.

    `alike` is the number of units that the file has if it has as many per byte as similar files.
    """
    count = 1.0 if file.sequential else alike
    if not FORMATS[file.format].random_access:
        count = min(count, rows / MIN_SHARD_ROWS)  # more make no difference to a plan
    whole = max(1, round(count))
    bounds = [n * rows // whole for n in range(whole + 1)]
    return tuple(Unit(stop - start, n) for n, (start, stop) in enumerate(pairwise(bounds)))


class FrontOpener(FileOpener):
    """Opens the front of a large file as if it were the whole file.

    Files that cannot be cut, such as Parquet, are opened whole. A front is long enough to hold at
    least one complete line.

    Attributes
    ----------
    unending : list of str
        Names of files in which no line ends within the longest front.
    """

    def __init__(self, storage_options: Mapping[str, Any] | None = None) -> None:
        super().__init__(storage_options)
        self.unending: list[str] = []
        # Keyed by URL, because counting a file completes its dialect.
        self._read: dict[str, int] = {}  # bytes that were read
        self._lines: dict[str, float] = {}  # share of those bytes that are whole lines

    def __call__(self, file: SourceFile) -> AbstractContextManager[BinaryIO]:
        """Open a file, decompressed."""
        known = FORMATS[file.format]
        if known.random_access or known.single_row or file.size <= FRONT_BYTES:
            return super().__call__(file)
        most = min(file.size, LONGEST_FRONT)
        size = self._read.get(file.url, FRONT_BYTES)
        data = self._front(file, size)
        while not (end := len(data) if size == file.size else data.rfind(b"\n") + 1):
            if size == most:
                if data and file.url not in self._read:
                    self.unending.append(file.name)
                break
            size = min(2 * size, most)
            data = self._front(file, size)
        self._read[file.url], self._lines[file.url] = size, end / len(data) if end else 1.0
        return cast(AbstractContextManager[BinaryIO], nullcontext(BytesIO(data[:end])))

    def digest(self, file: SourceFile, kind: str | None = None) -> None:
        """Make no digest: only fronts are read, and estimates identify nothing."""

    def _front(self, file: SourceFile, size: int) -> bytes:
        """Return the decompressed content of the first `size` bytes of a file."""
        parts = []
        # A compressed file that is cut off raises an error, whose class depends on the compression.
        with suppress(Exception), super().__call__(replace(file, size=size)) as stream:
            while piece := stream.read(_PIECE):
                parts.append(piece)
        return b"".join(parts)

    def front_bytes(self, file: SourceFile) -> float:
        """Return the size of an opened file's front, in bytes as stored."""
        return self._read.get(file.url, file.size) * self._lines.get(file.url, 1.0)

    def line_start(self, file: SourceFile, at: int) -> int:
        """Return where the first line begins at or after byte `at`."""
        if not at:
            return 0
        with super().__call__(file) as stream:
            stream.seek(at - 1)
            return at - 1 + len(stream.readline())
