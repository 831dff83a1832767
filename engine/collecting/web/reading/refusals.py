"""Reasons for which an answer is not used, from its status or from the client's exception."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .....storage.errors import PaniniError
from ...outcome import NotKept
from .retry_after import http_date, retry_after
from .shown_text import shown

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

_BLANKS = re.compile(r"\s+")


class Refused(NotKept):
    """A server answered with a status other than the expected ones.

    Attributes
    ----------
    status : int
    wait : float or None
        Seconds for which it asks to be left alone.
    """

    def __init__(self, reason: str, status: int, wait: float | None = None) -> None:
        super().__init__(reason, f"status {status}")
        self.status = status
        self.wait = wait


_REASONS = {
    204: "no-text",
    205: "no-text",
    401: "forbidden",
    402: "forbidden",
    403: "forbidden",
    404: "not-found",
    407: "forbidden",
    408: "timeout",
    410: "not-found",
    429: "busy",
    451: "forbidden",
    501: "bad-status",
    503: "busy",
    505: "bad-status",
}


def refusal(status: int, headers: CIMultiDictProxy[str]) -> Refused:
    """Return the reason for which an answer with this status is not used."""
    reason = _REASONS.get(status, "server-error" if 500 <= status <= 599 else "bad-status")
    wait = None
    if reason in {"busy", "server-error"}:
        # Measured by the server's clock, if it sends its time: ours may be wrong.
        now = http_date(headers.get("Date")) or datetime.now(UTC)
        wait = retry_after(headers.get("Retry-After"), now)
    return Refused(reason, status, wait)


@contextmanager
def translated() -> Iterator[None]:
    """Turn aiohttp's exceptions into `NotKept`. Our own errors and bugs pass."""
    import aiohttp

    try:
        yield
    except PaniniError:
        raise
    except (TimeoutError, OSError, aiohttp.ClientError, aiohttp.http.HttpProcessingError) as error:
        reason = _reason_of(error)
        raise NotKept(reason, _words(error)) from error


def _reason_of(error: Exception) -> str:
    import aiohttp

    table: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
        (TimeoutError, "timeout"),  # aiohttp's own too
        ((ssl.SSLError, aiohttp.ClientSSLError), "tls"),
        (_dns_error(), "unknown-host"),
        (aiohttp.InvalidURL, "bad-url"),
        (aiohttp.ClientPayloadError, _of_payload(error)),
        ((aiohttp.ClientResponseError, aiohttp.http.HttpProcessingError), "bad-headers"),
    )
    for kind, reason in table:
        if isinstance(error, kind):
            return reason
    return "unreachable"


def _dns_error() -> type[Exception]:
    import aiohttp

    found: type[Exception] = aiohttp.ClientConnectorDNSError
    return found


def _of_payload(error: Exception) -> str:
    """Return the reason for an unusable body: it ended early, or its chunks are malformed."""
    cause: BaseException | None = error
    while cause is not None:
        if type(cause).__name__ in {"TransferEncodingError", "BadHttpMessage"}:
            ended = "Not enough data" in str(cause)
            return "truncated" if ended else "bad-headers"
        cause = cause.__cause__
    return "truncated"


def _words(error: BaseException) -> str:
    """Return an exception's message, shortened and on one line."""
    return shown(_BLANKS.sub(" ", str(error)).strip() or type(error).__name__)
