"""Limits per host: never more in any window, and hardly less, over processes and accidents."""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_loop import simulate

from paninifs.engine.collecting.outcome import NotKept
from paninifs.engine.collecting.web.limits.hosts import HostLimit, Hosts
from paninifs.engine.collecting.web.limits.rate import Rate, due
from paninifs.engine.collecting.web.limits.shared_state import LONGEST_PAUSE, SharedState
from paninifs.engine.collecting.web.limits.turns import Turns


def most_within(times, seconds):
    """Return the most times in any window that is open at its end."""
    times = sorted(times)
    return max(bisect_left(times, t + seconds) - i for i, t in enumerate(times))


def hosts(rate, connections=64):
    return Hosts(lambda name: HostLimit(limit=name, rate=rate, connections=connections,
                                        persistent=True))  # fmt: skip


async def take(turns, host, ready=lambda: True):
    async with turns.turn(host, ready):
        pass


@given(
    per_second=st.sampled_from([1 / 60, 1 / 3, 0.7, 1.0, 2.0, 2.5, 20.0, 99.5, 1000.0]),
    waits=st.lists(st.floats(0, 3) | st.just(0.0), max_size=60),
    late=st.floats(0, 0.05),
)
def test_no_window_holds_more_than_its_requests(per_second, waits, late):
    rate, now, sent = Rate.per_second(per_second), 0.0, []
    for wait in waits:
        now = max(now + wait, due(sent, rate) + late if sent else now)
        sent.append(now)
    if sent:
        assert most_within(sent, rate.seconds) <= rate.requests


def test_requests_are_spread_also_after_a_rest_and_closer_only_to_catch_up():
    rate, sent = Rate(10, 1.0), []
    for now in (0.0, 100.0):  # from the start, and after a rest
        sent.append(now)
        for _ in range(9):
            sent.append(due(sent, rate))
        assert sent[-1] - now == pytest.approx(9 * 0.075)
    while len(sent) < 40:
        sent.append(due(sent, rate))
    sent.append(due(sent, rate) + 0.2)  # a stall
    assert due(sent, rate) - sent[-1] == pytest.approx(0.02)


@pytest.mark.parametrize("per_second", [0.0, -1.0, float("nan"), float("inf")])
def test_rates_are_positive(per_second):
    with pytest.raises(ValueError, match="positive"):
        Rate.per_second(per_second)


@pytest.mark.parametrize(("per_second", "seconds"), [(20, 60), (2, 120), (1 / 3, 3000)])
@pytest.mark.parametrize("processes", [1, 2, 5])
def test_hosts_are_asked_at_their_limit_by_all_processes_together(
    per_second, seconds, processes, tmp_path
):
    chance, sent = random.Random(7), []

    async def main(clock):
        async def ask(turns, host):
            while clock() < 1000 + seconds:
                await take(turns, host)
                sent.append(clock())
                await asyncio.sleep(chance.uniform(0, 0.2))

        rate = Rate.per_second(per_second)
        states = [SharedState(tmp_path, clock, "boot") for _ in range(processes)]
        async with asyncio.TaskGroup() as group:
            for state in states:
                host = hosts(rate).of("example.org")
                for _ in range(8):
                    group.create_task(ask(Turns(state, 300), host))
        for state in states:
            state.close()

    simulate(main, late=lambda: chance.expovariate(1500))
    in_time = [t for t in sent if t < 1000 + seconds]
    assert most_within(sent, max(1, 1 / per_second)) <= max(1, per_second)
    assert len(in_time) >= 0.99 * per_second * seconds - 1


def take_all(tmp_path, count, identity="boot", clock_of=lambda clock: clock):
    """Return the seconds that some turns took, from the first one on."""

    async def main(clock):
        state = SharedState(tmp_path, clock_of(clock), identity)
        host, turns = hosts(Rate(1, 3.0)).of("example.org"), Turns(state, 300)
        begun, times = clock(), []
        for _ in range(count):
            await take(turns, host)
            times.append(clock() - begun)
        state.close()
        return times

    return simulate(main)


def test_the_first_turn_is_at_once_and_later_ones_are_not(tmp_path):
    assert take_all(tmp_path, 2) == pytest.approx([0, 3.024], abs=0.02)


