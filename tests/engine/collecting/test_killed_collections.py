"""Collections of real servers by real processes: killed, and as fast as their hosts allow."""

from __future__ import annotations

import random
import subprocess
import sys
import time

import pytest
from collecting import rows
from collecting_attempt import attempt
from paths import TESTS
from web_server import Fault, WebServer

from paninifs.engine.collecting.ledger.ledger import Ledger
from paninifs.storage.targets.open import open_target

HOSTS = 12

FAULTS = (
    Fault(kind="status", status=503, retry_after="1", share=0.02),
    Fault(kind="reset", share=0.02),
    Fault(kind="truncated", share=0.02),
)


def killed(server, count, corpus, cache, kills, chance):
    """Collect in processes that are killed; return how many of them were."""
    command = [sys.executable, TESTS / "support" / "collecting_attempt.py"]
    arguments = [str(server.port), str(count), str(HOSTS), str(corpus), str(cache)]
    for number in range(kills):
        process = subprocess.Popen([*command, *arguments])
        seen = len(server.requests("/pages/"))
        if number % 5:  # every fifth dies at any moment, the others in the middle of their work
            while process.poll() is None and len(server.requests("/pages/")) == seen:
                time.sleep(0.05)
        time.sleep(chance.random())
        if process.poll() is not None:
            return number
        process.kill()
        process.wait()
    return kills


@pytest.mark.soak("collects with twenty kills")
@pytest.mark.timeout(600)
def test_killed_twenty_times(tmp_path):
    count, chance = 3000, random.Random(7)
    with WebServer(latency=0.1, hosts=HOSTS, faults=FAULTS) as server:
        kills = killed(server, count, tmp_path / "killed", tmp_path / "cache", 20, chance)
        attempt(server.port, count, HOSTS, str(tmp_path / "killed"), str(tmp_path / "cache"))
        asked = server.repeated("/pages/")
        server.inject(*FAULTS)
        attempt(server.port, count, HOSTS, str(tmp_path / "whole"), str(tmp_path / "other"))
    corpus, whole = open_target(tmp_path / "killed"), open_target(tmp_path / "whole")
    assert kills == 20
    assert rows(corpus) == rows(whole)
    counts, expected = (Ledger.read(one).state.sources[0].counts for one in (corpus, whole))
    assert (counts.kept, counts.reasons) == (expected.kept, expected.reasons)
    assert counts.decided == count
    # What was in the air at a kill, for each connection and kill, and no more.
    assert sum(asked.values()) - len(asked) <= kills * 2 * HOSTS
