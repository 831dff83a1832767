"""`HostActivity`: a collection's requests to a host, and what they wait for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from ...rendering.quantities import duration

Wait = Literal["", "rate", "retry-after", "answer"]

WAITS: dict[Wait, str] = {
    "rate": "rate limit",
    "retry-after": "asked to wait",
    "answer": "answering",
}
"""What the requests to a host wait for, in words, by code."""


class HostCounts(Protocol):
    """What a web client counts for a host; implemented in `collecting.web`."""

    @property
    def requests(self) -> int:
        """Requests that were sent."""

    @property
    def received(self) -> int:
        """Bytes of bodies, on the wire."""

    @property
    def waiting(self) -> int:
        """Requests that wait for the host's turn or for a connection."""

    @property
    def asking(self) -> int:
        """Requests that wait for their answer."""

    @property
    def paused(self) -> float:
        """Seconds from now for which the host asked to be left alone; 0 if it did not."""

    @property
    def last_error(self) -> str:
        """The last error; empty if there was none."""


@dataclass(frozen=True, kw_only=True)
class HostActivity:
    """A host at one moment."""

    host: str
    requests: int = 0
    """Number of requests sent, including retries."""
    received_bytes: int = 0
    """Bytes of bodies, on the wire."""
    waiting: Wait = ""
    """What most of its requests wait for now; empty if none is waiting."""
    wait_seconds: float | None = None
    """Seconds until it may be asked again, for ``retry-after``; None if unknown."""
    last_error: str = ""
    """The last error, in a few words; empty if there was none."""
    requests_per_second: float = 0.0
    """Bytes per second over the last half minute; filled in by `CollectProgress`."""
    bytes_per_second: float = 0.0
    """Likewise."""

    @classmethod
    def of(cls, host: str, counts: HostCounts) -> HostActivity:
        """Return the activity of a host from a web client's counts."""
        waiting: Wait = "answer" if counts.asking else ""
        if counts.waiting:
            waiting = "retry-after" if counts.paused > 0 else "rate"
        return cls(
            host=host,
            requests=counts.requests,
            received_bytes=counts.received,
            waiting=waiting,
            wait_seconds=counts.paused if waiting == "retry-after" else None,
            last_error=counts.last_error,
        )

    @property
    def words(self) -> str:
        """Return the host and what its requests wait for, in words.

        >>> HostActivity(host="export.arxiv.org", waiting="retry-after", wait_seconds=3.0).words
        'export.arxiv.org (asked to wait, 3 s)'
        """
        if not self.waiting:
            return self.host
        left = f", {duration(self.wait_seconds)}" if self.wait_seconds else ""
        return f"{self.host} ({WAITS[self.waiting]}{left})"
