"""The front of a corpus, read before its rows are counted: to look at it, or try a graph on it.

Only the beginning of the first files is read. Reading whole files is in `reading`, estimating a
corpus from the beginnings of its files in `survey`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import pyarrow as pa

from ..formats.recognition.transcoding import detected
from ..formats.registry import reader_of
from ..rows import ARROW_KINDS, ColumnSelection, RowSpan, SourceFile, Stretch
from ..text import PackedText
from .opening import FileOpener
from .reading import read_stretch

FILES = 16
"""Most files that are opened."""

ROWS_READ = 16
"""Rows that are read for each text that is returned: texts that repeat an earlier one are left out,
as those at the beginning of a corpus may all be empty."""

FRONT_BYTES = 1 << 20
"""Bytes at the front of a file that are read, and most bytes of all the texts."""


@dataclass(frozen=True)
class FirstTexts:
    """Texts at the beginning of a corpus, where each of them is, and their columns."""

    text: PackedText
    places: tuple[tuple[str, int], ...]  # file and row
    columns: Mapping[str, pa.Array]  # by name, one value per text


def first_texts(
    files: Sequence[SourceFile],
    storage_options: Mapping[str, Any],
    selection: ColumnSelection,
    rows: int,
) -> FirstTexts | None:
    """Return at most `rows` different texts, cleaned; None if none can be read this way.

    No error is raised: a run reports what is wrong with its corpus when it counts the rows.
    """
    texts: list[str] = []
    places: list[tuple[str, int]] = []
    values: list[tuple[Any, ...]] = []
    left = FRONT_BYTES
    opener = FrontOpener(storage_options)
    for file in files[:FILES]:
        with suppress(Exception):
            for row, text, others in _texts(file, opener, selection, ROWS_READ * rows):
                size = len(text.encode())
                if len(texts) < rows and size <= left and text not in texts:
                    texts.append(text)
                    places.append((file.url, row))
                    values.append(others)
                    left -= size
        if len(texts) == rows:
            break
    if not texts:
        return None
    columns = {
        column.name: pa.array([one[at] for one in values], ARROW_KINDS[column.kind])
        for at, column in enumerate(selection.others)
    }
    return FirstTexts(PackedText.from_strings(texts), tuple(places), columns)


def _texts(
    file: SourceFile, opener: FileOpener, selection: ColumnSelection, rows: int
) -> Iterator[tuple[int, str, tuple[Any, ...]]]:
    if file.problem or (reader_of(file).single_row and file.size > FRONT_BYTES):
        return
    known, _ = detected(file, opener)
    stretch = Stretch(0, known, RowSpan(0, rows, 0, 0))
    for batch in read_stretch(stretch, opener, selection):
        others = [batch.columns[column.name] for column in selection.others]
        for at, text in enumerate(batch.text.slice(0, rows).to_pylist()):
            if text is not None:
                yield batch.start + at, text, tuple(column[at].as_py() for column in others)


class FrontOpener(FileOpener):
    """Opens the whole lines at the front of a file as if they were the file."""

    @contextmanager
    def __call__(self, file: SourceFile) -> Iterator[BinaryIO]:
        """Open the front of a file; all of one that is not read from front to end."""
        with super().__call__(file) as stream:
            if reader_of(file).random_access:
                yield stream
                return
            front = stream.read(FRONT_BYTES)
            ends = len(front) < FRONT_BYTES or reader_of(file).single_row
            yield cast("Any", io.BytesIO(front if ends else front[: front.rfind(b"\n") + 1]))
