"""An HTTP response in a WARC record: status, headers and decoded body.

Some tools decode a body but keep the header of its encoding, so a body without the signature of
its declared encoding is returned unchanged.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException, parse_headers

from .....storage.errors import BackendUnavailable
from ...outcome import NotKept

RATIO = 250
"""Maximum ratio of decoded to encoded size of a body, above `RATIO_BYTES`."""

RATIO_BYTES = 1 << 20

_STATUS = re.compile(rb"HTTP/[0-9](?:\.[0-9])?[ \t]+([0-9]{3})(?:[ \t].*)?")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")
_DIGEST = re.compile(r"(sha-?1|sha-?256|md5):([A-Za-z0-9+/=_-]{16,100})", re.IGNORECASE)


@dataclass(frozen=True)
class HttpMessage:
    """A response."""

    status: int
    headers: Mapping[str, str]
    """Values by lower-case name, the first of each."""
    body: bytes
    """The body as it was sent, still encoded."""

    @property
    def media_type(self) -> str:
        """Lower-case type of the body without parameters; empty if there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def charset(self) -> str:
        """The charset of `Content-Type`; empty if there is none."""
        match = re.search(
            r";\s*charset=[\"']?([A-Za-z0-9_.:-]{1,40})",
            self.headers.get("content-type", ""),
            re.IGNORECASE,
        )
        return match[1] if match else ""


def http_message(block: bytes) -> HttpMessage:
    """Parse a record's block.

    Raises
    ------
    NotKept
        It is not an HTTP response (``bad-headers``).
    """
    stream = io.BytesIO(block)
    status = _STATUS.fullmatch(stream.readline(1 << 16).rstrip(b"\r\n"))
    if status is None:
        raise NotKept("bad-headers", "no HTTP status line")
    try:
        fields = parse_headers(stream)
    except (HTTPException, ValueError) as error:
        raise NotKept("bad-headers", f"{type(error).__name__}: {error}"[:200]) from None
    headers: dict[str, str] = {}
    for name, value in fields.items():
        headers.setdefault(name.lower(), str(value).strip())
    message = HttpMessage(int(status[1]), headers, block[stream.tell() :])
    _check_length(message)
    return message


def _check_length(message: HttpMessage) -> None:
    given = message.headers.get("content-length", "")
    encoded = message.headers.keys() & {"transfer-encoding", "content-encoding"}
    if not given or encoded:
        return
    size = len(message.body)
    if not re.fullmatch(r"[0-9]{1,15}", given) or int(given) < size:
        raise NotKept("bad-headers", f"Content-Length is {given[:40]!r}, the body has {size} bytes")
    if int(given) > size:
        raise NotKept("truncated", f"{size} of {given} bytes")


def without_chunks(message: HttpMessage) -> bytes:
    """Return the body without its transfer encoding.

    Raises
    ------
    NotKept
        It ends within a chunk (``truncated``), or its chunks are malformed (``damaged``).
    """
    body = message.body
    if "chunked" not in message.headers.get("transfer-encoding", "").lower():
        return body
    if not _CHUNK.match(body):
        return body  # undone by the tool that wrote it
    parts: list[bytes] = []
    at = 0
    while True:
        head = _CHUNK.match(body, at)
        if head is None:
            reason = "truncated" if at >= len(body) else "damaged"
            raise NotKept(reason, f"no chunk at byte {at} of {len(body)}")
        size = int(head[1], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(body[head.end() : head.end() + size])
        at = head.end() + size
        at += 2 if body[at : at + 2] == b"\r\n" else body[at : at + 1] == b"\n"


def decoded(body: bytes, encoding: str, most_bytes: int) -> bytes:
    """Return a body without its content encoding.

    Raises
    ------
    NotKept
        The encoding is unknown, or the body damaged (``bad-compression``), too large, or a bomb.
    """
    for name in reversed([one.strip().lower() for one in encoding.split(",") if one.strip()]):
        if name != "identity":
            body = _decoded(body, name, most_bytes)
    return body


def _decoded(body: bytes, name: str, most_bytes: int) -> bytes:
    if name in {"gzip", "x-gzip"}:
        data = _inflated(body, 31, most_bytes) if body[:2] == b"\x1f\x8b" else body
    elif name == "deflate":
        zlib_form = len(body) > 1 and body[0] & 15 == 8 and (body[0] << 8 | body[1]) % 31 == 0
        data = _inflated(body, 15 if zlib_form else -15, most_bytes)
    elif name in {"br", "zstd"}:
        data = _read_by_fastwarc(body, name, most_bytes)
    else:
        raise NotKept("bad-compression", f"Content-Encoding {name[:40]!r}")
    if len(data) > RATIO_BYTES and len(data) > RATIO * len(body):
        raise NotKept("bomb", f"more than {RATIO} times its {len(body)} bytes")
    if len(data) > most_bytes:
        raise NotKept("too-large", f"more than {most_bytes} bytes")
    return data


def _inflated(body: bytes, wbits: int, most_bytes: int) -> bytes:
    """Return a body of one or more members, decoded no further than one byte over the limit."""
    parts: list[bytes] = []
    left, rest = most_bytes + 1, body
    while rest and left > 0:
        decoder = zlib.decompressobj(wbits=wbits)
        try:
            parts.append(decoder.decompress(rest, left))
        except zlib.error as error:
            raise NotKept("bad-compression", str(error)) from None
        left -= len(parts[-1])
        if left > 0 and not decoder.eof:
            raise NotKept("truncated", "its compressed body ends early")
        rest = decoder.unused_data if wbits == 31 else b""
        if rest[:2] != b"\x1f\x8b":
            break
    return b"".join(parts)


def _read_by_fastwarc(body: bytes, name: str, most_bytes: int) -> bytes:
    try:
        from fastwarc.stream_io import BrotliReader, ZstdReader
    except ImportError:
        raise BackendUnavailable(
            "brotli and zstd in WARC files are read with FastWARC; pip install 'paninifs[collect]'"
        ) from None
    reader = (BrotliReader if name == "br" else ZstdReader)(io.BytesIO(body))
    data = io.BytesIO()
    try:
        while data.tell() <= most_bytes and (part := reader.read(1 << 16)):
            data.write(part)
    except (OSError, ValueError) as error:
        raise NotKept("bad-compression", f"{name}: {error}"[:200]) from None
    return data.getvalue()


def digest_disagrees(given: str, *forms: bytes) -> bool:
    """Return whether a digest header matches none of the forms of a payload.

    A digest of an unknown algorithm does not disagree.

    >>> digest_disagrees("sha1:VL2MMHO4YXUKFWV63YHTWSBM3GXKSQ2N", b"a")
    True
    >>> digest_disagrees("sha1:Q36372FG7IDN4EZTCIEQI7XO2I23OKZI", b"b", b"a")
    True
    >>> digest_disagrees("sha1:86f7e437faa5a7fce15d1ddcb9eaeaea377667b8", b"b", b"a")
    False
    """
    match = _DIGEST.fullmatch(given.strip())
    if match is None:
        return False
    name = match[1].lower().replace("-", "")
    actual = [hashlib.new(name, form, usedforsecurity=False).digest() for form in forms]
    return _bytes_of(match[2], len(actual[0])) not in {None, *actual}


def _bytes_of(text: str, size: int) -> bytes | None:
    """Return a digest that is written in base 16, 32 or 64; None if it is in none of them."""
    for decode in (bytes.fromhex, base64.b32decode, base64.b64decode):
        try:
            value = decode(text.upper() if decode is base64.b32decode else text)
        except (ValueError, binascii.Error):
            continue
        if len(value) == size:
            return value
    return None
