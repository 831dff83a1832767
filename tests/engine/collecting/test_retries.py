"""When requests are tried again, after which waits, and when no more."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from paninifs.engine.collecting.outcome import FAILED, TRANSIENT, NotKept
from paninifs.engine.collecting.web.reading.refusals import Refused
from paninifs.engine.collecting.web.request_policy import RequestPolicy
from paninifs.engine.collecting.web.retries import Retries


def attempts(refusals, longest=True, each=0.0, **words):
    """Return what became of attempts that are refused, and the waits and pauses between them."""
    now, waits, pauses, left = [0.0], [], [], list(refusals)

    async def sleep(seconds):
        waits.append(seconds)
        now[0] += seconds

    async def pause(host, seconds):
        pauses.append(seconds)

    async def attempt():
        now[0] += each
        if left:
            raise left.pop(0)
        return "answer"

    retries = Retries(
        RequestPolicy(**words), pause, sleep, lambda a, b: b if longest else a, lambda: now[0]
    )
    try:
        found = asyncio.run(retries.retried("host", attempt))
    except NotKept as refusal:
        found = refusal
    return found, waits, pauses, len(left)


def test_waits_double_at_most():
    found, waits, _, _ = attempts([NotKept("timeout")] * 4)
    assert (found, waits) == ("answer", [1.0, 2.0, 4.0, 8.0])
    assert attempts([NotKept("timeout")] * 4, longest=False)[1] == [0.0] * 4


def test_no_wait_is_longer_than_a_minute():
    _, waits, _, _ = attempts([NotKept("timeout")] * 9, tries=10, patience=1e4)
    assert max(waits) == 60.0


@given(st.lists(st.sampled_from(sorted(FAILED)), max_size=8))
def test_only_what_passes_is_tried_again(reasons):
    found, _, _, left = attempts([NotKept(reason) for reason in reasons], tries=20)
    first = next((i for i, reason in enumerate(reasons) if _ends(reason)), None)
    if first is None:
        assert found == "answer"
    else:
        assert (found.reason, left) == (reasons[first], len(reasons) - first - 1)


def _ends(reason):
    return reason not in TRANSIENT or reason == "busy"  # of our own making: a pause for too long


def test_hosts_are_paused_for_as_long_as_they_ask():
    found, waits, pauses, _ = attempts([Refused("busy", 429, 30.0)], longest=False)
    assert (found, waits, pauses) == ("answer", [0.0], [30.0])
    found, _, pauses, _ = attempts([Refused("busy", 429, 301.0), NotKept("timeout")])
    assert (found.reason, pauses) == ("busy", [302.0])


def test_patience_counts_what_slow_answers_take():
    found, _, _, left = attempts([NotKept("too-slow")] * 4, each=200.0)
    assert (found.reason, left) == ("too-slow", 2)
