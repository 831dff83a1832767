"""`patiently`: a call to a storage, repeated while what it meets may pass, for a bounded time.

Which failures pass is decided here and nowhere else: a network, a quota, a mounted Drive that
dropped out. A missing file, a full disk or a refused permission does not pass by waiting.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from typing import Any, TypeVar

import tenacity

from ..errors import StorageUnreachable, UsageError
from .redaction import StandIn, presentable, scrubbed

T = TypeVar("T")

_log = logging.getLogger(__name__)

PATIENCE = "PANINIFS_PATIENCE"
"""The environment variable that says how many seconds a failing storage is waited for."""

PATIENCE_SECONDS = 120.0
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 15.0

_PASSING_ERRNOS = frozenset(
    {
        errno.EIO,  # what a mounted Drive says of anything
        errno.ENOTCONN,  # a FUSE mount whose process is gone
        errno.ESTALE,
        errno.EAGAIN,
        errno.EBUSY,
        errno.EINTR,
        errno.ETIMEDOUT,
        errno.EPIPE,
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETRESET,
        errno.ENETUNREACH,
    }
)
_PASSING_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
_QUOTA_REASONS = ("rateLimitExceeded", "userRateLimitExceeded")  # Drive says 403 to them
_PASSING_KINDS = frozenset(
    {
        # By name, so that nothing is imported that the place at hand has no need of. They are what
        # the clients raise when no answer came, or half of one.
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


def is_passing(error: BaseException) -> bool:
    """Whether the same call may well succeed a little later.

    >>> is_passing(OSError(5, "Input/output error")), is_passing(FileNotFoundError("a.txt"))
    (True, False)
    """
    if isinstance(error, TimeoutError | ConnectionError):
        return True
    status = status_of(error)
    if status is not None:
        return status in _PASSING_STATUSES or (
            status == 403 and any(reason in str(error) for reason in _QUOTA_REASONS)
        )
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _PASSING_ERRNOS
    kinds = {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(error).__mro__}
    return bool(kinds & _PASSING_KINDS)


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status that an error of gcsfs, aiohttp, requests or Google's client has."""
    response: Any = getattr(error, "resp", None) or getattr(error, "response", None)
    for holder, name in (
        (error, "status"),  # aiohttp's, whose `code` warns
        (error, "code"),
        (response, "status"),
        (response, "status_code"),
    ):
        said = getattr(holder, name, None)
        if isinstance(said, int | str) and str(said).isdigit():
            return int(said)
    return None


def patiently(doing: str, call: Callable[[], T]) -> T:
    """Return what `call` returns, calling it again while it fails in a way that may pass.

    The waits grow from half a second to a quarter of a minute, with some chance in them, so that
    the workers of a cluster do not all come back at once.

    Parameters
    ----------
    doing : str
        What is being done and to what, for messages: ``"reading gs://bucket/a.parquet"``.

    Raises
    ------
    StorageUnreachable
        It still failed when `PATIENCE_SECONDS` (or as many as the environment variable
        ``PANINIFS_PATIENCE`` says) had gone by. The last failure is chained.
    Exception
        It failed in a way that does not pass. Neither this nor a failure that is chained tells of a
        password or a signature in a URL.
    """
    seconds = patience_seconds()
    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_passing),
        wait=tenacity.wait_random_exponential(
            multiplier=FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS
        ),
        # Twice at least: a single upload may take longer than that, and then be cut off.
        stop=tenacity.stop_all(tenacity.stop_after_delay(seconds), tenacity.stop_after_attempt(2)),
        before_sleep=lambda state: _tell(doing, state),
    )
    try:
        return attempts(call)
    except tenacity.RetryError as given_up:
        failure: BaseException = _given_up(doing, seconds, given_up.last_attempt)
    except Exception as error:
        failure = presentable(error)
        if failure is error:
            raise
        if isinstance(failure, StandIn):
            failure.status = status_of(error)  # by which `refusal` knows what it is
    raise failure  # here, for what is raised above has the failure as it was for its context


def _given_up(doing: str, seconds: float, attempt: tenacity.Future) -> StorageUnreachable:
    last = attempt.exception()
    why = scrubbed(f"{type(last).__name__}: {last}")
    failure = StorageUnreachable(
        f"{scrubbed(doing)} failed for {seconds:.0f} s ({attempt.attempt_number} times), last with "
        f"{why}. Whatever is finished is kept: once the place can be reached again, run again to "
        "go on"
    )
    failure.__cause__ = last and presentable(last)
    return failure


def patience_seconds() -> float:
    """Return how long a failing place is waited for, as the user says."""
    said = os.environ.get(PATIENCE, str(PATIENCE_SECONDS))
    try:
        return float(said)
    except ValueError as error:
        raise UsageError(f"{PATIENCE} is a number of seconds, not {said!r}") from error


def _tell(doing: str, state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    # A single failure is nobody's business; one that lasts is why nothing seems to happen.
    level = logging.WARNING if state.attempt_number > 3 else logging.INFO
    why = scrubbed(f"{type(error).__name__}: {error}")
    _log.log(level, "%s failed, trying again: %s", scrubbed(doing), why)
