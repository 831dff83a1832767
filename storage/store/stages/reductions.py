"""The result of a reduction in a store: a Zarr group, a marker with digests, and reading it."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.storage import MemoryStore

from ...errors import ColumnNotFound, ResultsDamaged
from ...messages.names import did_you_mean, listed, quoted
from ...messages.tracebacks import short_traceback
from ...targets.open import open_target
from ...targets.target import Target
from ..digests import digest, is_unchanged
from ..keys import ROOT_KEY, marker_key, reduction_folder
from ..layout import filters_lock
from ..manifest import require_manifest
from .record import Stages, is_listed

if TYPE_CHECKING:
    import xarray as xr

_SINGLE = "paninifs_array"
"""Attribute of a group whose result is one array; its value is the array's name."""


@dataclass(frozen=True)
class ReductionMarker:
    """A finished reduction: its objects, and the digest of its values."""

    fingerprint: str  # of its stage
    digest: str  # of names, dtypes, shapes and values
    objects: Mapping[str, tuple[int, str]]  # key to bytes and digest; without the group's own
    group: str  # the group's own metadata, which is written when the stage is listed

    def to_json(self) -> bytes:
        """Encode the marker."""
        return json.dumps(vars(self)).encode()


@dataclass(frozen=True)
class ReductionResult:
    """The result of a reduction in memory."""

    digest: str
    dataset: xr.Dataset

    @property
    def value(self) -> Any:
        """The result as blocks take it: an array if the reduction returned one, or a Dataset."""
        single = self.dataset.attrs.get(_SINGLE)
        return self.dataset if single is None else self.dataset[single].values


def write_reduction(
    target: Target, name: str, result: xr.Dataset | xr.DataArray, fingerprint: str
) -> ReductionMarker:
    """Write the result of a reduction, and mark it done. It is not listed yet.

    Parameters
    ----------
    result : Dataset or DataArray
        The result, in memory.
    fingerprint : str
        Fingerprint of its stage.
    """
    dataset = _as_dataset(name, result)
    folder = reduction_folder(name)
    target.delete([marker_key(0, name)])
    target.delete([key for key in target.sizes(folder) if key != f"{folder}/{ROOT_KEY}"])
    objects: dict[str, tuple[int, str]] = {}
    encoded = _encoded(dataset)
    group = encoded.pop(ROOT_KEY)
    for key, data in sorted(encoded.items()):
        target.put(f"{folder}/{key}", data)
        objects[f"{folder}/{key}"] = len(data), digest(data)
    marker = ReductionMarker(fingerprint, digest_of(dataset), objects, group.decode())
    target.put(marker_key(0, name), marker.to_json())
    return marker


def _as_dataset(name: str, result: xr.Dataset | xr.DataArray) -> xr.Dataset:
    import xarray as xr

    if isinstance(result, xr.DataArray):
        dataset = result.to_dataset(name=name)
        dataset.attrs = {**result.attrs, _SINGLE: name}
    else:
        dataset = result.copy()
    for one in list(dataset.variables):
        variable = dataset[one]
        if variable.dtype.kind in "US":  # Zarr's fixed-width strings have no specification yet
            dataset = (
                dataset.assign_coords({one: variable.astype(object)})
                if (one in dataset.coords)
                else dataset.assign({one: variable.astype(object)})
            )
        dataset[one].encoding = {}
    return dataset


def _encoded(dataset: xr.Dataset) -> dict[str, bytes]:
    """Return the objects of a Zarr group, by key."""
    written: dict[str, Buffer] = {}
    with filters_lock, warnings.catch_warnings():
        # Consolidated metadata is not in the Zarr v3 specification yet; all readers support it.
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
        dataset.to_zarr(
            MemoryStore(written),
            mode="w",
            zarr_format=3,
            consolidated=True,
            write_empty_chunks=True,
        )
    return {key: value.to_bytes() for key, value in written.items()}


