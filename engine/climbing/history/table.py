"""`Table`: Zarr arrays of equal length that grow by whole chunks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numcodecs import Zstd

from ....storage.errors import ResultsDamaged
from ....storage.targets.target import Target

CHUNK_BYTES = 1 << 20
"""Maximum bytes of a chunk of more than one row, before compression."""

MOST_ROWS = 8192
"""Maximum number of rows of a chunk."""

_LEVEL = 1  # of Zstandard


@dataclass(frozen=True)
class Column:
    """A column of a table: ``[rows, *shape]``."""

    name: str
    dtype: str
    shape: tuple[int, ...] = ()

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return np.dtype(self.dtype).itemsize * int(np.prod(self.shape, dtype=np.int64))


class Table:
    """A table that grows. Complete chunks are written once; the last one, each time it has grown.

    Attributes
    ----------
    rows : int
        Rows that were appended.

    Parameters
    ----------
    name : str
        Its folder, and the name of its first dimension.
    """

    def __init__(self, name: str, columns: Sequence[Column]) -> None:
        self.name, self.columns = name, tuple(columns)
        widest = max(column.row_bytes for column in columns)
        fitting = max(1, CHUNK_BYTES // max(1, widest))
        rows = 1 << (fitting.bit_length() - 1)  # the largest power of two that fits
        self.chunk_rows = min(MOST_ROWS, rows)
        self.rows = 0
        self._begun = 0  # the first row that is held here: the beginning of a chunk
        self._held: dict[str, list[npt.NDArray[Any]]] = {one.name: [] for one in columns}
        self._changed = True

    @property
    def held_bytes(self) -> int:
        """Bytes of the rows that are held in memory."""
        return (self.rows - self._begun) * sum(column.row_bytes for column in self.columns)

    def append(self, values: Mapping[str, npt.NDArray[Any]]) -> None:
        """Append rows: an array for each column."""
        count = len(values[self.columns[0].name])
        for column in self.columns:
            array = np.ascontiguousarray(values[column.name], column.dtype)
            if array.shape != (count, *column.shape):
                raise ValueError(f"{column.name}: {array.shape} instead of {count} rows")
            self._held[column.name].append(array)
        self.rows += count
        self._changed |= count > 0

    def objects(self) -> tuple[dict[str, bytes], dict[str, bytes]]:
        """Return the chunks that changed since the last call, and then the metadata, by key."""
        if not self._changed:
            return {}, {}
        chunks: dict[str, bytes] = {}
        kept = self.rows - self.rows % self.chunk_rows
        for column in self.columns:
            values = np.concatenate(
                [*self._held[column.name], np.zeros((0, *column.shape), column.dtype)]
            )
            for at in range(0, len(values), self.chunk_rows):
                number = (self._begun + at) // self.chunk_rows
                key = "/".join(
                    [self.name, column.name, "c", str(number), *("0" for _ in column.shape)]
                )
                chunks[key] = self._encode(values[at : at + self.chunk_rows])
            self._held[column.name] = [values[kept - self._begun :].copy()]
        self._begun, self._changed = kept, False
        return chunks, {
            f"{self.name}/zarr.json": _dump(
                {"zarr_format": 3, "node_type": "group", "attributes": {}}
            ),
            **{f"{self.name}/{one.name}/zarr.json": self._metadata(one) for one in self.columns},
        }

    def _encode(self, values: npt.NDArray[Any]) -> bytes:
        missing = self.chunk_rows - len(values)
        if missing:
            values = np.concatenate([values, np.zeros((missing, *values.shape[1:]), values.dtype)])
        data: bytes = Zstd(level=_LEVEL, checksum=True).encode(values.tobytes())
        return data

    def _metadata(self, column: Column) -> bytes:
        bytes_codec: dict[str, Any] = {"name": "bytes"}
        if np.dtype(column.dtype).itemsize > 1:
            bytes_codec["configuration"] = {"endian": "little"}
        inner = [f"{column.name}_{axis}" for axis in range(len(column.shape))]
        return _dump(
            {
                "zarr_format": 3,
                "node_type": "array",
                "shape": [self.rows, *column.shape],
                "data_type": column.dtype,
                "chunk_grid": {
                    "name": "regular",
                    "configuration": {"chunk_shape": [self.chunk_rows, *column.shape]},
                },
                "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
                "fill_value": 0,
                "codecs": [
                    bytes_codec,
                    {"name": "zstd", "configuration": {"level": _LEVEL, "checksum": True}},
                ],
                "attributes": {},
                "dimension_names": [self.name, *inner],
                "storage_transformers": [],
            }
        )

    def resume(self, target: Target, rows: int) -> None:
        """Continue after a number of rows that were written.

        Raises
        ------
        ResultsDamaged
            The last chunk is missing or damaged.
        """
        self.rows, self._begun = rows, rows - rows % self.chunk_rows
        self._changed = True  # the metadata may count rows that were lost
        for column in self.columns:
            self._held[column.name] = [
                self.chunk(target, column, self._begun // self.chunk_rows)[: rows - self._begun]
                if rows > self._begun
                else np.zeros((0, *column.shape), column.dtype)
            ]

    def chunk(self, target: Target, column: Column, number: int) -> npt.NDArray[Any]:
        """Read a chunk that was written, all of its rows."""
        key = "/".join([self.name, column.name, "c", str(number), *("0" for _ in column.shape)])
        data = target.get(key)
        try:
            raw = Zstd().decode(data)
            values = np.frombuffer(raw, column.dtype)
            return values.reshape(self.chunk_rows, *column.shape).copy()
        except (TypeError, ValueError, RuntimeError) as error:
            raise ResultsDamaged(
                f"{target.url}/{key} is missing or damaged; climb with fresh=True to start over"
            ) from error


def _dump(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()
