"""`PartTally`: what a part of a corpus holds, counted when it is written.

Tallies are small, and `card_cache` keeps one per part, so that a data card is made without reading
parts again.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ....storage.errors import ResultsDamaged

MOST_VALUES = 200
"""Maximum number of licences, and of languages, counted by name; rarer ones are `OTHERS`."""

OTHERS = "(others)"
"""Stands for values beyond `MOST_VALUES`."""

_COUNTED = ("lang", "licence", "source")


@dataclass(frozen=True, kw_only=True)
class PartTally:
    """A Parquet file of the corpus, counted."""

    name: str
    """Name of the file in the corpus's folder."""
    sha256: str
    """SHA-256 of the file, in hexadecimal digits."""
    nbytes: int
    rows: int
    text_bytes: int
    """UTF-8 bytes of its texts."""
    languages: Mapping[str, int] = field(default_factory=dict)
    """Rows by language; an empty name counts rows without one. Likewise those below."""
    licences: Mapping[str, int] = field(default_factory=dict)
    sources: Mapping[str, int] = field(default_factory=dict)
    earliest: str = ""
    """When its first text was retrieved: ISO 8601, UTC; empty if unknown."""
    latest: str = ""

    @classmethod
    def of(cls, name: str, data: bytes) -> PartTally:
        """Count a part, given its bytes.

        Needs memory for one row group beside the bytes.

        Raises
        ------
        ResultsDamaged
            The bytes are not a Parquet file with the columns of a corpus.
        """
        try:
            counts, text_bytes, times = _counted(pq.ParquetFile(pa.BufferReader(data)))
        except (pa.ArrowException, KeyError, OSError) as error:
            raise ResultsDamaged(f"{name} is not a part of a collected corpus: {error}") from error
        return cls(
            name=name,
            sha256=hashlib.sha256(data).hexdigest(),
            nbytes=len(data),
            rows=counts["source"].total(),
            text_bytes=text_bytes,
            languages=most(counts["lang"]),
            licences=most(counts["licence"]),
            sources=most(counts["source"]),
            earliest=min(times, default=""),
            latest=max(times, default=""),
        )

    @classmethod
    def from_json(cls, known: Mapping[str, Any]) -> PartTally:
        """Decode what `dataclasses.asdict` made, ignoring fields of other versions."""
        names = {one.name for one in fields(cls)}
        return cls(**{name: value for name, value in known.items() if name in names})


def most(counts: Counter[str]) -> dict[str, int]:
    """Return the most frequent values with their counts, and the rest as one.

    >>> most(Counter({"fr": 3, "en": 5}))
    {'en': 5, 'fr': 3}
    """
    ranked = sorted(counts.items(), key=lambda one: (one[0] == OTHERS, -one[1], one[0]))
    named = dict(ranked[:MOST_VALUES])
    rest = sum(count for _, count in ranked[MOST_VALUES:])
    return named | ({OTHERS: named.get(OTHERS, 0) + rest} if rest else {})


def _counted(file: pq.ParquetFile) -> tuple[dict[str, Counter[str]], int, set[str]]:
    """Return counts by column and value, the bytes of the texts, and when texts were retrieved."""
    counts = {name: Counter[str]() for name in _COUNTED}
    text_bytes, times = 0, set[str]()
    for number in range(file.num_row_groups):
        rows = file.read_row_group(number, columns=["text", "retrieved", *_COUNTED])
        text_bytes += pc.sum(pc.binary_length(rows["text"])).as_py() or 0
        for name in _COUNTED:
            counts[name].update(dict(_values(rows[name])))
        found = pc.min_max(rows["retrieved"]).as_py()
        times |= {_instant(one) for one in found.values() if one is not None}
    return counts, text_bytes, times


def _values(column: pa.ChunkedArray) -> Iterator[tuple[str, int]]:
    """Yield each value of a column of strings with its count; null counts as empty."""
    found = pc.value_counts(pc.fill_null(column.cast(pa.string()), ""))
    for one in found.to_pylist():
        yield one["values"], one["counts"]


def _instant(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="seconds")
