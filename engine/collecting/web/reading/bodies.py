"""Reading bodies: limits of size and speed, and checks of their headers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...outcome import NotKept
from ..answer import Validators
from .decompression import decompressed

if TYPE_CHECKING:
    from aiohttp import ClientResponse

_BLOCKING_BYTES = 1 << 18
"""Size in bytes from which bodies are decompressed in a thread, so as not to block the loop."""

_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,60}/[a-z0-9!#$&^_.+-]{1,100}")
_CHARSET = re.compile(r"charset\s*=\s*\"?([A-Za-z0-9_.:+-]{1,40})\"?", re.IGNORECASE)
_VALIDATOR = re.compile(r"[\x20-\x7e]{1,1000}")


@dataclass(frozen=True, kw_only=True)
class BodyLimits:
    """Limits of a body's size and speed."""

    most_bytes: int
    most_ratio: float
    seconds: float | None
    """Maximum seconds for the whole body; None for no maximum."""
    slowest: float
    """Minimum bytes per second, over each `slow_seconds`."""
    slow_seconds: float
    cut: bool = False
    """Whether the rest of a larger body is ignored, instead of the body being refused."""


async def pieces(
    response: ClientResponse, limits: BodyLimits, received: Callable[[int], None]
) -> AsyncIterator[bytes]:
    """Yield the pieces of a body as they arrive.

    Parameters
    ----------
    response
        An answer whose headers have been read.
    limits
        The limits of time and speed.
    received
        Called with the number of bytes of each piece.

    Raises
    ------
    NotKept
        "too-slow".
    """
    loop = asyncio.get_running_loop()
    begun = since = loop.time()
    count = 0
    while True:
        piece = await response.content.readany()
        if not piece:
            return
        now = loop.time()
        count += len(piece)
        received(len(piece))
        if now - since >= limits.slow_seconds:
            if count < limits.slowest * (now - since):
                raise NotKept("too-slow", f"{count:,} bytes in {now - since:.0f} s")
            since, count = now, 0
        if limits.seconds is not None and now - begun > limits.seconds:
            raise NotKept("too-slow", f"not complete after {now - begun:.0f} s")
        yield piece


async def read_body(
    response: ClientResponse, limits: BodyLimits, received: Callable[[int], None]
) -> bytes:
    """Return a body, decompressed.

    Raises
    ------
    NotKept
        "too-large", "too-slow", "bad-compression", "truncated", "bomb" or "bad-headers".
    """
    check_framing(response)
    encodings = ",".join(response.headers.getall("Content-Encoding", []))
    announced = response.content_length
    if announced is not None and announced > limits.most_bytes and not limits.cut:
        raise NotKept("too-large", f"{announced:,} bytes")
    body = bytearray()
    async for piece in pieces(response, limits, received):
        body += piece
        if len(body) > limits.most_bytes:
            if limits.cut:
                del body[limits.most_bytes :]
                break
            raise NotKept("too-large", f"more than {limits.most_bytes:,} bytes")
    if not encodings:
        return bytes(body)
    return await _expanded(bytes(body), encodings, limits)


async def _expanded(body: bytes, encodings: str, limits: BodyLimits) -> bytes:
    def expand() -> bytes:
        return decompressed(
            body, encodings, most_bytes=limits.most_bytes, most_ratio=limits.most_ratio
        )

    if len(body) < _BLOCKING_BYTES:
        return expand()
    return await asyncio.to_thread(expand)


def check_framing(response: ClientResponse) -> None:
    """Refuse headers that contradict one another about where the body ends.

    Raises
    ------
    NotKept
        "bad-headers".
    """
    lengths = response.headers.getall("Content-Length", [])
    if len(lengths) > 1 or (lengths and "Transfer-Encoding" in response.headers):
        raise NotKept("bad-headers", "several lengths of the body")
    if lengths and not (lengths[0].isascii() and lengths[0].isdigit() and len(lengths[0]) < 19):
        raise NotKept("bad-headers", "Content-Length is not a length")


def media_type_of(response: ClientResponse) -> tuple[str, str]:
    """Return the media type without parameters, and the charset; empty where not usable."""
    text = response.headers.get("Content-Type", "")[:500]
    kind = text.partition(";")[0].strip().lower()
    charset = _CHARSET.search(text)
    return kind if _TYPE.fullmatch(kind) else "", charset[1] if charset else ""


def validators_of(response: ClientResponse) -> Validators:
    """Return the validators for a later conditional request."""
    return Validators(
        etag=_validator(response.headers.get("ETag", "")),
        last_modified=_validator(response.headers.get("Last-Modified", "")),
    )


def _validator(text: str) -> str:
    return text if _VALIDATOR.fullmatch(text) else ""
