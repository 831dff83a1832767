"""The progress of a collection: counts, rates, time left, whom it waits for."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest

from paninifs.engine.monitoring import collect_progress
from paninifs.engine.monitoring.collect_progress import CollectProgress
from paninifs.engine.monitoring.collecting.host_activity import HostActivity


class Clock:
    """Seconds that pass when the test says so."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_counts_are_exact_from_many_threads():
    progress = CollectProgress()

    def work():
        for number in range(2000):
            progress.listed(1)
            progress.received("a.example", 3)
            progress.decided(*(("kept",) if number % 2 else ("skipped", "duplicate")))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    now = progress.snapshot()
    assert (now.listed, now.kept, now.skipped, now.failed) == (8000, 4000, 4000, 0)
    assert now.reasons == {"duplicate": 4000}
    assert (now.received_bytes, now.pending) == (24_000, 0)


def test_rates_are_those_of_the_last_half_minute(clock):
    progress = CollectProgress(clock=clock)
    for _ in range(100):  # one item per second
        clock.now += 1
        progress.listed(1, total=400)
        progress.decided("kept")
        progress.received("a.example", 10)
    for _ in range(100):  # then five
        clock.now += 0.2
        progress.decided("kept")
        progress.received("a.example", 1000)
    now = progress.snapshot()
    assert now.items_per_second == pytest.approx(110 / 30, rel=0.05)
    assert now.bytes_per_second == pytest.approx(100_100 / 30, rel=0.05)
    assert now.seconds_left == pytest.approx(200 / now.items_per_second)
    assert now.share == 0.5


def test_time_left_is_unknown_without_a_total(clock):
    progress = CollectProgress(clock=clock)
    clock.now += 10
    progress.decided("kept")
    assert progress.snapshot().seconds_left is None
    assert dict(progress.snapshot().in_words())["time left"] == "unknown"


def test_time_left_survives_a_long_wait(clock):
    progress = CollectProgress(clock=clock)
    progress.listed(0, total=20)
    for _ in range(10):
        clock.now += 1
        progress.decided("kept")
    clock.now += 90  # a Retry-After
    progress.hosts({})
    clock.now += 1
    now = progress.snapshot()
    assert now.items_per_second == 0
    assert now.seconds_left == pytest.approx(101)


def test_the_nearest_limit_decides(clock):
    progress = CollectProgress(most_items=1000, most_seconds=50, most_bytes=10**9, clock=clock)
    clock.now += 10
    progress.listed(10, total=10**6)
    progress.decided("kept")
    now = progress.snapshot()
    assert (now.share, now.seconds_left) == (0.2, 40)


def test_limits_are_those_of_all_sessions(clock):
    progress = CollectProgress(most_seconds=100, most_bytes=1000, clock=clock)
    progress.resumed(listed=0, kept=0, not_kept={}, received=600, seconds=20)
    clock.now += 10
    progress.received("a.example", 100)
    now = progress.snapshot()
    assert (now.share, now.received_bytes) == (0.7, 100)
    assert now.seconds_left == pytest.approx(30)


def test_what_earlier_sessions_did_counts_but_has_no_rate(clock):
    progress = CollectProgress(clock=clock)
    progress.resumed(
        listed=60, kept=40, not_kept={("failed", "timeout"): 3, ("skipped", "robots"): 7}, rows=40
    )
    clock.now += 5
    assert progress.snapshot().items_per_second == 0
    progress.decided("kept")
    now = progress.snapshot()
    assert now.items_per_second == pytest.approx(0.2)
    assert (now.decided, now.decided_before, now.pending, now.rows_committed) == (51, 50, 9, 40)
    progress.reconsidered("failed", "timeout")
    progress.decided("kept")
    assert progress.snapshot().reasons == {"timeout": 2, "robots": 7}
    assert progress.snapshot().decided_before == 49  # this session decided two


def test_a_list_that_ends_has_a_total(clock):
    progress = CollectProgress(clock=clock)
    progress.listed(40)
    for _ in range(10):
        clock.now += 1
        progress.decided("kept")
    assert progress.snapshot().seconds_left is None
    progress.all_listed()
    assert progress.snapshot().counted == "10 of 40 items: 10 kept"
    assert progress.snapshot().seconds_left == pytest.approx(30)


def test_hosts_have_rates_and_the_longest_wait_is_named(clock):
    progress = CollectProgress(clock=clock)
    quick = HostActivity(host="quick.example", requests=0, waiting="answer")
    slow = HostActivity(host="slow.example", waiting="retry-after", wait_seconds=60.0)
    progress.hosts({"quick.example": quick, "slow.example": slow})
    for second in range(1, 11):
        clock.now += 1
        quick = replace(quick, requests=2 * second, received_bytes=100 * second)
        progress.hosts({"quick.example": quick, "slow.example": slow})
    now = progress.snapshot()
    by_name = {one.host: one for one in now.hosts}
    assert by_name["quick.example"].requests_per_second == pytest.approx(2.0)
    assert by_name["quick.example"].bytes_per_second == pytest.approx(100.0)
    assert now.waiting == "slow.example (asked to wait, 60 s)"
    progress.hosts({"quick.example": quick, "last.example": replace(quick, host="last.example")})
    assert progress.snapshot().waiting == "quick.example (answering) and 1 other host"
    progress.finished("stopped", "Ctrl-C")
    assert progress.snapshot().waiting == ""


def test_memory_does_not_grow_with_hosts(monkeypatch):
    monkeypatch.setattr(collect_progress, "MOST_HOSTS", 10)
    progress = CollectProgress()
    for number in range(50):
        progress.received(f"h{number}.example", 1)
    assert len(progress.snapshot().hosts) == 10
    everyone = {
        f"h{number}": HostActivity(
            host=f"h{number}", requests=number, waiting="rate" if number == 3 else ""
        )
        for number in range(50)
    }
    progress.hosts(everyone)
    now = progress.snapshot()
    assert (now.received_bytes, now.host_count, len(now.hosts)) == (50, 50, 10)
    assert now.waiting == "h3 (rate limit)"


def test_the_end_is_a_state_and_stops_the_clock(clock):
    progress = CollectProgress(clock=clock)
    clock.now += 4
    progress.decided("failed", "not-found")
    progress.finished("limited", "the limit of 1 item is reached")
    clock.now += 100
    now = progress.snapshot()
    assert (now.state, now.elapsed, now.seconds_left) == ("limited", 4, None)
    assert now.items_per_second == 0.25
    assert now.line() == "limited, 1 item: 1 failed: the limit of 1 item is reached"


def test_a_web_client_s_own_counts_are_understood():
    def host(**others):
        known = {"requests": 5, "received": 7, "waiting": 0, "asking": 0, "paused": 0.0}
        return SimpleNamespace(**(known | {"last_error": ""} | others))

    progress = CollectProgress()
    progress.hosts(
        {
            "idle": host(paused=9.0),
            "asked": host(asking=2),
            "limited": host(asking=2, waiting=3),
            "paused": host(waiting=1, paused=9.0, last_error="429"),
        }
    )
    now = {one.host: one for one in progress.snapshot().hosts}
    assert [now[name].waiting for name in ("idle", "asked", "limited", "paused")] == [
        "",
        "answer",
        "rate",
        "retry-after",
    ]
    assert (now["paused"].wait_seconds, now["paused"].last_error) == (9.0, "429")
    assert (now["asked"].requests, now["asked"].received_bytes) == (5, 7)
