"""Files and arrays: corpora that are read, and the stores that results are written to.

Nothing here depends on clusters, devices or displays. Outside its folders, this package holds only
what several of them share: errors, names in messages, packed text, fields, rows, dialects, and the
key that makes a folder a results store. Imports run one way: store > corpus | targets > formats >
rows > cleaning | filesystems > field > kinds > text | messages > errors. Modules here import
nothing from `graphs` or `engine`.
"""

from . import errors

RUN_FOLDER = "_run"
"""Folder of a results store that holds everything but its arrays and their metadata."""

MANIFEST_KEY = f"{RUN_FOLDER}/manifest.json"
"""Key that makes a folder a results store. `store` writes it, and `corpus` skips folders that have
it. It is defined here because `corpus` may not import `store`. All other keys are in
`store.keys`."""

COLLECTION_FOLDER = "_collection"
"""Folder of a collected corpus that holds its ledger and what describes it. `engine.collecting`
writes it, and `corpus` leaves it out without a note."""

COLLECTION_KEY = f"{COLLECTION_FOLDER}/corpus.json"
"""Key that makes a folder a collected corpus."""

__all__ = ["COLLECTION_FOLDER", "COLLECTION_KEY", "MANIFEST_KEY", "RUN_FOLDER", "errors"]
