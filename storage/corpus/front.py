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

from ..formats.recognition.transcoding import detected
from ..formats.registry import FORMATS
from ..rows import ColumnSelection, RowSpan, SourceFile, Stretch
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
    """Texts at the beginning of a corpus, and where each of them is."""

    text: PackedText
    places: tuple[tuple[str, int], ...]  # file and row

    def after(self, rows: int) -> FirstTexts | None:
        """Return what follows the first `rows` texts; None if nothing does."""
        rest = FirstTexts(self.text[rows:], self.places[rows:])
        return rest if rest.places else None

    def where(self, start: int, stop: int) -> str:
        """Describe the location of texts ``[start, stop)``, for messages."""
        (file, first), (last_file, last) = self.places[start], self.places[stop - 1]
        if file != last_file:
            return f"{file}, row {first}, to {last_file}, row {last}"
        return f"{file}, row {first}" if first == last else f"{file}, rows {first}-{last}"


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
    left = FRONT_BYTES
    opener = FrontOpener(storage_options)
    for file in files[:FILES]:
        with suppress(Exception):
            for row, text in _texts(file, opener, selection, ROWS_READ * rows):
                size = len(text.encode())
                if len(texts) < rows and size <= left and text not in texts:
                    texts.append(text)
                    places.append((file.url, row))
                    left -= size
        if len(texts) == rows:
            break
    return FirstTexts(PackedText.from_strings(texts), tuple(places)) if texts else None


def _texts(
    file: SourceFile, opener: FileOpener, selection: ColumnSelection, rows: int
) -> Iterator[tuple[int, str]]:
    if file.problem or (FORMATS[file.format].single_row and file.size > FRONT_BYTES):
        return
    known, _ = detected(file, opener)
    stretch = Stretch(0, known, RowSpan(0, rows, 0, 0))
    for batch in read_stretch(stretch, opener, selection):
        for row, text in enumerate(batch.text.slice(0, rows).to_pylist(), batch.start):
            if text is not None:
                yield row, text


class FrontOpener(FileOpener):
    """Opens the whole lines at the front of a file as if they were the file."""

    @contextmanager
    def __call__(self, file: SourceFile) -> Iterator[BinaryIO]:
        """Open the front of a file; all of one that is not read from front to end."""
        with super().__call__(file) as stream:
            if FORMATS[file.format].random_access:
                yield stream
                return
            front = stream.read(FRONT_BYTES)
            ends = len(front) < FRONT_BYTES or FORMATS[file.format].single_row
            yield cast("Any", io.BytesIO(front if ends else front[: front.rfind(b"\n") + 1]))
