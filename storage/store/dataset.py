"""`open_results`: a store, finished or not, as a lazy xarray Dataset; and `StoredArrays`.

The manifest, index and markers of a store are read by `reader`.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import zarr

from ..errors import PaniniError, ResultsDamaged, ResultsIncomplete, ResultsNotFound
from ..field import Field
from ..kinds.kind import Kind
from ..kinds.table import STORED_FORM, stored_kind
from ..messages.tracebacks import short_traceback
from ..targets.open import open_target
from ..targets.target import Target
from ..targets.zarr_store import TargetStore
from .history import Summary
from .keys import DONE, ROOT_KEY
from .leases.lease import current_owner
from .manifest import read_index, read_manifest
from .shards import done_shards

if TYPE_CHECKING:
    import xarray as xr


@short_traceback
def open_results(
    url: str | PathLike[str], *, storage_options: Mapping[str, Any] | None = None
) -> xr.Dataset:
    """Open a results store lazily.

    Parameters
    ----------
    url : str or path
        The store, finished or not.
    storage_options : mapping, optional
        Passed to fsspec.

    Returns
    -------
    xarray.Dataset
        All arrays, along the dimension ``text`` in the order of the corpus, with dhātus, primes and
        bytes as coordinates. A row whose ``valid`` is false is quarantined or not computed yet;
        its values are zeros. Where ``NAME_valid`` of a kept column or a nullable field is false,
        its value is missing: NaN if it is a float, NaT if it is a datetime, else zero, empty or
        false. Categories are strings, and their codes are in the store; lists are NumPy arrays, one
        per text. The attributes are numbers and strings, as netCDF needs them; ``versions`` and
        ``summary`` are JSON, and ``reductions`` names the results that `open_reduction` opens. The
        fields of a block that was added later have an array ``valid_NAME`` of their own, named
        after the first field.

    Warns
    -----
    ResultsIncomplete
        The store is not complete.

    Raises
    ------
    ResultsNotFound
        The store does not exist.
    """
    import xarray as xr

    target = open_target(url, storage_options)
    attributes = read_attributes(target)
    if attributes is None:
        raise ResultsNotFound(f"no results store at {target.url}")
    if _summary(target, attributes) is None:
        owner = current_owner(target)
        done = f"{len(target.sizes(DONE))} of {attributes.get('shards')} shards are done"
        if owner is None:
            remedy = f"is unfinished: {done}", "To finish it, run again"
        else:
            writer = f"process {owner.pid} on {owner.host.split(' ')[0]}"
            remedy = f"is being written by {writer}: {done}", "Open it again later to see more"
        warnings.warn(
            f"{target.url} {remedy[0]}; the rows of the others have valid == False. {remedy[1]}",
            ResultsIncomplete,
            stacklevel=3,  # the caller of the public function
        )
    dataset: xr.Dataset
    if target.slow_to_create:  # a mount or Drive, where plain reads can fail or miss objects
        dataset = xr.open_zarr(TargetStore(target), consolidated=True, zarr_format=3)
    else:
        options = dict(target.storage_options) or None
        where = os.fspath(url).rstrip("/") if "://" in target.url else target.url
        dataset = xr.open_zarr(where, consolidated=True, storage_options=options, zarr_format=3)
        dataset.encoding["source"] = target.url  # xarray's own would keep a password in the URL
    dataset.attrs = {name: _plain(value) for name, value in dataset.attrs.items()}
    dataset = with_missing(_decoded(dataset))
    return dataset.set_coords("id") if "id" in dataset.data_vars else dataset


def _decoded(dataset: xr.Dataset) -> xr.Dataset:
    """Return the dataset with lists, categories and fixed strings as users know them, lazily."""
    decoded = {}
    for name, array in dataset.data_vars.items():
        kind = stored_kind(array.attrs, array.dtype)
        if kind is None:
            continue

        def read(block: npt.NDArray[Any], kind: Kind = kind) -> npt.NDArray[Any]:
            return kind.readable(kind.decode(block))

        dtype = read(np.empty(0, array.dtype)).dtype
        blocks = array.data.map_blocks(read, dtype=dtype, meta=np.empty((0,) * array.ndim, dtype))
        decoded[name] = array.copy(data=blocks)
        # Attributes and encoding describe the codes or bytes that are stored.
        decoded[name].attrs = {at: a for at, a in array.attrs.items() if at not in STORED_FORM}
        decoded[name].encoding = {}
    return dataset.assign(decoded)


def with_missing(dataset: xr.Dataset) -> xr.Dataset:
    """Return the dataset with NaN, lazily, for missing values of floats."""
    masked = {}
    for name in dataset.data_vars:
        known = dataset.get(f"{name}_valid")
        if known is not None and dataset[name].dtype.kind == "f":
            masked[name] = dataset[name].where(known)
            masked[name].encoding = dataset[name].encoding
    return dataset.assign(masked)


def _plain(value: Any) -> Any:
    """Return an attribute as netCDF can store it; it has no booleans, lists or mappings."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, Mapping) else value


