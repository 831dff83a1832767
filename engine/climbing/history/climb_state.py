"""``state.npz``: how many rows of a history count, and all that later rounds depend on."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from ....storage import RUN_FOLDER
from ....storage.errors import ResultsDamaged
from ....storage.targets.target import Target

STATE_KEY = f"{RUN_FOLDER}/state.npz"

State = dict[str, npt.NDArray[Any]]
Names = tuple[list[str], list[str]]
"""The names of workers, and the reasons of failures."""


def dumped_state(
    state: Mapping[str, npt.NDArray[Any]], rows: Mapping[str, int], names: Names
) -> bytes:
    """Return a state as the bytes of its object.

    Parameters
    ----------
    rows : mapping of str to int
        Rows of each table.
    """
    kept = io.BytesIO()
    counted = {f"rows_{table}": np.array(count) for table, count in rows.items()}
    listed = dict(
        zip(("workers", "reasons"), (np.array(json.dumps(n)) for n in names), strict=True)
    )
    np.savez(kept, **{**state, **counted, **listed})  # type: ignore[arg-type] # numpy's own stub
    return kept.getvalue()


def loaded_state(
    data: bytes, target: Target, tables: Sequence[str]
) -> tuple[State, dict[str, int], Names]:
    """Return what `dumped_state` was given.

    Raises
    ------
    ResultsDamaged
        The bytes cannot be read.
    """
    with _damage_of(target), np.load(io.BytesIO(data), allow_pickle=False) as read:
        state: State = dict(read)
        rows = {table: int(state.pop(f"rows_{table}")) for table in tables}
        workers, reasons = (list(json.loads(str(state.pop(n)))) for n in ("workers", "reasons"))
        for name in ("retired", "seconds", "evaluated"):
            float(state[name])
    return state, rows, (workers, reasons)


def retired_by(data: bytes, target: Target) -> int:
    """Return the number of rounds that a state has retired."""
    with _damage_of(target), np.load(io.BytesIO(data), allow_pickle=False) as read:
        return int(read["retired"])


@contextmanager
def _damage_of(target: Target) -> Iterator[None]:
    """Raise `ResultsDamaged` for whatever reading a damaged state raises."""
    try:
        yield
    except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ResultsDamaged(
            f"{target.url}/{STATE_KEY} is damaged ({error}); climb with fresh=True to start over"
        ) from error
