"""Values stored by earlier stages, as the blocks of a later stage take them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ....storage.store.dataset import StoredArrays
from ....storage.store.stages.reductions import ReductionResult, read_reduction
from ....storage.targets.target import Target


@dataclass(frozen=True)
class LoadedValues:
    """The stored values of the rows of a shard."""

    values: Mapping[str, npt.NDArray[Any]]
    usable: npt.NDArray[np.bool_]  # rows that the earlier stages have computed
    id: Callable[[int], str | None]  # identifier of a row, counted from the first one


@dataclass(frozen=True, kw_only=True)
class StoredValues:
    """Which arrays of a store the blocks of a stage take.

    Missing values of columns are None in arrays of strings, NaN in arrays of floats.
    """

    target: Target
    names: tuple[str, ...]  # of fields, and of columns of the corpus
    columns: frozenset[str]  # names of columns, which have a mask beside them
    valid: tuple[str, ...]  # masks that must all be true for a row
    has_ids: bool  # whether rows have identifiers of their own
    unlisted: Mapping[str, bytes]  # metadata of arrays that the store does not list yet

    def open(self) -> StoredRows:
        """Open the arrays, to read them shard by shard."""
        return StoredRows(self, StoredArrays(self.target, self.unlisted))


class StoredRows:
    """What the blocks of a later stage take, for any rows of a store."""

    def __init__(self, taken: StoredValues, arrays: StoredArrays) -> None:
        self._taken, self._arrays = taken, arrays

    def load(self, start: int, stop: int) -> LoadedValues:
        """Read rows ``[start, stop)``."""
        rows = slice(start, stop)
        usable = np.ones(stop - start, np.bool_)
        for name in self._taken.valid:
            usable &= self._arrays[name][rows]
        values = {name: self._values(name, rows) for name in self._taken.names}
        return LoadedValues(values, usable, lambda at: self._id(start + at))

    def _id(self, row: int) -> str | None:
        """Return the identifier of a row; None if there is none but its number."""
        if not self._taken.has_ids:
            return None
        (found,) = self._values("id", slice(row, row + 1))
        return None if found is None else str(found)

    def _values(self, name: str, rows: slice) -> npt.NDArray[Any]:
        values = self._arrays[name][rows]
        if values.dtype.kind == "T":
            values = values.astype(object)
        if name not in self._taken.columns or values.dtype.kind not in "Of":
            return values
        known = self._arrays[f"{name}_valid"][rows]
        if not known.all():
            values = values.copy()
            values[~known] = np.nan if values.dtype.kind == "f" else None
        return values


@dataclass(frozen=True)
class StoredReductions:
    """Which results of reductions the blocks of a stage take: digests by name."""

    target: Target
    digests: Mapping[str, str]

    def load(self) -> dict[str, Any]:
        """Return the results, which are read once per process: arrays, and Datasets."""
        return {name: self._loaded(name, digest) for name, digest in self.digests.items()}

    def _loaded(self, name: str, digest: str) -> Any:
        key = f"{self.target.url} {name}"
        with _lock:
            if key not in _results or _results[key].digest != digest:
                _results[key] = read_reduction(self.target, name)
            return _results[key].value


_results: dict[str, ReductionResult] = {}
_lock = threading.Lock()
