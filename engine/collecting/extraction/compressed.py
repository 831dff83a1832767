"""Decompression of gzip documents, within limits of size and ratio."""

from __future__ import annotations

import zlib

from ..outcome import NotKept

GZIP = b"\x1f\x8b\x08"

MOST_BYTES = 256 << 20
"""Maximum size of a decompressed document, in bytes."""

MOST_RATIO = 200
"""Maximum ratio of decompressed to compressed size; text rarely exceeds ten."""

FREE_BYTES = 8 << 20
"""Decompressed size in bytes up to which the ratio is not checked."""

_LAYERS = 2
_PIECE_BYTES = 1 << 20


def decompressed(content: bytes) -> bytes:
    r"""Return a document without its compression, if it is compressed by gzip.

    Raises
    ------
    NotKept
        ``bomb``, or ``bad-compression``.

    Examples
    --------
    >>> import gzip
    >>> decompressed(gzip.compress(b"text"))
    b'text'
    """
    for _ in range(_LAYERS):
        if not content.startswith(GZIP):
            return content
        content = _one_layer(content)
    if content.startswith(GZIP):
        raise NotKept("bomb", f"gzip in gzip, more than {_LAYERS} times")
    return content


def check_expansion(before: int, after: int) -> None:
    """Raise `NotKept` if `after` bytes are too many for a document of `before` bytes."""
    if after > MOST_BYTES or after > max(FREE_BYTES, MOST_RATIO * before):
        raise NotKept("bomb", f"{before:,} bytes become at least {after:,}")


def _one_layer(content: bytes) -> bytes:
    pieces: list[bytes] = []
    size, rest = 0, content
    try:
        while rest.startswith(GZIP):  # a file may have several members; what follows is padding
            stream = zlib.decompressobj(wbits=31)
            while not stream.eof:
                piece = stream.decompress(rest, _PIECE_BYTES)
                if not piece and not stream.eof and not stream.unconsumed_tail:
                    raise NotKept("bad-compression", "it ends early")
                size += len(piece)
                check_expansion(len(content), size)
                pieces.append(piece)
                rest = stream.unconsumed_tail
            rest = stream.unused_data
    except zlib.error as error:
        raise NotKept("bad-compression", str(error)[:200]) from error
    return b"".join(pieces)
