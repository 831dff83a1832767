"""What becomes of an item: kept, skipped or failed, and the closed list of reasons.

Reasons are codes in ledgers and data cards; `REASONS` explains them. Code that refuses an item
raises `NotKept`; any other exception ends the collection.
"""

from __future__ import annotations

from typing import Literal

from ...storage.errors import PaniniError

Kind = Literal["skipped", "failed"]

SKIPPED = {
    "duplicate": "its text is already in the corpus",
    "no-text": "it holds no text",
    "robots": "the host's robots.txt disallows it",
    "unchanged": "it has not changed since it was collected",
    "deleted": "its source lists it as deleted or withdrawn",
    "not-an-article": "it is a redirect, a template or another page that is not an article",
}
"""Reasons for which an item is skipped: nothing went wrong."""

FAILED = {
    "bad-url": "its address is not a usable http or https address",
    "private-address": "its host is a private, loopback or link-local address",
    "unknown-host": "its host's name could not be resolved",
    "unreachable": "its host could not be connected to, or dropped the connection",
    "tls": "its host's certificate could not be verified",
    "timeout": "its host did not answer in time",
    "too-slow": "its body arrived too slowly",
    "no-robots": "its host's robots.txt could not be fetched, so nothing else is",
    "not-found": "its host does not have it",
    "forbidden": "its host refuses access to it",
    "busy": "its host kept asking to wait",
    "server-error": "its host kept failing",
    "bad-status": "its host answered with an unexpected status",
    "bad-redirect": "it was redirected in a circle, too often or to nowhere",
    "bad-headers": "its headers contradict one another or the body",
    "truncated": "its body ended early",
    "too-large": "its body is larger than the limit",
    "bad-compression": "its compressed body is damaged or of an unknown kind",
    "bomb": "it expands to far more than its size",
    "unsafe-path": "it names a file outside its archive",
    "unknown-type": "its type is not among those that text is extracted from",
    "wrong-type": "its content is not what its type says",
    "damaged": "it could not be parsed",
    "encrypted": "it is encrypted",
    "unreadable": "its bytes are not text in any known encoding",
    "too-deep": "it is nested too deeply",
    "took-too-long": "extracting its text took too long",
    "too-much-memory": "extracting its text took too much memory",
    "crashed": "extracting its text ended the process",
    "bad-record": "its source's record of it could not be understood",
}
"""Reasons for which an item fails."""

REASONS = SKIPPED | FAILED
"""Explanations of all reasons, by code."""

TRANSIENT = frozenset(
    {
        "unknown-host",
        "unreachable",
        "timeout",
        "too-slow",
        "no-robots",
        "busy",
        "server-error",
        "truncated",
    }
)
"""Transient reasons: the item may be kept when it is retried."""


RETRIED = TRANSIENT | {"private-address"}
"""Reasons with which a failed item can be tried again: those that may be gone, and that of hosts
which a user may allow."""


class NotKept(PaniniError):
    """An item is skipped or has failed.

    Parameters
    ----------
    reason
        A key of `REASONS`.
    detail
        A few words: a status, a host, a size or an exception's message. May be empty.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    @property
    def kind(self) -> Kind:
        """Whether the item is skipped or has failed."""
        return "skipped" if self.reason in SKIPPED else "failed"

    def __str__(self) -> str:
        return f"{REASONS[self.reason]} ({self.detail})" if self.detail else REASONS[self.reason]
