"""Every key of a results store: which object it names, and which module writes the object.

============================= ============ ========================================================
key                           written by   object
============================= ============ ========================================================
``zarr.json``                 `lifecycle`  the root's Zarr metadata; says whether the store is
                                           complete
``ARRAY/zarr.json``           `lifecycle`  an array's Zarr metadata, as `layout` declares it
``ARRAY/c/SHARD[/0...]``      `shards`     one shard of an array; those of ``duplicate`` are written
                                           by `duplicates`
``quarantine.parquet``        `lifecycle`  every quarantined row, once the store is complete
``_run/manifest.json``        `manifest`   what the results were computed from
``_run/manifest-spare.json``  `manifest`   the same, while the manifest is being replaced
``_run/index-DIGEST.json``    `manifest`   the corpus's index that belongs to the manifest
``_run/timeline-RUN.json``    `lifecycle`  the `history.Timeline` of one run
``_run/done/SHARD.json``      `shards`     the marker of a finished shard
``_run/quarantine/S.parquet`` `shards`     the quarantined rows of one shard
``_run/lease/NUMBER.json``    `lease`      the process that may write the store
``_run/stages/NAME/...``      `stages`     ``stage.json``, what a later stage is computed from, and
                                           its own ``done`` and ``quarantine``, as above
``reductions/NAME/...``       `stages`     the Zarr group of a reduction's result
``climbs/NAME/...``           `climbing`   the history of a climb, a Zarr group and a ``_run`` of
                                           its own; runs neither write nor discard it
``near_duplicates/NAME/...``  `engine`     clusters of near-duplicates, with digests of what they
                                           were computed from; runs neither write nor discard them
============================= ============ ========================================================

The first stage is a pass over the shards, and its keys are the ones above. A writer that was killed
can leave a temporary file beside any of them; `targets.local` names those.
Keys are part of the format of a store on disk: if one changes, existing stores cannot be resumed.
`mirror` copies objects under the same keys.
"""

from __future__ import annotations

from collections.abc import Container

from .. import MANIFEST_KEY, RUN_FOLDER
from ..field import Field
from ..targets.local import is_temporary

__all__ = [
    "CLIMBS",
    "DONE",
    "INDEXES",
    "LEASES",
    "MANIFEST_KEY",
    "NEAR_DUPLICATES",
    "QUARANTINE_KEY",
    "QUARANTINE_PARTS",
    "REDUCTIONS",
    "ROOT_KEY",
    "RUN_FOLDER",
    "SPARE_MANIFEST_KEY",
    "STAGES",
    "done_folder",
    "index_key",
    "is_index",
    "is_lease",
    "is_ours",
    "is_part",
    "lease_key",
    "marker_key",
    "quarantine_key",
    "reduction_folder",
    "shard_key",
    "shard_of",
    "stage_folder",
    "stage_key",
    "timeline_key",
]

ROOT_KEY = "zarr.json"
QUARANTINE_KEY = "quarantine.parquet"
SPARE_MANIFEST_KEY = f"{RUN_FOLDER}/manifest-spare.json"

DONE = f"{RUN_FOLDER}/done"
QUARANTINE_PARTS = f"{RUN_FOLDER}/quarantine"
LEASES = f"{RUN_FOLDER}/lease"
STAGES = f"{RUN_FOLDER}/stages"
REDUCTIONS = "reductions"
CLIMBS = "climbs"
NEAR_DUPLICATES = "near_duplicates"
INDEXES = f"{RUN_FOLDER}/index-"
"""Prefix of the keys of indexes, not a folder."""


def shard_key(field: Field, shard: int) -> str:
    """Return the key of one shard of one array.

    >>> shard_key(Field("dhatu", "float32", (9,)), 3)
    'dhatu/c/3/0'
    """
    return "/".join([field.name, "c", str(shard), *("0" for _ in field.shape)])


def stage_folder(stage: str) -> str:
    """Return the folder of a stage's own objects; the first stage has no name.

    >>> stage_folder("distance").removeprefix(stage_folder(""))
    '/stages/distance'
    """
    return f"{STAGES}/{stage}" if stage else RUN_FOLDER


def stage_key(stage: str) -> str:
    """Return the key of what a later stage is computed from."""
    return f"{stage_folder(stage)}/stage.json"


def done_folder(stage: str = "") -> str:
    """Return the folder of the markers of a stage."""
    return f"{stage_folder(stage)}/done"


def marker_key(shard: int, stage: str = "") -> str:
    """Return the key of a shard's marker.

    >>> print(marker_key(3))
    _run/done/00000003.json
    """
    return f"{done_folder(stage)}/{shard:08d}.json"


def quarantine_key(shard: int, stage: str = "") -> str:
    """Return the key of the quarantined rows of a shard."""
    return f"{stage_folder(stage)}/quarantine/{shard:08d}.parquet"


def reduction_folder(name: str) -> str:
    """Return the folder of the result of a reduction."""
    return f"{REDUCTIONS}/{name}"


def lease_key(number: int) -> str:
    """Return the key of a numbered lease."""
    return f"{LEASES}/{number:08d}.json"


def index_key(fingerprint: str) -> str:
    """Return the key of the index that belongs to the manifest of this fingerprint."""
    return f"{INDEXES}{fingerprint[:16]}.json"


def timeline_key(run: int) -> str:
    """Return the key of the timeline of a store's run; runs are counted from 0.

    >>> print(timeline_key(0))
    _run/timeline-0.json
    """
    return f"{RUN_FOLDER}/timeline-{run}.json"


def is_lease(key: str) -> bool:
    """Return whether a key is that of a lease, or of its temporary file."""
    return key.startswith(f"{LEASES}/")


def is_index(key: str) -> bool:
    """Return whether a key is that of an index."""
    return key.startswith(INDEXES)


def is_ours(key: str) -> bool:
    """Return whether a key can belong to a results store; other files are never deleted."""
    top, _, rest = key.partition("/")
    if is_temporary(key) or key in (ROOT_KEY, QUARANTINE_KEY):
        return True
    return top in (RUN_FOLDER, REDUCTIONS) or rest == ROOT_KEY or rest.startswith("c/")


def is_part(key: str, arrays: Container[str]) -> bool:
    """Return whether a key belongs to a store with these arrays, and not to an array of the user's.

    >>> [is_part(key, ["n"]) for key in ("zarr.json", "n/c/0", "mine/c/0", MANIFEST_KEY)]
    [True, True, False, True]
    """
    top, _, rest = key.partition("/")
    return is_ours(key) and (not rest or top in (RUN_FOLDER, REDUCTIONS) or top in arrays)


def shard_of(key: str, fields: Container[str], stage: str = "") -> str | None:
    """Return the part of a key that names its shard in a stage with these fields.

    None if it belongs to the whole store, or to another stage.
    """
    folder, _, rest = key.partition("/c/")
    if folder in fields and rest:
        return rest.split("/")[0]
    own = stage_folder(stage)
    if key.startswith((f"{own}/done/", f"{own}/quarantine/")):
        return key.rsplit("/", 1)[-1].split(".", maxsplit=1)[0]
    return None
