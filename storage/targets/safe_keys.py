"""`confined`: the check that the key of an object stays inside its target's folder.

Keys can come from untrusted sources: markers, manifests, the listing of a bucket. Which keys a
results store has is in `store.keys`.
"""

from __future__ import annotations

import re

from ..errors import UnsafeKey

_UNSAFE = re.compile(
    r"""
      (?:^|/)\.\.?(?:/|$)   # a parent folder, or the folder itself
    | ^/ | //              # an absolute path, or what a URL may take for one
    | ^[A-Za-z]:           # a Windows drive
    | [\\\0]               # the Windows separator; the end of a C string
    """,
    re.VERBOSE,
)


def confined(key: str, folder: str) -> str:
    """Return a key unchanged if it stays within a folder; the empty key is the folder itself.

    Parameters
    ----------
    key : str
        Names separated by slashes.
    folder : str
        Path or URL of the folder, for the message.

    Raises
    ------
    UnsafeKey
        The key could lead out of the folder; nothing was accessed.

    Examples
    --------
    >>> confined("dhatu/c/0/0", "results.zarr")
    'dhatu/c/0/0'
    >>> confined("../notes.txt", "results.zarr")
    Traceback (most recent call last):
    paninifs.storage.errors.UnsafeKey: '../notes.txt' cannot name an object in results.zarr: ...
    """
    if _UNSAFE.search(key):
        raise UnsafeKey(
            f"{key!r} cannot name an object in {folder}: it leads out of the folder. Nothing was "
            "read or written. This engine never writes such keys, so do not trust the store, its "
            "mirror or its markers; make the store again from the corpus"
        )
    return key
