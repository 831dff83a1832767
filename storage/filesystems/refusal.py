"""What a place refuses and would refuse again: no room, no permission, nowhere to write.

`patience` knows what passes by waiting; this is what a user has to mend.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import PaniniError, StorageRefused
from .redaction import presentable, scrubbed
from .retry import status_of

_NO_ROOM = "there is no room left", "make room there, or choose another place"
_NO_QUOTA = "the quota is used up", "free some of it, or choose another place"
_DENIED = "permission is denied", "change its permissions, or choose another place"
_READ_ONLY = "the place is read-only", "mount it for writing, or choose another place"
_NO_FOLDER = "what should be a folder is none", "choose another place"
_CIRCLE = "its links lead in a circle", "name the file itself"
_TOO_LONG = "the name is too long", "choose a shorter one"

_BY_ERRNO = {
    errno.ENOSPC: _NO_ROOM,
    errno.EDQUOT: _NO_QUOTA,
    errno.EROFS: _READ_ONLY,
    errno.ENOTDIR: _NO_FOLDER,
    errno.EEXIST: _NO_FOLDER,  # of a folder that is to be made; objects are asked for otherwise
    errno.ELOOP: _CIRCLE,
    errno.ENAMETOOLONG: _TOO_LONG,
}
_BY_STATUS = {401: _DENIED, 403: _DENIED, 507: _NO_ROOM}
_QUOTA_REASONS = ("storageQuotaExceeded", "quotaExceeded")  # Google says 403 to them


@contextmanager
def refusals(doing: str) -> Iterator[None]:
    """Around a call to a storage: what it refuses for good is a `StorageRefused` that says so.

    Parameters
    ----------
    doing : str
        What is being done and to what, for messages, as in `patience.patiently`.

    Raises
    ------
    StorageRefused
        The first failure is chained.

    Examples
    --------
    >>> try:
    ...     with refusals("writing /mnt/a"):
    ...         raise OSError(28, "No space left on device")
    ... except StorageRefused as error:
    ...     print(str(error)[:82])
    writing /mnt/a was refused: there is no room left ([Errno 28] No space left on dev
    """
    try:
        yield
    except PaniniError:
        raise
    except Exception as error:
        found = _known(error)
        if found is None:
            raise
        why, remedy = found
        raise StorageRefused(
            f"{doing} was refused: {why} ({scrubbed(str(error))}). {remedy.capitalize()}. Whatever "
            "is finished is kept: run again to go on"
        ) from presentable(error)


def _known(error: Exception) -> tuple[str, str] | None:
    if any(reason in str(error) for reason in _QUOTA_REASONS):
        return _NO_QUOTA
    if isinstance(error, PermissionError):  # not every filesystem gives it a number
        return _DENIED
    if isinstance(error, OSError) and error.errno is not None:
        return _BY_ERRNO.get(error.errno)
    if isinstance(error, OSError) and str(error).startswith("Forbidden: "):  # gcsfs's 403
        return _DENIED
    return _BY_STATUS.get(status_of(error) or 0)
