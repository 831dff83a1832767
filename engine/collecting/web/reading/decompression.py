"""`decompressed`: undoes `Content-Encoding`, with limits on how far the bytes may expand."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from importlib import import_module
from typing import Any

from ...outcome import NotKept
from .shown_text import shown

_CHUNK = 1 << 18
_SLICE = 1 << 14
_ALLOWANCE = 1 << 20
"""Size in bytes up to which the ratio is not checked."""
_MOST_LAYERS = 3
_MOST_MEMBERS = 10_000


def accepted_encodings() -> str:
    """Return the value of `Accept-Encoding`: encodings that can be decompressed within limits."""
    return "gzip, deflate, br" if _brotli() is not None else "gzip, deflate"


def decompressed(body: bytes, encodings: str, *, most_bytes: int, most_ratio: float) -> bytes:
    """Return a body as it was before it was compressed.

    Parameters
    ----------
    body
        The body as it was received.
    encodings
        The value of `Content-Encoding`; several are separated by commas.
    most_bytes
        Maximum bytes of the result, also of each layer.
    most_ratio
        Maximum ratio of the result to the body; 1 MiB is always allowed.

    Raises
    ------
    NotKept
        "bad-compression", "truncated", "bomb" or "too-large".

    Examples
    --------
    >>> import zlib
    >>> decompressed(zlib.compress(b"abc"), "deflate", most_bytes=10, most_ratio=100)
    b'abc'
    """
    if not body:
        return body
    names = [name.strip().lower() for name in encodings.split(",")]
    names = [name for name in names if name not in {"", "identity"}]
    if len(names) > _MOST_LAYERS:
        raise NotKept("bad-compression", f"{len(names)} encodings upon one another")
    most_by_ratio = max(_ALLOWANCE, int(len(body) * most_ratio))
    for name in reversed(names):
        expand = _DECODERS.get(name)
        if expand is None:
            raise NotKept("bad-compression", f"Content-Encoding: {shown(name)}")
        body = _gathered(expand(body), most_bytes, most_by_ratio)
    return body


def _gathered(pieces: Iterable[bytes], most_bytes: int, most_by_ratio: int) -> bytes:
    gathered = bytearray()
    for piece in pieces:
        gathered += piece
        if len(gathered) > most_by_ratio:
            raise NotKept("bomb", f"more than {most_by_ratio:,} bytes")
        if len(gathered) > most_bytes:
            raise NotKept("too-large", f"more than {most_bytes:,} bytes")
    return bytes(gathered)


def _gunzip(body: bytes) -> Iterator[bytes]:
    """Expand gzip members one after another; zeros may follow the last one."""
    begin = 0
    for _ in range(_MOST_MEMBERS):
        member = zlib.decompressobj(16 + zlib.MAX_WBITS)
        begin = yield from _inflate(member, body, begin)
        if not body[begin : begin + 1].strip(b"\0") and not body[begin:].strip(b"\0"):
            return
    raise NotKept("bad-compression", f"more than {_MOST_MEMBERS:,} gzip members")


def _inflate_either(body: bytes) -> Iterator[bytes]:
    """Expand ``deflate``: zlib's format, or raw deflate as some servers send it."""
    headed = len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
    stream = zlib.decompressobj(zlib.MAX_WBITS if headed else -zlib.MAX_WBITS)
    end = yield from _inflate(stream, body, 0)
    if end < len(body):
        raise NotKept("bad-compression", "bytes follow the compressed body")


def _inflate(stream: Any, body: bytes, begin: int) -> Generator[bytes, None, int]:
    """Expand one stream that begins at an offset; return the offset of its end.

    It is fed in slices, since zlib copies what it has not used yet at every call.
    """
    view = memoryview(body)
    try:
        while not stream.eof:
            if begin >= len(body):
                raise NotKept("truncated", "the compressed body ends early")
            piece = bytes(view[begin : begin + _SLICE])
            begin += len(piece)
            while piece and not stream.eof:
                yield stream.decompress(piece, _CHUNK)
                piece = stream.unconsumed_tail
            while not stream.eof and (more := stream.decompress(b"", _CHUNK)):
                yield more
    except zlib.error as error:
        raise NotKept("bad-compression", str(error)[:100]) from error
    return begin - len(stream.unused_data)


def _brotli() -> Any:
    """Return the module; None if it is not installed, or too old to stop at a limit."""
    try:
        module = import_module("brotli")
    except ImportError:
        return None
    return module if hasattr(module.Decompressor, "can_accept_more_data") else None


def _unbrotli(body: bytes) -> Iterator[bytes]:
    brotli = _brotli()
    if brotli is None:
        raise NotKept("bad-compression", "brotli cannot be decompressed here")
    stream = brotli.Decompressor()
    try:
        yield stream.process(body, output_buffer_limit=_CHUNK)
        while not stream.is_finished():
            if stream.can_accept_more_data():
                raise NotKept("truncated", "the compressed body ends early")
            yield stream.process(b"", output_buffer_limit=_CHUNK)
    except brotli.error as error:
        raise NotKept("bad-compression", str(error)[:100]) from error


def _unzstd(body: bytes) -> Iterator[bytes]:
    import pyarrow as pa

    if not pa.Codec.is_available("zstd"):
        raise NotKept("bad-compression", "zstd cannot be decompressed here")
    try:
        with pa.CompressedInputStream(pa.BufferReader(body), "zstd") as stream:
            while piece := stream.read(_CHUNK):
                yield piece
    except OSError as error:
        ended = "Truncated" in str(error)
        raise NotKept("truncated" if ended else "bad-compression", str(error)[:100]) from error


_DECODERS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _inflate_either,
    "br": _unbrotli,
    "zstd": _unzstd,
}
