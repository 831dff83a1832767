"""Files and arrays: corpora that are read, and the stores that results are written to.

Knows no cluster, no device and no display. Beside the folders lie only the types that all of them
share: errors, packed text, fields and rows. Imports nothing of `graphs` or `engine`.
"""

from . import errors

__all__ = ["errors"]
