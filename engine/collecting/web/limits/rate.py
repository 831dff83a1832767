"""`Rate`: how many requests a window may hold, and when the next one is due. Pure arithmetic.

A token bucket lets up to twice the limit through around a refill, and even spacing loses time with
every late wake-up. Instead, a request is due when the N-th last one was sent a whole window ago,
where N is the number of requests per window: no window of that length, wherever it begins, holds
more than N. Requests are also spaced within the window, but less than evenly, so that late ones are
caught up with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MOST_REQUESTS = 100
"""Maximum requests per window: higher rates get shorter windows."""

MARGIN = 0.008
"""Share by which windows are longer than the limit requires, out of the 1 % by which a rate may be
below it. It compensates for networks, which delay some requests more than others: a server sees
windows shrink by the difference."""

CREDIT = 0.003
"""Share of a window by which a request may be late without delaying later ones. Taken from
the margin."""

_SPACING, _CATCHING_UP = 0.75, 0.2
"""Minimum spacing of requests, as a share of even spacing: usually, and while earlier ones were a
little late."""

_A_LITTLE = 0.25
"""Share of a window above which a delay counts as a lack of requests, not as lateness."""


@dataclass(frozen=True)
class Rate:
    """A maximum number of requests in any window of a given length in seconds."""

    requests: int
    seconds: float

    @classmethod
    def per_second(cls, requests: float) -> Rate:
        """Return the rate that holds a number of requests per second.

        Windows are one second long where the number is whole, and shorter or longer otherwise.

        Raises
        ------
        ValueError
            The number is not positive and finite.

        Examples
        --------
        >>> Rate.per_second(20), Rate.per_second(1 / 3)
        (Rate(requests=20, seconds=1.0), Rate(requests=1, seconds=3.0))
        """
        if not 0 < requests < math.inf:
            raise ValueError(f"requests per second must be positive, not {requests!r}")
        most = min(max(1, math.floor(requests)), MOST_REQUESTS)
        return cls(most, most / requests)

    @property
    def window(self) -> float:
        """Seconds in which at most `requests` are sent, the margin included."""
        return self.seconds * (1 + MARGIN)

    @property
    def interval(self) -> float:
        """Seconds between two requests that are sent evenly."""
        return self.seconds / self.requests


def due(sent: Sequence[float], rate: Rate) -> float:
    """Return the earliest time at which another request may be sent.

    Parameters
    ----------
    sent
        The times at which requests were sent, ascending, in seconds; at least the last
        ``rate.requests + 1`` of them, if there were as many.
    rate
        The host's limit.

    Returns
    -------
    float
        Minus infinity if nothing was sent.

    Examples
    --------
    >>> round(due([0.0, 0.4], Rate(2, 1.0)), 3), due([], Rate(2, 1.0))
    (1.008, -inf)
    """
    if not sent:
        return -math.inf
    most = rate.requests
    if len(sent) < most:
        return sent[-1] + _SPACING * rate.interval
    late = sent[-1] - sent[-most - 1] - rate.window if len(sent) > most else math.inf
    spacing = _CATCHING_UP if late < _A_LITTLE * rate.seconds else _SPACING
    return max(sent[-1] + spacing * rate.interval, sent[-most] + rate.window)


def counted(now: float, was_due: float, rate: Rate) -> float:
    """Return the time at which a request counts as sent, for what is due after it.

    Parameters
    ----------
    now
        When it is sent.
    was_due
        When it could have been sent.
    rate
        The host's limit.

    Examples
    --------
    >>> counted(10.001, 10.0, Rate(1, 3.0)), round(counted(11.0, 10.0, Rate(1, 3.0)), 3)
    (10.0, 10.991)
    """
    return min(now, max(was_due, now - CREDIT * rate.seconds))
