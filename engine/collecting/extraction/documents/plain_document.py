"""Plain text."""

from __future__ import annotations

from ..charsets import decoded
from ..document_types import PLAIN
from ..extracted import Extracted


def extract_plain(content: bytes, charset: str) -> Extracted:
    """Return a plain text."""
    found = decoded(content, charset)
    replaced = {"replaced_bytes": str(found.replaced)} if found.replaced else {}
    return Extracted(text=found.text, media_type=PLAIN, extra=replaced)
