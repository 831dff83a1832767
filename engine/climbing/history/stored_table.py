"""`StoredTable`: reads a climb's table a piece at a time, so that it may be of any length."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ....storage.errors import ResultsDamaged
from ....storage.targets.target import Target
from .table import Column, Table

PIECE_ROWS = 1 << 16
"""Maximum number of rows that are in memory at once."""

_METADATA = "zarr.json"


class StoredTable:
    """A table as it was when this was made; it may grow meanwhile.

    Attributes
    ----------
    name : str
    rows : int
        0 if there is no such table.

    Raises
    ------
    ResultsDamaged
        The metadata of a column cannot be read.
    """

    def __init__(self, target: Target, name: str) -> None:
        self.name, self._target = name, target
        keys = [key.split("/") for key in target.sizes(name)]
        columns = sorted(parts[1] for parts in keys if len(parts) == 3 and parts[2] == _METADATA)
        described = [self._described(column) for column in columns]
        # Columns are written one after the other, and all of them before any has more rows.
        self.rows = min((rows for _, rows, _ in described), default=0)
        self._columns = {column.name: column for column, _, _ in described}
        self._table = Table(name, [column for column, _, _ in described]) if described else None
        if self._table is not None:
            self._table.chunk_rows = described[0][2]

    def _described(self, column: str) -> tuple[Column, int, int]:
        """Return a column, the number of its rows, and of those of a chunk."""
        key = f"{self.name}/{column}/{_METADATA}"
        try:
            known = json.loads(self._target.get(key) or b"")
            rows, *shape = known["shape"]
            chunk = known["chunk_grid"]["configuration"]["chunk_shape"][0]
            return Column(column, known["data_type"], tuple(shape)), int(rows), int(chunk)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise ResultsDamaged(f"{self._target.url}/{key} is damaged") from error

    def pieces(self, names: Sequence[str]) -> Iterator[tuple[int, dict[str, npt.NDArray[Any]]]]:
        """Yield the number of a first row, and the columns of the rows from there, in order.

        Raises
        ------
        ResultsDamaged
            A chunk is missing or damaged.
        """
        if self._table is None:
            return
        size = self._table.chunk_rows
        step = size * max(1, PIECE_ROWS // size)
        for start in range(0, self.rows, step):
            stop = min(start + step, self.rows)
            chunks = range(start // size, -(-stop // size))
            yield (
                start,
                {
                    name: np.concatenate([self._chunk(name, one) for one in chunks])[: stop - start]
                    for name in names
                },
            )

    def row(self, name: str, number: int) -> npt.NDArray[Any]:
        """Return a column's value in one row."""
        assert self._table is not None  # a table without rows has none to ask for
        size = self._table.chunk_rows
        found: npt.NDArray[Any] = self._chunk(name, number // size)[number % size]
        return found

    def _chunk(self, name: str, number: int) -> npt.NDArray[Any]:
        assert self._table is not None
        if name not in self._columns:
            raise ResultsDamaged(f"{self._target.url}/{self.name} has no column {name!r}")
        return self._table.chunk(self._target, self._columns[name], number)
