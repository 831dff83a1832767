"""What is done about storage failures: those that may pass are retried, others get a remedy.

`retried` repeats a call while it fails transiently, for a bounded time: a network, a rate limit, a
mounted Drive that dropped out. `permanent_errors` turns what only a user can fix, such as a full
disk or a missing permission, into a `StorageRefused` with a remedy. Any other failure, such as a
missing file, is left to the caller. Which failure is of which kind is decided in `failures`, and
which parts of an error may be shown in `redaction`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import tenacity

from ..errors import PaniniError, StorageRefused, StorageUnreachable, UsageError
from .failures import FULL, is_transient, permanent_failure, status_of, unmasked
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
        actual = unmasked(error)  # first, because what is presentable has no cause
        failure = presentable(actual)
        if failure is error:
            raise
        if isinstance(failure, StandIn):
            failure.status = status_of(actual)  # `permanent_errors` recognizes it by this
    raise failure  # outside the handlers: inside, the original error would become its context


def _unreachable(operation: str, seconds: float, attempt: tenacity.Future) -> StorageUnreachable:
    last = unmasked(attempt.exception() or OSError("no answer"))
    why = scrubbed(f"{type(last).__name__}: {last}")
    failure = StorageUnreachable(
        f"{scrubbed(operation)} failed for {seconds:.0f} s ({attempt.attempt_number} attempts), "
        f"last with {why}. Finished work is kept: run again to resume, once the storage is "
        "reachable"
    )
    failure.__cause__ = presentable(last)
    return failure


def _log_failure(operation: str, state: tenacity.RetryCallState) -> None:
    failure = state.outcome.exception() if state.outcome else None
    error = failure and unmasked(failure)
    # A single failure does not matter to users; repeated ones are why a run seems to hang.
    level = logging.WARNING if state.attempt_number > QUIET_ATTEMPTS else logging.INFO
    why = scrubbed(f"{type(error).__name__}: {error}")
    _log.log(level, "%s failed, retrying: %s", scrubbed(operation), why)


def retry_seconds() -> float:
    """Return how long a transient failure is retried, in seconds: as set, or `RETRY_SECONDS`."""
    value = os.environ.get(RETRY_SECONDS_VARIABLE) or str(RETRY_SECONDS)
    with suppress(ValueError):
        seconds = float(value)
        if 0 <= seconds < float("inf"):
            return seconds
    raise UsageError(
        f"{RETRY_SECONDS_VARIABLE} must be a non-negative number of seconds, not {value!r}"
    )


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
        permanent = permanent_failure(error)
        if permanent is None:
            raise
        refusal = StorageRefused(
            f"{operation} was refused: {permanent.why} ({scrubbed(str(unmasked(error)))}). "
            f"{permanent.remedy.capitalize()}. Finished work is kept: run again to resume"
        )
        refusal.full = permanent in FULL
        raise refusal from presentable(unmasked(error))
