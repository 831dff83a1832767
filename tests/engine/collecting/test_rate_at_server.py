"""Limits as a server's kernel sees them, over real connections and between real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from paths import SUPPORT
from stamped_server import most_within, stamped_server


def start(server, tmp_path, *numbers, name=""):
    url = f"{server.url}{name}"
    words = [sys.executable, SUPPORT / "web_asking.py", url, tmp_path, *numbers]
    return subprocess.Popen([str(word) for word in words])


@pytest.mark.slow("asks at a real pace, for ten seconds")
@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(("rate", "limit", "per_second"), [(20, 0, 20), (2, 0, 2), (9, 1, 1)])
def test_a_server_is_asked_at_the_limit_and_never_above(
    rate, limit, per_second, processes, tmp_path
):
    with stamped_server() as server:
        started = [start(server, tmp_path, 10, rate, limit, name=n) for n in range(processes)]
        assert [process.wait() for process in started] == [0] * processes
    times = sorted(server.times)
    pace = (len(times) - 1) / (times[-1] - times[0])
    assert most_within(times, 1.0) <= per_second
    assert pace >= 0.9 * per_second  # 0.99 and more on a machine with nothing else to do
    shares = Counter(server.paths)
    assert min(shares.values()) > 0.2 * len(times) / processes  # nobody starves
    if limit:
        assert server.most_busy == 1  # a published limit also means one connection


def test_a_killed_process_leaves_no_lock(tmp_path):
    with stamped_server() as server:
        first, second = (start(server, tmp_path, 2, 9, 0.2) for _ in range(2))
        while not server.times:
            time.sleep(0.01)
        first.send_signal(signal.SIGKILL)
        first.wait()
        killed = time.time()
        assert second.wait() == 0
    assert sum(when > killed for when in server.times) > 1
    assert most_within(server.times, 0.2) == 1
