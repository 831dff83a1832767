"""Parquet: row groups decoded batch by batch, with every text checked to be UTF-8.

What is believed of a file's footer is in `footer`, which columns it has in `schema`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow.compute as pc

from ...rows import (
    ColumnSelection,
    Lengths,
    Malformed,
    Opener,
    Outline,
    Rows,
    RowSpan,
    SourceFile,
    Unit,
)
from ..decoding import StoredFile
from ..format import Format
from .decoded_rows import read_decoded
from .decoder import Decoder
from .footer import Footer, footer_of
from .group_rows import rows_of_group
from .schema import TEXT, columns_of, holds_bytes, kinds_of
from .values import column_of, plain

_FOOTER_BYTES = 1 << 20
"""Bytes of lines that take about as long to count as a footer takes to read."""


def outline(file: SourceFile, opener: Opener) -> Outline:
    """Read the footer: row groups and schema. A row group's size bounds its longest text."""
    with opener(file) as raw:
        footer = footer_of(file, StoredFile(raw))
    kinds, known = kinds_of(footer), columns_of(footer.schema)
    texts = {name: known[name].leaves.start for name, kind in kinds.items() if kind == TEXT}
    rows = [group.rows for group in footer.groups]
    lengths = {name: _lengths(footer, leaf) for name, leaf in texts.items()} if any(rows) else {}
    units = tuple(Unit(n, number) for number, n in enumerate(rows) if n)
    return Outline(
        units=units,
        columns=kinds,
        lengths=lengths,
        doubled=footer.doubled,
        binary=frozenset(name for name, column in known.items() if holds_bytes(column.type)),
    )


def columns(file: SourceFile, opener: Opener) -> dict[str, str]:
    """Read the footer: every column and its kind."""
    with opener(file) as raw:
        return kinds_of(footer_of(file, StoredFile(raw)))


def _lengths(footer: Footer, leaf: int) -> Lengths:
    chunks = [group.chunks[leaf] for group in footer.groups]
    sizes = [chunk.stored for chunk in chunks]
    at = sizes.index(max(sizes))
    nbytes = sum(max(chunk.stored, chunk.decoded or 0) for chunk in chunks)
    return Lengths(nbytes, sizes[at], footer.starts[at], footer.groups[at].rows)


def exact_lengths(file: SourceFile, opener: Opener, text: str, bound: Lengths) -> Lengths:
    """Return the exact lengths of the texts in the row group of `bound`, read batch by batch."""
    longest = 0
    longest_row = row = bound.row
    with opener(file) as raw:
        decoder = Decoder(file, StoredFile(raw))
        column = columns_of(decoder.footer.schema)[text]
        bounds = zip(decoder.footer.starts, decoder.footer.groups, strict=False)
        group = [(start, group.rows) for start, group in bounds].index((bound.row, bound.rows))
        for batch in decoder.batches(group, [column], most=1024):
            lengths = pc.binary_length(plain(column_of(batch, column.path)))
            largest = pc.max(lengths).as_py() or 0
            if largest > longest:
                longest, longest_row = largest, row + pc.index(lengths, largest).as_py()
            row += len(batch)
    return Lengths(bound.nbytes, longest, longest_row)


def read(
    file: SourceFile, opener: Opener, span: RowSpan, selection: ColumnSelection
) -> Iterator[Rows]:
    """Read a span, decoding from the row group that holds its first row."""
    with opener(file) as raw:
        decoder = Decoder(file, StoredFile(raw))
        if selection.text not in columns_of(decoder.footer.schema):
            raise Malformed(f"no column {selection.text!r}")
        row = span.unit_row
        for group in range(span.unit_offset, len(decoder.footer.groups)):
            if row >= span.stop:
                return
            yield from rows_of_group(decoder, group, row, span, selection)
            row += decoder.footer.groups[group].rows


FORMAT = Format(
    outline=outline,
    columns=columns,
    read=read,
    endings=(".parquet", ".pq"),
    options=(),
    text_copies=6,
    calibrated_as="parquet",
    counted_bytes=_FOOTER_BYTES,
    random_access=True,
    exact_lengths=exact_lengths,
    read_decoded=read_decoded,
)
