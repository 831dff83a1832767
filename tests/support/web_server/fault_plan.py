"""Which requests go wrong, and how: a function of the seed, the target and the attempt."""

from __future__ import annotations

import asyncio
import random
import re
import socket
import struct
from collections import Counter, deque

from aiohttp import web

from .config import Fault, ServerConfig


class FaultPlan:
    """Chooses the fault of each request, and counts the askings of each target."""

    def __init__(self, faults: tuple[Fault, ...], seed: int) -> None:
        self._faults = faults
        self._seed = seed
        self._asked: Counter[str] = Counter()

    def fault_of(self, host: str, target: str) -> Fault | None:
        name = f"{host} {target}"
        self._asked[name] += 1
        for number, fault in enumerate(self._faults):
            if fault.attempts and self._asked[name] not in fault.attempts:
                continue
            if not re.search(fault.match, name):
                continue
            if random.Random(f"{self._seed} {number} {name}").random() < fault.share:
                return fault
        return None


class Limiter:
    """Refuses what goes over the limit of a host in any window; what it refuses does not count."""

    def __init__(self, config: ServerConfig) -> None:
        self._limit = config.limit
        self._accepted: dict[str, deque[float]] = {}

    def accepts(self, host: str, now: float) -> bool:
        if self._limit is None:
            return True
        count, seconds = self._limit
        times = self._accepted.setdefault(host, deque())
        while times and times[0] <= now - seconds:
            times.popleft()
        if len(times) >= count:
            return False
        times.append(now)
        return True


def _hang_up(request: web.Request, *, reset: bool) -> None:
    connection = request.transport.get_extra_info("socket")
    if reset:
        option = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
        request.transport.abort()
    else:
        request.transport.close()


async def _pieces(request: web.Request, answer: web.Response, fault: Fault) -> web.StreamResponse:
    """Send a body slowly, in part, or without end."""
    body = answer.body or b""
    headers = {key: value for key, value in answer.headers.items() if key != "Content-Length"}
    stream = web.StreamResponse(status=answer.status, headers=headers)
    if fault.kind != "endless":
        stream.content_length = len(body)
    await stream.prepare(request)
    if fault.kind == "truncated":
        await stream.write(body[: len(body) // 2])
        request.transport.close()
    elif fault.kind == "slow":
        for first in range(0, len(body), fault.piece):
            await stream.write(body[first : first + fault.piece])
            await asyncio.sleep(fault.seconds)
    else:
        while not request.transport.is_closing():
            await stream.write(b"x" * 65536)
    return stream


async def faulty(request: web.Request, fault: Fault, respond) -> web.StreamResponse:
    """Answer a request as the fault has it."""
    if fault.kind in ("reset", "lost"):
        _hang_up(request, reset=fault.kind == "reset")
        return web.Response()
    if fault.kind == "status":
        headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
        return web.Response(status=fault.status, text=fault.body, headers=headers)
    if fault.kind == "redirect":
        return web.Response(status=302, headers={"Location": fault.location})
    if fault.kind == "body":
        headers = {"Content-Type": fault.media_type}
        return web.Response(body=fault.body.encode(), headers=headers)
    if fault.kind == "late":
        await asyncio.sleep(fault.seconds)
        return respond()
    return await _pieces(request, respond(), fault)
