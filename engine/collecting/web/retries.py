"""`Retries`: retries transient failures, and pauses hosts that ask for it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..outcome import TRANSIENT, NotKept
from .reading.refusals import Refused
from .request_policy import RequestPolicy

_Result = TypeVar("_Result")

_LONGEST_BACKOFF = 60.0

_LENGTHY = {"timeout", "too-slow", "truncated"}
"""Reasons for which the duration of the attempt counts against the policy's patience."""


class Retries:
    """Retries requests with exponential backoff and random waits ("full jitter").

    Parameters
    ----------
    policy
        How often, and for how long.
    pause
        Called with the name of a host and the seconds for which it asked to be left alone.
    sleep, chance, clock
        For tests: waits; returns a number between two; returns the time in seconds.
    """

    def __init__(
        self,
        policy: RequestPolicy,
        pause: Callable[[str, float], Awaitable[None]],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[float, float], float] = random.uniform,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._pause = pause
        self._sleep = sleep
        self._chance = chance
        self._clock = clock

    async def retried(self, host: str, attempt: Callable[[], Awaitable[_Result]]) -> _Result:
        """Return the result of the first attempt that has one.

        Raises
        ------
        NotKept
            The last refusal, if it is not transient, or tries or patience are exhausted.
        """
        waited = 0.0
        for tried in range(1, self._policy.tries + 1):
            begun = self._clock()
            try:
                return await attempt()
            except NotKept as refusal:
                wait = self._wait(tried, refusal)
                if isinstance(refusal, Refused) and (refusal.wait or refusal.reason == "busy"):
                    await self._pause(host, wait)
                    own = 0.0  # the pause is waited for at the host's next turn
                else:
                    own = wait
                waited += wait + (self._clock() - begun if refusal.reason in _LENGTHY else 0.0)
                over = tried == self._policy.tries or waited > self._policy.patience
                if over or refusal.reason not in TRANSIENT or _is_the_pause(refusal):
                    raise
                await self._sleep(own)
        raise AssertionError("there is at least one try")

    def _wait(self, tried: int, refusal: NotKept) -> float:
        most = min(_LONGEST_BACKOFF, self._policy.backoff_seconds * 2 ** (tried - 1))
        asked = refusal.wait if isinstance(refusal, Refused) else None
        # A server's pause is only a minimum, or all refused requests would be sent at once.
        return (asked or 0.0) + self._chance(0.0, most)


def _is_the_pause(refusal: NotKept) -> bool:
    """Return whether the host was not asked because its pause is longer than the patience."""
    return refusal.reason == "busy" and not isinstance(refusal, Refused)
