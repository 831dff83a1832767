"""Storage failures: which ones are transient and retried, and which ones retrying cannot fix.

`retried` repeats a call while it fails transiently, for a bounded time: a network, a rate limit, a
mounted Drive that dropped out. `permanent_errors` turns what only a user can fix, such as a full
disk or a missing permission, into a `StorageRefused` with a remedy. Any other failure, such as a
missing file, is left to the caller. Which parts of an error may be shown is decided in `redaction`.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal, NamedTuple, TypeVar

import tenacity

from ..errors import PaniniError, StorageRefused, StorageUnreachable, UsageError
from .redaction import StandIn, presentable, scrubbed

T = TypeVar("T")

_log = logging.getLogger(__name__)

RETRY_SECONDS_VARIABLE = "PANINIFS_PATIENCE"
"""Environment variable that overrides `RETRY_SECONDS`."""

RETRY_SECONDS = 120.0
"""Seconds for which a transient failure is retried."""

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 15.0
QUIET_ATTEMPTS = 3
"""Number of failed attempts that are logged at level INFO; later ones are warnings."""


# --- what a failure means -------------------------------------------------------------------------


class Permanent(NamedTuple):
    """A failure that retrying cannot fix."""

    why: str
    remedy: str


Meaning = Permanent | Literal["transient"]

_TRANSIENT: Final = "transient"
_NO_SPACE = Permanent("no space is left", "free some space, or choose another location")
_NO_QUOTA = Permanent("the quota is used up", "free some of it, or choose another location")
_DENIED = Permanent("permission is denied", "change the permissions, or choose another location")
_READ_ONLY = Permanent(
    "the filesystem is read-only", "mount it for writing, or choose another location"
)
_NO_FOLDER = Permanent("a file is where a folder should be", "choose another location")
_LINK_LOOP = Permanent("its symbolic links form a loop", "name the file itself")
_TOO_LONG = Permanent("the name is too long", "choose a shorter one")

_ERRNOS: dict[int, Meaning] = {
    errno.EIO: _TRANSIENT,  # what a mounted Drive raises for any failure
    errno.ENOTCONN: _TRANSIENT,  # a FUSE mount whose process is gone
    errno.ESTALE: _TRANSIENT,
    errno.EAGAIN: _TRANSIENT,
    errno.EBUSY: _TRANSIENT,
    errno.EINTR: _TRANSIENT,
    errno.ETIMEDOUT: _TRANSIENT,
    errno.EPIPE: _TRANSIENT,
    errno.ECONNABORTED: _TRANSIENT,
    errno.ECONNREFUSED: _TRANSIENT,
    errno.ECONNRESET: _TRANSIENT,
    errno.EHOSTDOWN: _TRANSIENT,
    errno.EHOSTUNREACH: _TRANSIENT,
    errno.ENETDOWN: _TRANSIENT,
    errno.ENETRESET: _TRANSIENT,
    errno.ENETUNREACH: _TRANSIENT,
    errno.ENOSPC: _NO_SPACE,
    errno.EDQUOT: _NO_QUOTA,
    errno.EROFS: _READ_ONLY,
    errno.ENOTDIR: _NO_FOLDER,
    errno.EEXIST: _NO_FOLDER,  # from making a folder; making an object reports it otherwise
    errno.ELOOP: _LINK_LOOP,
    errno.ENAMETOOLONG: _TOO_LONG,
}
_STATUSES: dict[int, Meaning] = {
    401: _DENIED,
    403: _DENIED,  # unless it gives one of the reasons below
    408: _TRANSIENT,
    429: _TRANSIENT,
    500: _TRANSIENT,
    502: _TRANSIENT,
    503: _TRANSIENT,
    504: _TRANSIENT,
    507: _NO_SPACE,
}
_REASONS: dict[str, Meaning] = {
    # Google answers all of them with status 403.
    "rateLimitExceeded": _TRANSIENT,
    "userRateLimitExceeded": _TRANSIENT,
    "storageQuotaExceeded": _NO_QUOTA,
    "quotaExceeded": _NO_QUOTA,
}
_TRANSIENT_CLASSES = frozenset(
    {
        # Top-level package and class, by name, to avoid importing clients that the filesystem does
        # not need. The clients raise these errors when an answer is missing or incomplete.
        ("aiohttp", "ClientError"),
        ("gcsfs", "ChecksumError"),
        ("google", "RefreshError"),
        ("google", "TransportError"),
        ("http", "HTTPException"),
        ("httplib2", "HttpLib2Error"),
        ("requests", "RequestException"),
        ("urllib3", "HTTPError"),
    }
)


def is_transient(error: BaseException) -> bool:
    """Return whether the same call may succeed a little later.

    >>> is_transient(OSError(5, "Input/output error")), is_transient(FileNotFoundError("a.txt"))
    (True, False)
    """
    if isinstance(error, TimeoutError | ConnectionError):
        return True
    status = status_of(error)
    if status is not None:
        limited = status == 403 and _reason(error, transient=True) is not None
        return limited or _STATUSES.get(status) == _TRANSIENT
    if isinstance(error, OSError) and error.errno is not None:
        return _ERRNOS.get(error.errno) == _TRANSIENT
    classes = {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(error).__mro__}
    return bool(classes & _TRANSIENT_CLASSES)


def _permanent(error: Exception) -> Permanent | None:
    """Return why retrying cannot fix a failure; None if it may be transient or is unknown."""
    meaning = _reason(error, transient=False) or _meaning(error)
    return meaning if isinstance(meaning, Permanent) else None


def _meaning(error: Exception) -> Meaning | None:
    if isinstance(error, PermissionError):  # not every filesystem sets its errno
        return _DENIED
    if isinstance(error, OSError) and error.errno is not None:
        return _ERRNOS.get(error.errno)
    if isinstance(error, OSError) and str(error).startswith("Forbidden: "):  # gcsfs's 403
        return _DENIED
    return _STATUSES.get(status_of(error) or 0)


def _reason(error: BaseException, *, transient: bool) -> Meaning | None:
    """Return the meaning of the reason in Google's answer, if it has one of the given kind."""
    for reason, meaning in _REASONS.items():
        if (meaning == _TRANSIENT) is transient and reason in str(error):
            return meaning
    return None


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status of an error of gcsfs, aiohttp, requests or Google's client."""
    response: Any = getattr(error, "resp", None) or getattr(error, "response", None)
    for holder, name in (
        (error, "status"),  # aiohttp's, whose `code` warns
        (error, "code"),
        (response, "status"),
        (response, "status_code"),
    ):
        status = getattr(holder, name, None)
        if isinstance(status, int | str) and str(status).isdigit():
            return int(status)
    return None


