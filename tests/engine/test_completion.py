"""Waiting for futures of a client that is closed."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

import pytest
from distributed import CancelledError

import paninifs as pf
from paninifs.engine.run.background.completion import Completed


@pytest.fixture
def client():
    with pf.connect("threads", quiet=True) as connected:
        yield connected


def test_futures_come_as_they_complete(client):
    slow = client.submit(lambda: time.sleep(0.5) or "slow", pure=False)
    completed = Completed(client, [slow, client.submit(lambda: "fast", pure=False)])
    found = []
    for future in completed:
        found.append(future.result())
        if found == ["fast"]:
            completed.add(client.submit(lambda: "added", pure=False))
    assert found == ["fast", "added", "slow"]


@pytest.mark.parametrize("early", [True, False], ids=["before", "meanwhile"])
def test_a_closed_client_ends_the_waiting(client, early):
    awaited = client.submit(time.sleep, 5, pure=False)

    def wait():
        if early:
            client.close()
        with suppress(CancelledError):
            list(Completed(client, [awaited]))

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    if not early:
        time.sleep(0.2)
        client.close()
    waiting.join(20)
    assert not waiting.is_alive()
