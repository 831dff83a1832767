"""The columns of a collected corpus, and `Row`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime

import pyarrow as pa

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("lang", pa.string(), nullable=False),
        pa.field("lang_confidence", pa.float32()),
        pa.field("source", pa.string(), nullable=False),
        pa.field("url", pa.string(), nullable=False),
        pa.field("licence", pa.string(), nullable=False),
        pa.field("retrieved", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("media_type", pa.string(), nullable=False),
        pa.field("extra", pa.string(), nullable=False),
    ]
)
"""Unknown texts are empty; a `lang_confidence` is null where the language was not detected."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One text of the corpus."""

    id: str
    """The item's key in its source."""
    text: str
    title: str
    lang: str
    """ISO 639 code; empty if unknown."""
    lang_confidence: float | None
    """Probability, if the language was detected; None if it was given."""
    source: str
    url: str
    licence: str
    retrieved: datetime
    """UTC."""
    sha256: str
    """SHA-256 of the text's UTF-8 bytes, in hexadecimal digits."""
    media_type: str
    """Type of the document that the text was extracted from."""
    extra: str
    """Further facts, as a JSON object of strings."""

    @property
    def size(self) -> int:
        """Bytes that the row adds to a part: its longer columns, and an estimate for the others.

        Depends on the row alone, so that every collector cuts parts in the same places.
        """
        return len(self.text.encode()) + len(self.title.encode()) + len(self.extra.encode()) + 256


def table_of(rows: Sequence[Row]) -> pa.Table:
    """Return rows as a table of the corpus's schema."""
    columns = {one.name: [getattr(row, one.name) for row in rows] for one in fields(Row)}
    return pa.Table.from_pydict(columns, schema=SCHEMA)
