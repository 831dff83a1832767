"""Values that earlier stages have stored, as the blocks of a later stage take them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
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
    ids: npt.NDArray[Any] | None  # None: a text's id is its row number

    def id(self, at: int) -> str | None:
        """Return the identifier of a row, counted from the first one of the shard."""
        if self.ids is None or self.ids[at] is None:
            return None
        return str(self.ids[at])


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

    def load(self, start: int, stop: int) -> LoadedValues:
        """Read rows ``[start, stop)``."""
        arrays = StoredArrays(self.target, self.unlisted)
        rows = slice(start, stop)
        usable = np.ones(stop - start, np.bool_)
        for name in self.valid:
            usable &= arrays[name][rows]
        values = {name: self._values(arrays, name, rows) for name in self.names}
        ids = self._values(arrays, "id", rows) if self.has_ids else None
        return LoadedValues(values, usable, ids)

    def _values(self, arrays: StoredArrays, name: str, rows: slice) -> npt.NDArray[Any]:
        values = arrays[name][rows]
        if values.dtype.kind == "T":
            values = values.astype(object)
        if name not in self.columns or values.dtype.kind not in "Of":
            return values
        known = arrays[f"{name}_valid"][rows]
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