def digest_of(dataset: xr.Dataset) -> str:
    """Return the SHA-256 of the names, dimensions, dtypes and values of a Dataset."""
    state = hashlib.sha256()
    for name in sorted(map(str, dataset.variables)):
        variable = dataset[name]
        values = np.ascontiguousarray(variable.values)
        known = [name, list(map(str, variable.dims)), list(variable.shape), values.dtype.str]
        state.update(json.dumps(known).encode())
        if values.dtype.hasobject:
            state.update(json.dumps(values.tolist(), ensure_ascii=False, default=str).encode())
        else:
            state.update(values.tobytes())
    return state.hexdigest()


def read_reduction_marker(
    target: Target, name: str, fingerprint: str | None = None
) -> ReductionMarker | None:
    """Return the marker of a finished reduction; None if it is missing, incomplete or outdated."""
    try:
        values = json.loads(target.get(marker_key(0, name)) or b"")
        objects = {key: (int(size), str(sha)) for key, (size, sha) in values["objects"].items()}
        marker = ReductionMarker(values["fingerprint"], values["digest"], objects, values["group"])
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    folder = reduction_folder(name)
    if not all(key.startswith(f"{folder}/") for key in objects):
        return None
    return marker if fingerprint in (None, marker.fingerprint) else None


def reduction_metadata(target: Target, name: str) -> dict[str, bytes]:
    """Return the metadata objects of the result of a finished reduction, by key."""
    marker = read_reduction_marker(target, name)
    if marker is None:
        return {}
    keys = [key for key in marker.objects if key.endswith(f"/{ROOT_KEY}")]
    known = {key: target.get(key) or b"" for key in keys}
    return {f"{reduction_folder(name)}/{ROOT_KEY}": marker.group.encode()} | known


def has_all_objects(target: Target, name: str, marker: ReductionMarker) -> bool:
    """Return whether the objects of a finished reduction exist with the right sizes."""
    sizes = target.sizes(reduction_folder(name))
    return all(sizes.get(key) == size for key, (size, _) in marker.objects.items())


def read_reduction(target: Target, name: str) -> ReductionResult:
    """Read the result of a finished reduction, listed or not.

    Raises
    ------
    ResultsDamaged
        The result is missing, or differs from what was written.
    """
    import xarray as xr

    marker = read_reduction_marker(target, name)
    if marker is None:
        raise ResultsDamaged(
            f"{target.url} has no result of the reduction {name!r}; run again to compute it"
        )
    new = default_buffer_prototype().buffer.from_bytes
    objects = {ROOT_KEY: new(marker.group.encode())}
    for key, (size, expected) in marker.objects.items():
        data = target.get(key)
        if data is None or not is_unchanged(data, size, expected):
            raise ResultsDamaged(
                f"{target.url}/{key} is missing or damaged; `paninifs repair {target.url}`, and "
                "the run once more, compute it again"
            )
        objects[key.removeprefix(f"{reduction_folder(name)}/")] = new(data)
    store = MemoryStore(objects)
    with xr.open_zarr(store, consolidated=True, zarr_format=3, chunks=None) as dataset:
        return ReductionResult(marker.digest, dataset.load())


@short_traceback
def open_reduction(
    url: str | PathLike[str], name: str, *, storage_options: Mapping[str, Any] | None = None
) -> xr.Dataset | xr.DataArray:
    """Open the result of a reduction.

    Parameters
    ----------
    url : str or path
        The store.
    name : str
        The reduction; ``open_results(url).attrs["reductions"]`` names them.
    storage_options : mapping, optional
        Passed to fsspec.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        What the reduction returned, in memory.

    Raises
    ------
    ResultsNotFound
        The store does not exist.
    ColumnNotFound
        The store has no such reduction.
    ResultsDamaged
        The stored bytes differ from those written.
    """
    target = open_target(url, storage_options)
    stages = Stages.read(target, require_manifest(target))
    names = [one.name for one in stages if one.is_reduction and is_listed(target, one)]
    if name not in names:
        known = f"it has: {listed(names)}{did_you_mean(name, names)}" if names else "it has none"
        raise ColumnNotFound(f"{target.url} has no reduction {quoted(name)}; {known}")
    dataset = read_reduction(target, name).dataset
    single = dataset.attrs.get(_SINGLE)
    return dataset if single is None else dataset[single]
