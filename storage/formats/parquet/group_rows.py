"""The rows of one row group of a Parquet file, with whatever of them is damaged."""

from __future__ import annotations

from collections.abc import Iterator

from ...rows import ColumnSelection, Malformed, Rows, RowSpan
from .decoder import Decoder
from .schema import SchemaColumn, columns_of
from .values import rows_of


def rows_of_group(
    decoder: Decoder, group: int, first: int, span: RowSpan, selection: ColumnSelection
) -> Iterator[Rows]:
    """Yield those rows of a row group that are in the span. The group begins with row `first`.

    If the text cannot be decoded, the rest of this row group is lost, wherever a partition begins
    or ends. If a column beside it cannot, the texts are read without it.
    """
    known = columns_of(decoder.footer.schema)
    text = known[selection.text]
    others = {c.name: known[c.name] for c in selection.others if c.name in known}
    row, stop = max(first, span.start), min(first + decoder.footer.groups[group].rows, span.stop)
    while row < stop:
        selected = {selection.text: text, **others}
        paths = {name: column.path for name, column in selected.items()}
        start = first
        try:
            for batch in decoder.batches(group, list(selected.values())):
                low, high = max(row, start), min(start + len(batch), stop)
                if low < high:
                    yield rows_of(batch.slice(low - start, high - low), low, selection, paths)
                    row = high
                start += len(batch)
                if row >= stop:
                    return
        except Malformed as error:
            damaged = {name for name, one in others.items() if not _readable(decoder, group, one)}
            if not damaged:
                yield Rows.lost(row, stop, str(error), selection)
                return
            others = {name: column for name, column in others.items() if name not in damaged}


def _readable(decoder: Decoder, group: int, column: SchemaColumn) -> bool:
    try:
        for _ in decoder.batches(group, [column]):
            pass
    except Malformed:
        return False
    return True
