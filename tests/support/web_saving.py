"""A process that saves a file, and may be killed: ``web_saving.py URL PATH CACHE``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from paninifs.engine.collecting.web.http_web import HttpWeb
from paninifs.engine.collecting.web.request_policy import RequestPolicy


async def main(url, path, cache):
    policy = RequestPolicy(allow_hosts=frozenset({"127.0.0.1"}), cache=Path(cache), per_second=1e4)
    async with HttpWeb(policy) as web:
        await web.save(url, Path(path))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
