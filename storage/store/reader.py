"""`ResultsStore`: a store opened for reading, finished or not.

Everything that inspects a store without writing to it (status, verify, export, peek, cite, report)
starts here. What writes to a store is in `lifecycle`; xarray's view of it is in `dataset`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from os import PathLike
from typing import Any

from ..corpus.index import CorpusIndex
from ..corpus.opening import FileOpener
from ..targets.open import open_target
from ..targets.target import Target
from .dataset import StoredArrays
from .history import Summary
from .lifecycle import read_summary
from .manifest import Manifest, read_index, require_manifest
from .shards import Marker, StoreLayout, done_shards


class ResultsStore:
    """A store as it was when it was opened.

    Each part is read once, on first use, so that a caller pays only for what it needs.

    Parameters
    ----------
    target : Target
        The target that holds the store.
    manifest : Manifest
    storage_options : mapping, optional
        Passed to fsspec to read the corpus.
    """

    def __init__(
        self,
        target: Target,
        manifest: Manifest,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.target = target
        self.manifest = manifest
        self._storage_options = storage_options

    @classmethod
    def open(
        cls, url: str | PathLike[str], storage_options: Mapping[str, Any] | None = None
    ) -> ResultsStore:
        """Open the store at a path or URL, reading only its manifest.

        Parameters
        ----------
        storage_options : mapping, optional
            Passed to fsspec, for the store and for its corpus.

        Raises
        ------
        ResultsNotFound
            The store does not exist.
        ResultsMismatch, StorageRefused
            See `open_target`.
        """
        return cls.at(open_target(url, storage_options), storage_options)

    @classmethod
    def at(cls, target: Target, storage_options: Mapping[str, Any] | None = None) -> ResultsStore:
        """Open the store at a target, reading only its manifest.

        Raises
        ------
        ResultsNotFound
            The store does not exist.
        """
        return cls(target, require_manifest(target), storage_options)

    @property
    def url(self) -> str:
        """The store's URL, without credentials."""
        return self.target.url

    @cached_property
    def index(self) -> CorpusIndex:
        """The index of the corpus. Raises `ResultsNotFound` if the store has lost it."""
        return read_index(self.target, self.manifest)

    @cached_property
    def layout(self) -> StoreLayout:
        """How rows are divided into shards, and which arrays a shard has."""
        return self.manifest.layout(self.index)

    @cached_property
    def arrays(self) -> StoredArrays:
        """The store's arrays."""
        return StoredArrays(self.target)

    @cached_property
    def opener(self) -> FileOpener:
        """Opens the files of the corpus."""
        return FileOpener(dict(self._storage_options or {}))

    @cached_property
    def done(self) -> Mapping[int, Marker]:
        """Markers, by shard, of the shards whose objects are all present at full size."""
        return done_shards(self.target, self.layout)

    @cached_property
    def summary(self) -> Summary | None:
        """Summary of the store, or None if the store is not complete."""
        return read_summary(self.target)
