"""`open_climb`: opens the history of a climb with xarray; `climbs_of` lists those of a store."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from ....storage.errors import ColumnNotFound, ResultsDamaged, ResultsNotFound, UsageError
from ....storage.messages.names import did_you_mean, listed, quoted
from ....storage.messages.tracebacks import short_traceback
from ....storage.store.keys import CLIMBS
from ....storage.targets.open import open_target
from ....storage.targets.target import Target
from ....storage.targets.zarr_store import TargetStore

if TYPE_CHECKING:
    import xarray as xr

_GROUP = "zarr.json"


@short_traceback
def open_climb(
    results: str | PathLike[str],
    name: str,
    table: str = "accepted",
    *,
    storage_options: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Open the history of a climb; it may be going on.

    Parameters
    ----------
    results : str or path
        The store.
    name : str
        The climb.
    table : str
        ``"accepted"``, with a row for each accepted state; ``"failed"``, with one for each
        candidate without a score; or ``"candidates"``, if all were kept.
    storage_options : mapping, optional
        Passed to fsspec.

    Returns
    -------
    xarray.Dataset
        Lazy arrays along the table's name. ``state`` [rows, d], or an array for each component of a
        `Product`; ``score`` (float64), ``candidate`` and ``parent`` (their numbers; -1: none),
        ``kind`` (see the attribute ``kinds``), ``climber``, ``order`` (place among the results as
        they came), ``worker`` and ``reason`` (indexes of the attributes ``workers`` and
        ``reasons``), ``seconds`` of the evaluation, and ``at``, the seconds after which the
        candidate was retired. The attribute ``best`` is the best candidate.

    Raises
    ------
    ResultsNotFound
        There is no such climb.
    ColumnNotFound
        It has no such table.
    """
    import xarray as xr

    target = climb_target(results, name, storage_options)
    attributes = attributes_of(target)
    tables = sorted({key.split("/")[0] for key in target.sizes() if key.endswith(f"/{_GROUP}")})
    if table not in tables:
        raise ColumnNotFound(
            f"{target.url} has no table {quoted(table)}; it has: {listed(tables)}"
            f"{did_you_mean(table, tables)}"
        )
    store = _Written(target, _of_equal_length(target, table, attributes))
    found = xr.open_zarr(store, group=table, consolidated=False, zarr_format=3)
    told: xr.Dataset = found.assign_attrs(attributes)
    return told


class _Written(TargetStore):
    """The arrays of a climb, of which every chunk was written: a missing one is not all zeros."""

    def _read(self, key: str) -> bytes | None:
        data = super()._read(key)
        if data is None and "/c/" in key:
            raise ResultsDamaged(f"{self}/{key} is missing")
        return data


def _of_equal_length(target: Target, table: str, attributes: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the metadata of a table's arrays, with the rows that the group says they have.

    While the climb goes on, some may be longer already.
    """
    found = {}
    for key in target.sizes(table):
        if key.count("/") == 2 and key.endswith(f"/{_GROUP}"):
            described = json.loads(target.get(key) or b"{}")
            described["shape"][0] = attributes["rows"][table]
            found[key] = json.dumps(described).encode()
    return found


def climb_target(
    results: str | PathLike[str], name: str, storage_options: Mapping[str, Any] | None = None
) -> Target:
    """Return the folder of a climb.

    Raises
    ------
    ResultsNotFound
        There is no such climb.
    """
    store = os.fspath(results)
    target = open_target(climbs_url(results, name), storage_options)
    if not is_written(target):
        known = climbs_of(results, storage_options)
        others = f"; it has: {listed(known)}{did_you_mean(name, known)}" if known else ""
        raise ResultsNotFound(f"{store} has no climb {quoted(name)}{others}")
    return target


def is_written(target: Target) -> bool:
    """Return whether a climb's folder has anything to read."""
    return target.get(_GROUP) is not None


def climbs_url(results: str | PathLike[str], name: str = "") -> str:
    """Return the path or URL of a climb in a store, or of all of them.

    Raises
    ------
    UsageError
        The store has no path.

    Examples
    --------
    >>> climbs_url("results.zarr/", "first"), climbs_url("memory://")
    ('results.zarr/climbs/first', 'memory://climbs')
    """
    try:
        store = os.fspath(results)
    except TypeError as error:
        raise UsageError(f"results must be a path or a URL, not {results!r}") from error
    if not store:
        raise UsageError("results must be a path or a URL, not an empty string")
    base = store if store.endswith("://") else f"{store.rstrip('/')}/"
    return f"{base}{CLIMBS}/{name}".rstrip("/")


def climbs_of(
    results: str | PathLike[str], storage_options: Mapping[str, Any] | None = None
) -> Sequence[str]:
    """Return the names of a store's climbs."""
    folder = open_target(climbs_url(results), storage_options)
    groups = (key.split("/") for key in folder.sizes() if key.endswith(f"/{_GROUP}"))
    return sorted(parts[0] for parts in groups if len(parts) == 2)


def attributes_of(target: Target) -> Mapping[str, Any]:
    """Return the attributes of a climb's group.

    Raises
    ------
    ResultsDamaged
        They cannot be read.
    """
    try:
        attributes: Mapping[str, Any] = dict(json.loads(target.get(_GROUP) or b"")["attributes"])
    except (ValueError, KeyError, TypeError) as error:
        raise ResultsDamaged(f"{target.url}/{_GROUP} is damaged") from error
    return attributes