DAMAGE = {
    "torn": lambda line: line[: len(line) // 2],
    "garbage": lambda line: b"\x00\xff" * 500,
    "not JSON": lambda line: b"12 {",
    "another sum": lambda line: b"1" + line,
    "a huge file": lambda line: b"x" * (5 << 20),
    "a deep one": lambda line: _summed(b"[" * 100_000),
    "words": lambda line: _summed(b'{"clock": "boot", "floor": null, "hosts": {"x": "y"}}'),
    "the future": lambda line: _summed(
        b'{"clock": "boot", "floor": null, "hosts": {"example.org": [1, 3, null, [1e12]]}}'
    ),
    "no time": lambda line: _summed(
        b'{"clock": "boot", "floor": NaN, "hosts": {"example.org": [1, 3, NaN, [NaN]]}}'
    ),
    "a pause for ever": lambda line: _summed(
        b'{"clock": "boot", "floor": null, "hosts": {"example.org": [1, 3, 1e12, []]}}'
    ),
    "no limit": lambda line: _summed(
        b'{"clock": "boot", "floor": null, "hosts": {"example.org": [0, 1e300, null, []]}}'
    ),
    "another boot": lambda line: _summed(
        b'{"clock": "other", "floor": null, "hosts": {"example.org": [1, 3, null, [1e12]]}}'
    ),
}


def _summed(body):
    import zlib

    return b"%d %s\n" % (zlib.crc32(body), body)


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_file_costs_one_window(name, tmp_path):
    take_all(tmp_path, 1)
    [file] = tmp_path.iterdir()
    file.write_bytes(DAMAGE[name](file.read_bytes()))
    assert take_all(tmp_path, 2) == pytest.approx([3.024, 6.048], abs=0.02)


def test_two_containers_with_clocks_of_their_own_do_not_wait_for_ever(tmp_path):
    sent = []

    async def main(clock):
        async def ask(identity, offset):
            state = SharedState(tmp_path, lambda: clock() + offset, identity)
            host, turns = hosts(Rate(1, 3.0)).of("example.org"), Turns(state, 300)
            for _ in range(10):
                await take(turns, host)
                sent.append(clock())
            state.close()

        await asyncio.gather(ask("one", 0.0), ask("two", -1e5))

    simulate(main)
    assert most_within(sent, 3.0) == 1
    assert max(sent) - 1000 < 20 * 3.5


def test_a_pause_holds_for_all_processes_and_ends(tmp_path):
    async def main(clock):
        one, two = (SharedState(tmp_path, clock, "boot") for _ in range(2))
        host = hosts(Rate(10, 1.0)).of("example.org")
        await Turns(one, 300).pause(host, 30.0)
        await take(Turns(two, 300), host)
        one.close()
        two.close()
        return clock() - 1000

    assert simulate(main) == pytest.approx(30, abs=0.02)


def test_a_pause_beyond_patience_is_not_waited_for_and_none_is_endless(tmp_path):
    async def main(clock):
        state = SharedState(tmp_path, clock, "boot")
        host = hosts(Rate(10, 1.0)).of("example.org")
        turns = Turns(state, 300)
        await turns.pause(host, 1e9)
        with pytest.raises(NotKept, match="to be left alone for 3600 s"):
            await take(turns, host)
        await asyncio.sleep(LONGEST_PAUSE)
        await take(turns, host)
        state.close()

    simulate(main)


def test_a_turn_is_not_taken_for_a_connection_that_was_closed(tmp_path):
    async def main(clock):
        state = SharedState(tmp_path, clock, "boot")
        host, turns = hosts(Rate(1, 3.0)).of("example.org"), Turns(state, 300)
        with pytest.raises(ConnectionResetError):
            await take(turns, host, lambda: False)
        await take(turns, host)
        state.close()
        return clock() - 1000

    assert simulate(main) == 0


def test_cancelled_requests_take_no_turn_and_hold_up_nobody(tmp_path):
    async def main(clock):
        state = SharedState(tmp_path, clock, "boot")
        host, turns = hosts(Rate(1, 3.0)).of("example.org"), Turns(state, 300)
        await take(turns, host)
        tasks = [asyncio.create_task(take(turns, host)) for _ in range(5)]
        await asyncio.sleep(1)
        for task in tasks[:4]:
            task.cancel()
        await tasks[4]
        state.close()
        return clock() - 1000

    assert simulate(main) == pytest.approx(3.024, abs=0.02)


def test_what_is_remembered_of_hosts_is_bounded(tmp_path):
    async def main(clock):
        state = SharedState(tmp_path, clock, "boot")
        known = Hosts(
            lambda name: HostLimit(limit=name, rate=Rate(9, 1.0), connections=1, persistent=True),
            most=100,
        )
        turns = Turns(state, 300)
        for number in range(3000):
            with known.using(f"host{number}.example"):
                await take(turns, known.of(f"host{number}.example"))
            await asyncio.sleep(0.01)
        state.close()
        return len(known.figures(clock()))

    assert simulate(main) <= 100
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 100_000
