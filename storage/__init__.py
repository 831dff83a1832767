"""Files and arrays: corpora that are read, and the stores that results are written to.

Knows no cluster, no device and no display. Besides the folders it holds only what all of them
share: errors, packed text, fields and rows, and the key that makes a folder a results store.
Imports nothing of `graphs` or `engine`.
"""

from . import errors

RUN_FOLDER = "_run"
"""Folder of a results store that holds everything but its arrays and their metadata."""

MANIFEST_KEY = f"{RUN_FOLDER}/manifest.json"
"""Key that makes a folder a results store. `store` writes it and `corpus` leaves folders that have
it out of a corpus; neither may import the other's side of the rule, so it is defined here. All
other keys are in `store.keys`."""

__all__ = ["MANIFEST_KEY", "RUN_FOLDER", "errors"]
