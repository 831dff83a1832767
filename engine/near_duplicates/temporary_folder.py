"""`TemporaryFolder`: a folder that is removed with the object, or when the program ends."""

from __future__ import annotations

import shutil
import tempfile
import weakref


class TemporaryFolder:
    """A new, empty folder.

    Attributes
    ----------
    path : str

    Notes
    -----
    `tempfile.TemporaryDirectory` warns if it is not closed, and results are not closed by users.

    Examples
    --------
    >>> from pathlib import Path
    >>> folder = TemporaryFolder()
    >>> path = Path(folder.path)
    >>> there = path.exists()
    >>> del folder
    >>> there, path.exists()
    (True, False)
    """

    def __init__(self) -> None:
        self.path = tempfile.mkdtemp(prefix="paninifs-near-duplicates-")
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)
