"""Messages between the pool and its processes: a header in JSON and a body of bytes.

No pickles: a process that a document has taken over must not be able to run code in the collector.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from ..outcome import REASONS, NotKept
from .extracted import Extracted
from .tidying import MOST_TEXT

_SIZES = struct.Struct("<II")
_MOST_HEADER = 1 << 20
_MOST_BODY = 4 * MOST_TEXT
"""Maximum bytes of an answer: four per character."""


class BrokenMessage(ValueError):
    """What a process sent is not a message."""


def packed(header: dict[str, Any], body: bytes = b"") -> bytes:
    """Return the bytes of a message, without its body."""
    head = json.dumps(header).encode()
    return _SIZES.pack(len(head), len(body)) + head


class Messages:
    """Decodes messages from bytes that arrive in pieces of any size."""

    def __init__(self) -> None:
        self._held = bytearray()

    def arrived(self, piece: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Yield the messages that are complete with this piece.

        Raises
        ------
        BrokenMessage
            The bytes are not messages, or a message is larger than any may be.
        """
        self._held += piece
        while len(self._held) >= _SIZES.size:
            head, body = _SIZES.unpack_from(self._held)
            if head > _MOST_HEADER or body > _MOST_BODY:
                raise BrokenMessage(f"a message of {head:,} and {body:,} bytes")
            end = _SIZES.size + head + body
            if len(self._held) < end:
                return
            message = bytes(self._held[_SIZES.size : end])
            del self._held[:end]
            yield _header(message[:head]), message[head:]


def read_message(stream: Any) -> tuple[dict[str, Any], bytes] | None:
    """Return the next message of a blocking stream; None at its end."""
    sizes = stream.read(_SIZES.size)
    if len(sizes) < _SIZES.size:
        return None
    head, body = _SIZES.unpack(sizes)
    header, content = stream.read(head), stream.read(body)
    return (_header(header), content) if len(content) == body else None


def _header(data: bytes) -> dict[str, Any]:
    try:
        header = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BrokenMessage(f"a header that is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise BrokenMessage("a header that is not an object")
    return header


def kept_header(found: Extracted) -> dict[str, Any]:
    """Return the header of the answer for a document; its text is the body."""
    facts = asdict(found)
    del facts["text"]
    return {"kept": facts}


def answered(header: dict[str, Any], body: bytes) -> Extracted | NotKept:
    """Return the content of an answer, checked.

    Raises
    ------
    BrokenMessage
        It is not an answer that `extraction_worker` can give.
    """
    facts, refused = header.get("kept"), header.get("refused")
    if isinstance(facts, dict):
        extra = facts.pop("extra", None)
        if not isinstance(extra, dict) or not all(map(_is_text, (facts | extra).values())):
            raise BrokenMessage("an answer with facts that are not texts")
        try:
            return Extracted(text=body.decode(), extra=extra, **facts)
        except (TypeError, UnicodeDecodeError) as error:
            raise BrokenMessage(f"an answer that cannot be read: {error}") from error
    if isinstance(refused, list) and len(refused) == 2 and all(map(_is_text, refused)):
        reason, detail = refused
        if reason in REASONS:
            return NotKept(reason, detail)
    raise BrokenMessage(f"an answer with {sorted(header)[:5]}")


def _is_text(value: object) -> bool:
    """Whether a value is a text that can be stored: without lone surrogates."""
    return isinstance(value, str) and value == value.encode("utf-8", "replace").decode()
