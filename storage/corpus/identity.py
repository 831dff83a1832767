"""What identifies the content of a corpus file: its size and a digest, wherever the file is.

Small files are digested whole, large ones by blocks at their beginning, at their end and at even
distances between. Nothing is opened here: `opening.FileOpener.digest` reads the bytes, and
`relocation` compares the digests of two copies.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, BinaryIO

from ..rows import SourceFile

WHOLE = "md5"
"""Kind of a digest of all bytes. It is MD5 because object stores keep that of each object."""

SAMPLED = "blocks"
"""Kind of a digest of the sampled blocks: SHA-256."""

VALUES = "values"
"""Kind of a digest of the columns of data in memory: SHA-256; see `tables.canonical`."""

UNREAD = "unread:"
"""Digest of a file that could not be read; it says nothing about the content."""

WHOLE_BYTES = 1 << 20
"""Size in bytes up to which a file is digested whole. It is also the size of all sampled blocks."""

BLOCK_BYTES = 1 << 16
_BLOCKS = WHOLE_BYTES // BLOCK_BYTES
_PIECE = 1 << 20
_MD5 = re.compile("[0-9a-f]{32}")


def kind_of(digest: str) -> str:
    """Return the kind of a digest.

    >>> kind_of("md5:900150983cd24fb0d6963f7d28e17f72")
    'md5'
    """
    return digest.partition(":")[0]


def kind_for(file: SourceFile, exact: bool) -> str:
    """Return the kind of digest to make of a file; an `exact` one is of all bytes."""
    return WHOLE if exact or file.size <= WHOLE_BYTES else SAMPLED


def digest_of(stream: BinaryIO, size: int, kind: str) -> str:
    """Return the digest, of a certain kind, of a file of `size` bytes.

    Parameters
    ----------
    stream : binary file
        The file as stored. It is read forwards only.

    Raises
    ------
    OSError
        The file is shorter than `size`.

    Examples
    --------
    >>> from io import BytesIO
    >>> digest_of(BytesIO(b"abc"), 3, WHOLE)
    'md5:900150983cd24fb0d6963f7d28e17f72'
    """
    state = hashlib.md5(usedforsecurity=False) if kind == WHOLE else hashlib.sha256()
    for start, stop in [(0, size)] if kind == WHOLE else sampled_blocks(size):
        stream.seek(start)
        left = stop - start
        while left:
            data = stream.read(min(left, _PIECE))
            if not data:
                raise OSError(errno.EIO, f"no data at byte {stop - left} of {size}")
            state.update(data)
            left -= len(data)
    return f"{kind}:{state.hexdigest()}"


def sampled_blocks(size: int) -> Iterator[tuple[int, int]]:
    """Yield the first and last byte of every block that is sampled, in order.

    >>> list(sampled_blocks(10))
    [(0, 10)]
    >>> blocks = list(sampled_blocks(10**9))
    >>> len(blocks), blocks[0], blocks[-1]
    (16, (0, 65536), (999934464, 1000000000))
    """
    if size <= WHOLE_BYTES:
        yield 0, size
        return
    for number in range(_BLOCKS):
        start = number * (size - BLOCK_BYTES) // (_BLOCKS - 1)
        yield start, start + BLOCK_BYTES


def listed_digest(info: Mapping[str, Any]) -> str | None:
    """Return the digest that a filesystem's description of a file contains, or None.

    Google Cloud Storage and Google Drive compute the MD5 of what they store. An etag of S3 may be
    one too, but does not look different where it is none (encryption with a key of one's own), and
    the headers of a web server may be wrong.

    >>> listed_digest({"md5Hash": "kAFQmDzST7DWlj99KOF/cg=="})
    'md5:900150983cd24fb0d6963f7d28e17f72'
    """
    digest = info.get("md5Checksum")
    with suppress(ValueError):
        digest = digest or base64.b64decode(info.get("md5Hash") or "", validate=True).hex()
    return f"{WHOLE}:{digest}" if digest and _MD5.fullmatch(digest) else None
