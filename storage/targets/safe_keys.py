"""`confined`: the one rule of what a store's object may be called, so that none leaves its folder.

Keys come from places that anybody may have written: markers, manifests, the listing of a bucket.
"""

from __future__ import annotations

import re

from ..errors import UnsafeKey

_UNSAFE = re.compile(
    r"""
      (?:^|/)\.\.?(?:/|$)   # a step up, or none
    | ^/ | //              # from the root of the disk; or of what a URL may take for one
    | ^[A-Za-z]:           # a drive of Windows
    | [\\\0]               # its other separator; where C ends a string
    """,
    re.VERBOSE,
)


def confined(key: str, place: str) -> str:
    """Return a key, or the empty one of the folder itself, that stays within a place.

    Parameters
    ----------
    key : str
        Names separated by slashes.
    place : str
        What the user calls the place, for the message.

    Raises
    ------
    UnsafeKey
        It could lead elsewhere; nothing was touched.

    Examples
    --------
    >>> confined("dhatu/c/0/0", "results.zarr")
    'dhatu/c/0/0'
    >>> confined("../notes.txt", "results.zarr")
    Traceback (most recent call last):
    paninifs.storage.errors.UnsafeKey: '../notes.txt' is no name of an object in results.zarr: ...
    """
    if _UNSAFE.search(key):
        raise UnsafeKey(
            f"{key!r} is no name of an object in {place}: it leads out of the folder, and nothing "
            "was read or written. This engine gives no such names: whoever wrote the store, its "
            "mirror or its markers is not to be trusted; make the store anew from the corpus"
        )
    return key
