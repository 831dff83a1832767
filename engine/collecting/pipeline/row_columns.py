"""The columns of an item's row, from its source, its server and its document.

They are stored as JSON until the item is decided.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ....storage.messages.names import storable
from ..extraction.extracted import Extracted
from ..ledger.listed_page import Done
from ..listed_item import Item
from ..outcome import NotKept
from ..parts.corpus_schema import Row
from ..web.answer import Answer

Detect = Callable[[str], tuple[str, float]]
"""Returns the language of a text and its probability; an empty code if it is unknown."""

PLAIN = "text/plain"


@dataclass(frozen=True, kw_only=True)
class Received:
    """Provenance of a content: where it is from, how it was declared, and when it came."""

    url: str = ""
    media_type: str = ""
    charset: str = ""
    retrieved: datetime
    received_bytes: int = 0

    @classmethod
    def of_answer(cls, answer: Answer) -> Received:
        """Return the provenance of an answer's body."""
        return cls(
            url=answer.url,
            media_type=answer.media_type,
            charset=answer.charset,
            retrieved=answer.retrieved,
            received_bytes=answer.received_bytes,
        )

    @classmethod
    def here(cls, media_type: str = "") -> Received:
        """Return the provenance of a content that was not fetched from a server."""
        return cls(media_type=media_type, retrieved=datetime.now(UTC))

    def to_json(self) -> str:
        """Return the provenance as JSON."""
        return json.dumps(
            [
                self.url,
                self.media_type,
                self.charset,
                self.retrieved.isoformat(),
                self.received_bytes,
            ],
            separators=(",", ":"),
        )

    @classmethod
    def of_json(cls, text: str) -> Received:
        """Return the provenance that `to_json` encoded."""
        url, media_type, charset, retrieved, received = json.loads(text)
        return cls(
            url=url,
            media_type=media_type,
            charset=charset,
            retrieved=datetime.fromisoformat(retrieved),
            received_bytes=received,
        )


@dataclass(frozen=True, kw_only=True)
class StoredText:
    """A text, as it is stored until it is decided."""

    text: bytes
    digest: bytes
    columns: str


def stored_text(
    item: Item, found: Extracted, received: Received, licence: str, detect: Detect
) -> StoredText:
    """Return the text and the columns of an item.

    Parameters
    ----------
    found
        What was extracted, or the source's own text.
    licence
        Licence of items whose source and document give none.

    Raises
    ------
    NotKept
        The text is empty, or has lone surrogates.
    """
    if not found.text.strip():
        raise NotKept("no-text")
    try:
        text = found.text.encode()
    except UnicodeEncodeError as error:
        raise NotKept("unreadable", "lone surrogates") from error
    lang, confidence = _language(item, found, detect)
    declared = {"declared_lang": found.lang} if found.lang and found.lang != lang else {}
    facts = {**declared, **found.extra, **item.extra}
    extra = {str(name): str(value) for name, value in facts.items()}
    if received.url and item.url and received.url != item.url:
        extra["redirected_to"] = received.url
    columns = {
        "title": storable(item.title or found.title),
        "lang": lang,
        "lang_confidence": confidence,
        "url": storable(item.url or received.url),
        "licence": storable(item.licence or found.licence or licence),
        "media_type": storable(found.media_type),
        "extra": storable(json.dumps(extra, sort_keys=True, ensure_ascii=False)) if extra else "{}",
    }
    return StoredText(
        text=text,
        digest=hashlib.sha256(text).digest(),
        columns=json.dumps(columns, separators=(",", ":")),
    )


def _language(item: Item, found: Extracted, detect: Detect) -> tuple[str, float | None]:
    if item.lang:
        return storable(item.lang), None
    lang, confidence = detect(found.text)
    if lang:
        return lang, confidence
    return storable(found.lang), None


def row_of(done: Done, source: str) -> Row:
    """Return the row of an item that is kept."""
    columns: dict[str, Any] = json.loads(done.columns)
    assert done.digest is not None
    return Row(
        id=done.key,
        text=done.text.decode(),
        source=source,
        retrieved=Received.of_json(done.answer).retrieved,
        sha256=done.digest.hex(),
        **columns,
    )
