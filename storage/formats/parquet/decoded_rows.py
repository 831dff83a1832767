"""Parquet with its texts decoded by a `TextDecoder`, row group by row group.

The host reads the columns beside the text, in the same batches as when it reads the text as well
(`Decoder.batches`), so that the same texts are sampled for normal forms. What the decoder leaves to
the host is read without it, and so is the rest of a row group from the batch on in which a column
beside the text is damaged. So both ways give the same rows, with the same faults.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from ...rows import (
    ARROW_KINDS,
    CannotDecode,
    ColumnSelection,
    DecodedRows,
    DecodedText,
    Malformed,
    Opener,
    Rows,
    RowSpan,
    SourceFile,
    TextDecoder,
)
from ..decoding import StoredFile
from ..row_builder import null_fault, utf8_fault
from .column_file import column_file
from .decoder import Decoder
from .group_rows import rows_of_group
from .schema import SchemaColumn, columns_of
from .values import columns_beside

SMALLEST_SHARE = 0.5
"""Share of a row group's rows below which the host reads them: it need not decode what follows."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Group:
    """Those rows of a row group that are read, by their numbers in the file."""

    number: int
    first: int  # row of the file with which the row group begins
    start: int
    stop: int


def read_decoded(
    file: SourceFile,
    opener: Opener,
    span: RowSpan,
    selection: ColumnSelection,
    decode: TextDecoder,
) -> Iterator[Rows | DecodedRows]:
    """Read a span like `parquet.read`, with the texts decoded by `decode` if it can."""
    with opener(file) as raw:
        stored = StoredFile(raw)
        decoder = Decoder(file, stored)
        groups = decoder.footer.groups
        if selection.text not in columns_of(decoder.footer.schema):
            raise Malformed(f"no column {selection.text!r}")
        first = span.unit_row
        for number in range(span.unit_offset, len(groups)):
            if first >= span.stop:
                return
            rows = groups[number].rows
            group = _Group(
                number=number,
                first=first,
                start=max(first, span.start),
                stop=min(first + rows, span.stop),
            )
            row = group.start
            if group.stop - group.start >= SMALLEST_SHARE * rows > 0:
                row = yield from _decoded(decoder, stored, group, selection, decode)
            if row < group.stop:
                rest = replace(span, start=row)
                yield from rows_of_group(decoder, number, first, rest, selection)
            first += rows


def _decoded(
    decoder: Decoder,
    stored: StoredFile,
    group: _Group,
    selection: ColumnSelection,
    decode: TextDecoder,
) -> Generator[DecodedRows, None, int]:
    """Yield the rows of a row group; return the first row that is left to the host."""
    known = columns_of(decoder.footer.schema)
    text = known[selection.text]
    others = {c.name: known[c.name] for c in selection.others if c.name in known}
    row = group.start
    try:
        if selection.text in others:
            raise CannotDecode("the text is also a column beside the text")
        column = column_file(decoder.footer, stored, group.number, text)
        with closing(_Texts(decode(column))) as texts:
            for start, stop, columns in _beside(decoder, group, text, others, selection):
                at = start
                while at < stop:
                    piece = texts.take(stop - at)
                    low = max(group.first + at, group.start)
                    high = min(group.first + at + len(piece), group.stop)
                    if low < high:
                        first = group.first + at
                        beside = {
                            name: values.slice(at - start, len(piece))
                            for name, values in columns.items()
                        }
                        whole = _rows(piece, first, beside)
                        yield whole.slice(low - first, high - first)
                        row = high
                    at += len(piece)
                    if row >= group.stop:
                        return row
    except CannotDecode as reason:
        _log.info("row group %d is decoded on the host: %s", group.number, reason)
    except Malformed:
        pass  # a column beside the text is damaged, and the host finds out which rows that costs
    return row


class _Texts:
    """The texts of a row group, taken piece by piece."""

    def __init__(self, parts: Iterator[DecodedText]) -> None:
        self._parts = parts
        self._part: DecodedText | None = None

    def take(self, most: int) -> DecodedText:
        """Return the next texts: at least one, and at most `most`."""
        while not self._part:
            self._part = next(self._parts, None)
            if self._part is None:
                raise CannotDecode("fewer texts than rows")
        piece, self._part = self._part[:most], self._part[most:]
        return piece

    def close(self) -> None:
        """Give back what the decoder holds."""
        self._part = None
        if isinstance(self._parts, Generator):
            self._parts.close()


def _beside(
    decoder: Decoder,
    group: _Group,
    text: SchemaColumn,
    others: Mapping[str, SchemaColumn],
    selection: ColumnSelection,
) -> Iterator[tuple[int, int, dict[str, pa.Array]]]:
    """Yield the columns beside the text, batch by batch, with the rows of the row group."""
    if not others:
        for start, stop in decoder.spans(group.number, text):
            count = stop - start
            nulls = {c.name: pa.nulls(count, ARROW_KINDS[c.kind]) for c in selection.others}
            yield start, stop, nulls
        return
    paths = {name: column.path for name, column in others.items()}
    start = 0
    for batch in decoder.batches(group.number, list(others.values()), beside=[text]):
        yield start, start + len(batch), columns_beside(batch, selection, paths)
        start += len(batch)


def _rows(texts: DecodedText, start: int, columns: Mapping[str, pa.Array]) -> DecodedRows:
    """Return texts and the columns beside them as rows, from row `start` of the file on."""
    usable = ~texts.null
    usable[list(texts.invalid)] = False
    faults = [null_fault(start + row) for row in np.flatnonzero(texts.null).tolist()]
    for row, value in texts.invalid.items():
        fault = utf8_fault(start + row, value)
        assert fault is not None  # see `DecodedText`
        faults.append(fault)
    faults.sort(key=lambda fault: fault.row)
    return DecodedRows(start, texts.text, usable, columns, tuple(faults))
