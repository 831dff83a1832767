"""`Answer` and `Validators`: an HTTP answer that was read whole and checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Validators:
    """Headers for a conditional request, so that an unchanged page is not sent again."""

    etag: str = ""
    last_modified: str = ""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A body that was received whole."""

    url: str
    """Its URL, after redirects."""
    status: int
    """200, or 304 if it is unchanged."""
    body: bytes
    """The body, decompressed according to `Content-Encoding`; empty if it is unchanged."""
    media_type: str = ""
    """Lower-case type without parameters: ``text/html``; empty if the server gave none."""
    charset: str = ""
    """The charset of `Content-Type`; empty if the server gave none."""
    validators: Validators = field(default_factory=Validators)
    retrieved: datetime
    """When the answer came, in UTC, by this machine's clock."""
    received_bytes: int
    """Bytes of the body on the wire."""

    @property
    def unchanged(self) -> bool:
        """Whether the server says that nothing has changed since the validators were sent."""
        return self.status == 304
