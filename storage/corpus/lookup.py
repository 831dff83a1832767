"""Single texts out of a corpus, by their rows: what `show` prints."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from ..formats.registry import read_stretch
from ..rows import Span, Stretch
from .index import CorpusIndex
from .opening import FileOpener


def texts_at(index: CorpusIndex, opener: FileOpener, rows: Iterable[int]) -> dict[int, str | None]:
    """Return the texts of some rows; None where a row was quarantined.

    Rows that are decoded together are read together, so a compressed file is read once.
    """
    single = [index.stretches(row, row + 1)[0] for row in sorted(set(rows))]
    found: dict[int, str | None] = {}
    for _, group in groupby(single, key=lambda s: (s.file, s.span.unit_row)):
        members = list(group)
        first, last = members[0], members[-1]
        span = Span(first.span.start, last.span.stop, first.span.unit_row, first.span.unit_offset)
        whole = Stretch(first.row, first.file, span, first.problem)
        wanted = {member.row for member in members}
        row = whole.row
        for batch in read_stretch(whole, opener, index.wanted):
            for at in range(len(batch)):
                if row + at in wanted:
                    found[row + at] = batch.text[at].as_py()
            row += len(batch)
    return found
