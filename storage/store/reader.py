"""`ResultsStore`: a store opened for reading, finished or not.

Everything that inspects a store without writing to it (status, verify, export, peek, cite, report)
starts here. What writes to a store is in `lifecycle`; xarray's view of it is in `dataset`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from os import PathLike
from typing import Any

from ..corpus.corpus import Corpus
from ..corpus.index import CorpusIndex
from ..corpus.opening import FileOpener
from ..corpus.relocation import CorpusLocation, files_now_at
from ..field import Field
from ..targets.open import open_target
from ..targets.target import Target
from .dataset import StoredArrays, read_summary
from .history import Summary
from .layout import VALID
from .manifest import Manifest, read_index, require_manifest
from .shards import Marker, StoreLayout, done_shards
from .stages.record import StageRecord, Stages, is_listed

_IF_GONE = "; if the corpus has moved, say where it is now (--corpus, corpus=)"


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
    corpus : str, path, list of them, or Corpus, optional
        Where the corpus is now, if not where the last run found it; or the data, if they lay in
        memory, or were those of a dask frame.
    """

    def __init__(
        self,
        target: Target,
        manifest: Manifest,
        storage_options: Mapping[str, Any] | None = None,
        corpus: CorpusLocation | None = None,
    ) -> None:
        self.target = target
        self.manifest = manifest
        self._storage_options = dict(storage_options or {})
        self._corpus = corpus

    @classmethod
    def open(
        cls,
        url: str | PathLike[str],
        storage_options: Mapping[str, Any] | None = None,
        corpus: CorpusLocation | None = None,
    ) -> ResultsStore:
        """Open the store at a path or URL, reading only its manifest.

        Parameters
        ----------
        storage_options : mapping, optional
            Passed to fsspec, for the store and for its corpus.
        corpus : str, path, list of them, or Corpus, optional
            Where the corpus is now, if not where the last run found it; or the data, if they lay in
            memory, or were those of a dask frame.

        Raises
        ------
        ResultsNotFound
            The store does not exist.
        ResultsMismatch, StorageRefused
            See `open_target`.
        """
        target = open_target(url, storage_options)
        return cls(target, require_manifest(target), storage_options, corpus)

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
        """The index of the corpus, which is where the caller says that it is.

        Raises
        ------
        ResultsNotFound
            The store has lost its index.
        CorpusNotFound
            None of the corpus's files is where the caller says that it is.
        """
        index = read_index(self.target, self.manifest)
        if self._corpus is None:
            return index
        return index.moved_to(files_now_at(self._corpus, index, self._storage_options))

    @cached_property
    def layout(self) -> StoreLayout:
        """How rows are divided into shards, and which arrays a shard has."""
        return self.manifest.layout(self.index)

    @cached_property
    def stages(self) -> Stages:
        """The later stages, finished or not."""
        return Stages.read(self.target, self.manifest)

    @cached_property
    def listed(self) -> tuple[StageRecord, ...]:
        """The later stages that readers see."""
        return tuple(one for one in self.stages if is_listed(self.target, one))

    @property
    def computed(self) -> tuple[Field, ...]:
        """The fields that the graph computes, of all stages."""
        later = (field for one in self.listed for field in one.fields)
        return (*self.manifest.fields, *later)

    @property
    def fields(self) -> tuple[Field, ...]:
        """Every array that is written shard by shard, of all stages."""
        return (*self.layout.fields, *(field for one in self.listed for field in one.arrays))

    @property
    def blocks(self) -> dict[str, Any]:
        """The descriptions of the graph's blocks, by name, of all stages."""
        blocks = dict(self.manifest.facts["graph"])
        for one in self.listed:
            blocks |= one.blocks
        return blocks

    def mask_of(self, field: str) -> str:
        """Return the array that says for which rows a field was computed."""
        for one in self.listed:
            if field in {other.name for other in one.fields}:
                return one.valid.name
        return VALID.name

    @cached_property
    def arrays(self) -> StoredArrays:
        """The store's arrays."""
        return StoredArrays(self.target)

    @cached_property
    def opener(self) -> FileOpener:
        """Opens the files of the corpus."""
        options = self._storage_options
        if isinstance(self._corpus, Corpus):
            options = dict(self._corpus.storage_options)
        return FileOpener(options, if_gone=_IF_GONE if self._corpus is None else "")

    @cached_property
    def done(self) -> Mapping[int, Marker]:
        """Markers, by shard, of the shards whose objects are all present at full size."""
        return done_shards(self.target, self.layout)

    @cached_property
    def summary(self) -> Summary | None:
        """Summary of the store, or None if the store is not complete."""
        return read_summary(self.target)
