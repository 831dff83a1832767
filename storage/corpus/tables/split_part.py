"""`SplitPart`: the pieces of consecutive rows, computed batch by batch on a worker.

A part may therefore be larger than memory: a compressed file is one part, whatever its size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from ...errors import RunFailed
from ...messages.names import storable
from ...rows import ARROW_KINDS, ColumnSelection, Rows, Stretch
from ..opening import FileOpener
from ..reading import read_stretches
from .splitters import Splitter

PARENT, START, STOP = "parent", "start", "stop"
"""The columns that pieces have beside their texts."""

_MOST_PIECES = 65_536  # of one table


class SplitPart:
    """The pieces of consecutive rows. Not a dataclass, whose fields dask would walk through.

    Attributes
    ----------
    batches : list, optional
        The rows, if they were read already; see `read_stretches`.
    """

    def __init__(
        self,
        splitter: Splitter,
        selection: ColumnSelection,
        id_column: str | None,
        opener: FileOpener,
        stretches: Sequence[Stretch],
    ) -> None:
        self._splitter, self._id = splitter, id_column
        self.selection, self.opener, self.stretches = selection, opener, stretches
        self.batches: list[tuple[Stretch, int, Rows]] | None = None

    @property
    def schema(self) -> pa.Schema:
        """The columns of the tables."""
        kinds = {column.name: ARROW_KINDS[column.kind] for column in self.selection.others}
        parent = kinds.pop(self._id) if self._id else pa.int64()
        own = {PARENT: parent, START: pa.int64(), STOP: pa.int64()}
        kept = {storable(name): kind for name, kind in kinds.items()}
        return pa.schema({storable(self.selection.text): pa.large_string(), **own, **kept})

    def tables(self, most: int = 0) -> Iterator[pa.Table]:
        """Yield tables of about `most` pieces, by default as many as are decoded together.

        A row that the corpus quarantines has one piece, without a text.

        Raises
        ------
        RunFailed
            The user's function failed; the message says for which row.
        """
        batches: Iterable[tuple[Stretch, int, Rows]] = (
            read_stretches(self.stretches, self.opener, self.selection)
            if self.batches is None
            else self.batches
        )
        enough = most or _MOST_PIECES
        for stretch, first, rows in batches:
            pieces = _Pieces()
            for at, value in enumerate(rows.text):
                text = value.as_py()
                if text is None:
                    pieces.add(at, None, None, None)
                else:
                    for start, stop in self._spans(text, stretch, rows.start + at):
                        pieces.add(at, text[start:stop], start, stop)
                if len(pieces.texts) >= enough:
                    yield self._table(pieces, first, rows)
                    pieces = _Pieces()
            if pieces.texts:
                yield self._table(pieces, first, rows)

    def _spans(self, text: str, stretch: Stretch, row: int) -> list[tuple[int, int]]:
        try:
            return list(self._splitter.spans(text))
        except RunFailed as error:
            where = f"{stretch.file.url}, row {row}"
            raise RunFailed(f"{where}: {error}") from error.__cause__

    def _table(self, pieces: _Pieces, first: int, rows: Rows) -> pa.Table:
        at = pa.array(pieces.rows, pa.int64())
        columns = {name: column.take(at) for name, column in rows.columns.items()}
        numbers = pa.array([first + row for row in pieces.rows], pa.int64())
        parent = columns.pop(self._id) if self._id else numbers
        own = [pieces.texts, parent, pieces.starts, pieces.stops]
        schema = self.schema
        arrays = [
            values.cast(kind) if isinstance(values, pa.Array) else pa.array(values, kind)
            for values, kind in zip([*own, *columns.values()], schema.types, strict=True)
        ]
        return pa.Table.from_arrays(arrays, schema=schema)


class _Pieces:
    """Pieces that are gathered into a table."""

    def __init__(self) -> None:
        self.texts: list[str | None] = []
        self.rows: list[int] = []
        self.starts: list[int | None] = []
        self.stops: list[int | None] = []

    def add(self, row: int, text: str | None, start: int | None, stop: int | None) -> None:
        self.texts.append(text)
        self.rows.append(row)
        self.starts.append(start)
        self.stops.append(stop)
