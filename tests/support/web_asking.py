"""A process that asks a server as often as it may: ``web_asking.py URL CACHE SECONDS RATE LIMIT``.

RATE is in requests per second; LIMIT is a published limit in seconds between requests, or 0.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from paninifs.engine.collecting.web.http_web import HttpWeb
from paninifs.engine.collecting.web.request_policy import RequestPolicy


async def main(url, cache, seconds, rate, limit):
    policy = RequestPolicy(
        allow_hosts=frozenset({"127.0.0.1"}),
        cache=Path(cache),
        per_second=rate,
        connections_per_host=4,
        limits={"127.0.0.1": limit} if limit else {},
    )
    stop = time.monotonic() + seconds

    async def ask(web):
        while time.monotonic() < stop:
            await web.get(url, robots=False)

    async with HttpWeb(policy) as web, asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(ask(web))


if __name__ == "__main__":
    url, cache, *numbers = sys.argv[1:]
    asyncio.run(main(url, cache, *map(float, numbers)))