# --- calls ----------------------------------------------------------------------------------------


def retried(operation: str, call: Callable[[], T]) -> T:
    """Return what `call` returns, calling it again while it fails transiently.

    The waits grow from half a second to a quarter of a minute, with a random part, so that the
    workers of a cluster do not all retry at the same moment.

    Parameters
    ----------
    operation : str
        The operation and its object, for messages: ``"reading gs://bucket/a.parquet"``.

    Raises
    ------
    StorageUnreachable
        It still failed after `RETRY_SECONDS` (or the seconds that the environment variable
        ``PANINIFS_PATIENCE`` sets). The last failure is chained.
    Exception
        It failed in a way that is not transient. Neither this error nor a chained one contains a
        password or a signature of a URL.
    """
    seconds = retry_seconds()
    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_transient),
        wait=tenacity.wait_random_exponential(
            multiplier=FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS
        ),
        # At least twice: a single upload may take longer than this, and then be cut off.
        stop=tenacity.stop_all(tenacity.stop_after_delay(seconds), tenacity.stop_after_attempt(2)),
        before_sleep=lambda state: _log_failure(operation, state),
    )
    try:
        return attempts(call)
    except tenacity.RetryError as last:
        failure: BaseException = _unreachable(operation, seconds, last.last_attempt)
    except Exception as error:
        failure = presentable(error)
        if failure is error:
            raise
        if isinstance(failure, StandIn):
            failure.status = status_of(error)  # `permanent_errors` recognizes it by this
    raise failure  # outside the handlers: inside, the original error would become its context


def _unreachable(operation: str, seconds: float, attempt: tenacity.Future) -> StorageUnreachable:
    last = attempt.exception()
    why = scrubbed(f"{type(last).__name__}: {last}")
    failure = StorageUnreachable(
        f"{scrubbed(operation)} failed for {seconds:.0f} s ({attempt.attempt_number} attempts), "
        f"last with {why}. Finished work is kept: run again to resume, once the storage is "
        "reachable"
    )
    failure.__cause__ = last and presentable(last)
    return failure


def _log_failure(operation: str, state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    # A single failure does not matter to users; repeated ones are why a run seems to hang.
    level = logging.WARNING if state.attempt_number > QUIET_ATTEMPTS else logging.INFO
    why = scrubbed(f"{type(error).__name__}: {error}")
    _log.log(level, "%s failed, retrying: %s", scrubbed(operation), why)


def retry_seconds() -> float:
    """Return how long a transient failure is retried, in seconds: as set, or `RETRY_SECONDS`."""
    value = os.environ.get(RETRY_SECONDS_VARIABLE, str(RETRY_SECONDS))
    try:
        return float(value)
    except ValueError as error:
        raise UsageError(
            f"{RETRY_SECONDS_VARIABLE} must be a number of seconds, not {value!r}"
        ) from error


@contextmanager
def permanent_errors(operation: str) -> Iterator[None]:
    """Raise `StorageRefused`, with a remedy, for failures that retrying cannot fix.

    Parameters
    ----------
    operation : str
        The operation and its object, for messages, as in `retried`.

    Raises
    ------
    StorageRefused
        The failure is chained.

    Examples
    --------
    >>> try:
    ...     with permanent_errors("writing /mnt/a"):
    ...         raise OSError(28, "No space left on device")
    ... except StorageRefused as error:
    ...     print(str(error)[:76])
    writing /mnt/a was refused: no space is left ([Errno 28] No space left on de
    """
    try:
        yield
    except PaniniError:
        raise
    except Exception as error:
        permanent = _permanent(error)
        if permanent is None:
            raise
        raise StorageRefused(
            f"{operation} was refused: {permanent.why} ({scrubbed(str(error))}). "
            f"{permanent.remedy.capitalize()}. Finished work is kept: run again to resume"
        ) from presentable(error)
