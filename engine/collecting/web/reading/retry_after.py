"""`retry_after`: parses the header `Retry-After`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_SECONDS = re.compile(r"[0-9]{1,18}", re.ASCII)
_LONGEST_TEXT = 100


def retry_after(text: str | None, now: datetime) -> float | None:
    """Return the seconds that a `Retry-After` header asks for; None if it is not valid.

    Parameters
    ----------
    text
        The header: a number of seconds, or a date of HTTP; None if there is none.
    now
        The time from which a date counts: the server's `Date`, or this machine's time.

    Returns
    -------
    float or None
        Not negative. The caller limits how long it waits.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> retry_after("120", noon), retry_after("Thu, 01 Jan 2026 12:00:05 GMT", noon)
    (120.0, 5.0)
    >>> retry_after("soon", noon), retry_after("-5", noon)
    (None, None)
    """
    if text is None or len(text) > _LONGEST_TEXT:
        return None
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    date = http_date(text)
    return None if date is None else max(0.0, (date - now).total_seconds())


def http_date(text: str | None) -> datetime | None:
    """Parse an HTTP date, as UTC; None if it is not valid."""
    if text is None or len(text) > _LONGEST_TEXT:
        return None
    try:
        date = parsedate_to_datetime(text)
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
