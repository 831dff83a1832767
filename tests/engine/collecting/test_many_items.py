"""A collection of more than a hundred thousand items, in memory that does not grow with them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from paths import SUPPORT

ATTEMPT = """
import sys
import psutil
from collecting import MemoryWeb, Pages, collected

class Watched(MemoryWeb):
    def text(self, number):
        return f"The text of page {number}. " * 40  # a kilobyte, and no two alike

    async def get(self, url, **words):
        answer = await super().get(url, **words)
        self.asked.clear()  # which would grow itself
        number = int(url.rsplit("/", 1)[1])
        if number % 1000 == 0:
            print(number, psutil.Process().memory_info().rss >> 20, flush=True)
        return answer

collected(Pages(180_000, hosts=24, page=500), sys.argv[1], sys.argv[1] + "-cache", Watched())
"""


@pytest.mark.soak("collects 180,000 items")
def test_memory_does_not_grow_with_items(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-P", "-c", ATTEMPT, str(tmp_path / "corpus")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(SUPPORT), *filter(None, sys.path)])},
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    taken = {int(n): int(mib) for n, mib in map(str.split, ran.stdout.splitlines())}
    # By then the first part is written, and the caches of SQLite and of the allocators are full.
    early = max(mib for number, mib in taken.items() if number < 80_000)
    late = max(mib for number, mib in taken.items() if number >= 80_000)
    assert late < early + 24
