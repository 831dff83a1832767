"""A server on loopback that sends bytes as it is told, however wrong, and records what it is sent.

It runs in the loop of the test. An answer is the bytes to send, after which the connection is
closed; a function that returns them; or a coroutine function that does what it likes with the
connection.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
import struct
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Asked:
    """A request."""

    method: str
    path: str
    headers: dict
    at: float  # seconds of the monotonic clock
    connection: int  # number of the connection, by which kept ones are told apart


@dataclass
class RawServer:
    """What was asked of a server, and how it answers, by path."""

    answers: dict
    host: str = "127.0.0.1"
    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    most_open: int = 0

    def url(self, path="/"):
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{path}"

    def paths(self):
        return [asked.path for asked in self.asked]

    async def serve(self, reader, writer):
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        number = self.connections
        try:
            while await self._answer(reader, writer, number):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def _answer(self, reader, writer, number):
        head = await reader.readuntil(b"\r\n\r\n")
        at = time.monotonic()
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ")
        headers = dict(line.split(": ", 1) for line in lines if line)
        asked = Asked(method, path, headers, at, number)
        self.asked.append(asked)
        answer = self.answers.get(path.partition("?")[0], self.answers.get("*", NOT_FOUND))
        if isinstance(answer, list):  # one after another; the last one again and again
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if inspect.iscoroutinefunction(answer):
            return await answer(asked, reader, writer)
        if callable(answer):
            answer = answer(asked)
        writer.write(answer)
        await writer.drain()
        return b"\r\nConnection: keep-alive\r\n" in answer


def answer(body=b"", status=200, *headers, length=True, keep=False):
    """Return an answer in bytes."""
    lines = [f"HTTP/1.1 {status} Said", *headers]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    lines.append("Connection: keep-alive" if keep else "Connection: close")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


NOT_FOUND = answer(b"no", 404)


async def reset(asked, reader, writer):
    """Reset the connection instead of answering."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False


async def silence(asked, reader, writer):
    """Answer nothing, until the client goes."""
    await reader.read()
    return False


async def lost(asked, reader, writer):
    """Close the connection instead of answering."""
    return False


@asynccontextmanager
async def raw_server(answers, host="127.0.0.1", port=0):
    """Run a server, and give it."""
    said = RawServer(answers, host)
    server = await asyncio.start_server(said.serve, host, port, limit=1 << 20)
    said.port = server.sockets[0].getsockname()[1]
    try:
        yield said
    finally:
        server.close()
        await server.wait_closed()
