"""Records that the working database takes for the pages of a source, and returns for its items."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from .source_state import Pass


@dataclass(frozen=True, kw_only=True)
class NewItem:
    """An item that was listed.

    Attributes
    ----------
    state
        One of the states in `database_schema`.
    host
        Its host; items of one host are fetched in order.
    item
        Its other metadata, from `item_json`.
    body
        Its content or its text, if it has one.
    reason, detail
        Why it is not kept, if that is decided already.
    columns
        Columns of its row as JSON, if it has a text.
    digest
        SHA-256 of its text.
    former
        Reason of its earlier failure, if it is retried.
    """

    state: int
    key: str
    host: str = ""
    url: str = ""
    item: str = ""
    answer: str = ""
    body: bytes | None = None
    reason: str = ""
    detail: str = ""
    columns: str = ""
    digest: bytes | None = None
    former: str = ""


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where listing resumes: the number of the next item, and the source's cursor."""

    number: int
    cursor: str | None
    kind: Pass
    first: int


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """An item to be fetched."""

    number: int
    host: str
    url: str
    item: str
    etag: str
    last_modified: str


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """An item whose content is to be turned into a text."""

    number: int
    key: str
    url: str
    item: str
    answer: str
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Done:
    """An item that is decided: duplicates and unchanged texts are recognised."""

    number: int
    host: str
    """What it was fetched from; empty if its source gave all of it."""
    key: str
    url: str
    item: str
    answer: str
    former: str
    reason: str
    detail: str
    columns: str
    etag: str
    last_modified: str
    digest: bytes | None
    text: bytes
    held: int
    """Bytes stored for it until it is committed."""


def key_digest(source: str, key: str) -> bytes:
    """Return the digest that identifies an item in the index: 16 bytes."""
    return hashlib.sha256(f"{source}\0{key}".encode("utf-8", "surrogatepass")).digest()[:16]
