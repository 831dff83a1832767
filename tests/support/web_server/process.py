"""The imitator's process: ``python -m web_server.process CONFIG LOG`` prints its port."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from . import arxiv, dumps, gutenberg, hal, pages
from .config import ServerConfig
from .fault_plan import FaultPlan, Limiter, faulty

LAST_MODIFIED = "Sun, 01 Nov 2026 12:00:00 GMT"
Service = Callable[[ServerConfig, web.Request], web.Response | None]
SERVICES: dict[str, Service] = {
    "/oai": arxiv.oai,
    "/api/query": arxiv.atom,
    "/pdf/": arxiv.pdf,
    "/search/": hal.search,
    "/document/": hal.document,
    "/cache/epub/": gutenberg.files,
    "/dumps/": dumps.files,
    "/pages/": pages.page,
    "/private/": pages.page,
    "/robots.txt": pages.robots,
}


class Imitator:
    """Answers requests to all hosts."""

    def __init__(self, config: ServerConfig, log: Path) -> None:
        self._config = config
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._plan = FaultPlan(config.faults, config.seed)
        self._limiter = Limiter(config)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        now = time.monotonic()
        if request.path == "/_faults":
            faults = ServerConfig.from_json(await request.text()).faults
            self._plan = FaultPlan(faults, self._config.seed)
            return web.Response()
        host = request.transport.get_extra_info("sockname")[0]
        fault = self._plan.fault_of(host, request.raw_path)
        accepted = self._limiter.accepts(host, now)
        fate = "refused" if not accepted else fault.kind if fault else "served"
        headers = {key.lower(): value for key, value in request.headers.items()}
        line = json.dumps([now, host, request.raw_path, headers, fate])
        os.write(self._log, f"{line}\n".encode())
        await asyncio.sleep(self._config.latency)
        if request.transport is None:
            return web.Response()  # the client is gone
        if not accepted:
            retry = {"Retry-After": self._config.retry_after}
            return web.Response(status=self._config.refusal, headers=retry)
        if fault:
            return await faulty(request, fault, lambda: self._respond(request))
        return self._respond(request)

    def _respond(self, request: web.Request) -> web.Response:
        for path, service in SERVICES.items():
            if request.path.startswith(path):
                answer = service(self._config, request) or web.Response(status=404)
                return _finished(request, answer, compress=self._config.gzip)
        return web.Response(status=404, text="There is nothing here.")


def _finished(request: web.Request, answer: web.Response, *, compress: bool) -> web.Response:
    """Add validators; answer conditional and partial requests; compress."""
    if answer.status != 200 or request.method not in ("GET", "HEAD"):
        return answer
    body = answer.body or b""
    etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    answer.headers["ETag"], answer.headers["Last-Modified"] = etag, LAST_MODIFIED
    asked = request.headers
    unchanged = asked.get("If-None-Match", "") == etag or (
        "If-None-Match" not in asked and asked.get("If-Modified-Since") == LAST_MODIFIED
    )
    if unchanged:
        return web.Response(status=304, headers={"ETag": etag, "Last-Modified": LAST_MODIFIED})
    answer.headers["Accept-Ranges"] = "bytes"
    if "Range" in asked and asked.get("If-Range", etag) in (etag, LAST_MODIFIED):
        return _part(asked["Range"], answer, body)
    kind = answer.headers.get("Content-Type", "")
    textual = kind.startswith("text/") or "xml" in kind or "json" in kind
    if compress and textual and "gzip" in asked.get("Accept-Encoding", ""):
        answer.body = gzip.compress(body, 1, mtime=0)
        answer.headers["Content-Encoding"] = "gzip"
        answer.headers["Vary"] = "Accept-Encoding"
    return answer


def _part(span: str, answer: web.Response, body: bytes) -> web.Response:
    """Cut a body to ``bytes=FIRST-`` or ``bytes=FIRST-LAST``."""
    first, _, last = span.removeprefix("bytes=").partition("-")
    start = int(first)
    stop = min(int(last) + 1, len(body)) if last else len(body)
    if start >= stop:
        return web.Response(status=416, headers={"Content-Range": f"bytes */{len(body)}"})
    headers = dict(answer.headers)
    headers.pop("Content-Length", None)
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(body)}"
    return web.Response(status=206, body=body[start:stop], headers=headers)


async def _serve(config: ServerConfig, log: Path) -> None:
    imitator = Imitator(config, log)
    runner = web.ServerRunner(web.Server(imitator.handle, access_log=None))
    await runner.setup()
    port = 0
    for number in range(1, config.hosts + 1):
        site = web.TCPSite(runner, f"127.0.0.{number}", port, backlog=1024)
        await site.start()
        port = port or site._server.sockets[0].getsockname()[1]
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    settings, log_file = map(Path, sys.argv[1:])
    asyncio.run(_serve(ServerConfig.from_json(settings.read_text()), log_file))