def read_attributes(target: Target) -> dict[str, Any] | None:
    """Return the root's attributes, or None if the store is missing or its root is damaged."""
    try:
        root = json.loads(target.get(ROOT_KEY) or b"")
    except ValueError:
        return None
    return dict(root.get("attributes") or {}) if isinstance(root, dict) else None


def read_summary(target: Target) -> Summary | None:
    """Return the summary of a store, or None if the store is not complete."""
    return _summary(target, read_attributes(target))


def _summary(target: Target, attributes: Mapping[str, Any] | None) -> Summary | None:
    if attributes is None:
        return None
    counts = attributes.get("summary") if attributes.get("complete") else None
    if isinstance(counts, str):  # written back by xarray as `open_results` returned it
        counts = json.loads(counts)
    if "complete" not in attributes:
        # Whoever adds an array of their own with xarray (mode="a") replaces the attributes.
        counts = _counts_of_finished(target)
    return Summary(results=target.url, **counts) if counts else None


def _counts_of_finished(target: Target) -> Mapping[str, Any] | None:
    """Return what a finished store holds, by its manifest and markers; None if it is unfinished."""
    manifest = read_manifest(target)
    if manifest is None or manifest.summary is None:
        return None
    layout = manifest.layout(read_index(target, manifest))
    return manifest.summary if len(done_shards(target, layout)) == layout.shards else None


@dataclass(frozen=True)
class StoredArray:
    """An array of a store, for reading."""

    name: str
    array: zarr.Array[Any]
    store: str  # URL

    def __getitem__(self, selection: Any) -> npt.NDArray[Any]:
        """Return the selected values, as `Field` says that they are held in memory.

        Raises
        ------
        ResultsDamaged
            The stored bytes cannot be decoded.
        """
        try:
            values = np.asarray(self.array[selection])
            kind = stored_kind(self.array.attrs, values.dtype)
            return values if kind is None else kind.decode(values)
        except PaniniError:
            raise
        except Exception as error:  # a codec may raise anything on damaged bytes
            raise ResultsDamaged(
                f"array {self.name!r} of {self.store} cannot be read, its bytes are damaged "
                f"({error}); `paninifs repair {self.store}`, and then the run once more, compute "
                "them again"
            ) from error

    def readable(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Return values as `open_results` shows them: categories as strings."""
        values = self[start:stop]
        kind = stored_kind(self.array.attrs, values.dtype)
        return values if kind is None else kind.readable(values)

    @property
    def attrs(self) -> Mapping[str, Any]:
        """The attributes of the array."""
        return dict(self.array.attrs)


class StoredArrays:
    """The arrays of a store, for reading by rows.

    Parameters
    ----------
    target : Target
        The target that holds the store, which need not be complete.
    unlisted : mapping of str to bytes, optional
        Metadata objects of arrays that the store does not list yet, by key.
    """

    def __init__(self, target: Target, unlisted: Mapping[str, bytes] | None = None) -> None:
        # Only format 3: the engine never writes format 2, whose codecs may unpickle what they read.
        others = dict(unlisted or {})
        # Consolidated metadata would hide arrays that are not listed.
        consolidated = False if others else None
        self._group = zarr.open_group(
            TargetStore(target, others), mode="r", zarr_format=3, use_consolidated=consolidated
        )
        self._url = target.url
        self._opened: dict[str, StoredArray] = {}

    def __getitem__(self, name: str) -> StoredArray:
        """Return an array, whose metadata is read once."""
        if name not in self._opened:
            array = cast("zarr.Array[Any]", self._group[name])
            self._opened[name] = StoredArray(name, array, self._url)
        return self._opened[name]

    def numbers(self, field: Field, start: int, stop: int) -> npt.NDArray[Any]:
        """Return the numbers of some rows; NaN, in floats of 64 bits, where they are missing."""
        values = self[field.name][start:stop]
        if not field.nullable:
            return values
        known = self[field.mask][start:stop].reshape(-1, *(1 for _ in field.shape))
        return np.where(known, values.astype(np.float64), np.nan)

    def labels(self, dimension: str) -> list[str] | None:
        """Return the labels of the positions along a dimension, or None if it has no labels."""
        if dimension not in self._group:
            return None
        return [str(label) for label in np.asarray(self[dimension][:]).tolist()]
