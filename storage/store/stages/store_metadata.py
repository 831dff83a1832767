"""The metadata of a store with its later stages: what readers see of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...corpus.index import CorpusIndex
from ...field import Field
from ...targets.target import Target
from ..duplicates import mark_fields
from ..layout import metadata, stored_fields
from .record import StageRecord, Stages, is_listed
from .reductions import reduction_metadata


def write_changed(target: Target, objects: Mapping[str, bytes]) -> None:
    """Write the objects that differ from those in the store."""
    for key, data in objects.items():
        if target.get(key) != data:
            target.put(key, data)


def store_metadata(
    target: Target,
    stages: Stages,
    index: CorpusIndex,
    fields: tuple[Sequence[Field], Sequence[Field]],
    listed: Sequence[StageRecord] | None = None,
) -> dict[str, bytes]:
    """Return the store's metadata objects, not marked as complete.

    Parameters
    ----------
    fields : tuple of sequence of Field
        Of the first stage, and of later ones, with their labels.
    listed : sequence of StageRecord, optional
        The later stages to list; by default those that are listed already.
    """
    computed, later = fields
    manifest = stages.manifest
    shown = [one for one in stages if is_listed(target, one)] if listed is None else listed
    reductions: dict[str, bytes] = {}
    for one in shown:
        if one.is_reduction:
            reductions |= reduction_metadata(target, one.name)
    attributes = manifest.attributes
    if reductions:
        attributes["reductions"] = [one.name for one in shown if one.is_reduction]
    own = (*stored_fields(index.id, index.keep, computed), *mark_fields(index.cleaning))
    return metadata(
        [(one, manifest.shard_rows, manifest.chunk_bytes) for one in own]
        + [array for one in shown for array in labelled_arrays(one, later)],
        manifest.rows,
        attributes,
        reductions,
    )


def labelled_arrays(record: StageRecord, later: Sequence[Field]) -> list[tuple[Field, int, int]]:
    """Return the arrays of a later pass, with their labels, as `metadata` takes them."""
    known = {array.name: array for one in later for array in one.arrays}
    return [
        (known.get(one.name, one), record.shard_rows, record.chunk_bytes) for one in record.arrays
    ]
