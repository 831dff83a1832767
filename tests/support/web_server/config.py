"""What the imitator serves, how fast, and what goes wrong."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong with some requests.

    Kinds: ``status`` (answered with `status`, `retry_after` and `body`), ``reset`` (the connection
    is reset), ``lost`` (it is closed without an answer), ``late`` (answered after `seconds`),
    ``slow`` (the body in pieces of `piece` bytes, `seconds` apart), ``truncated`` (half of the body
    that Content-Length promises), ``endless`` (a body without end), ``redirect`` (to `location`),
    ``body`` (answered with `body` of type `media_type`).
    """

    kind: str
    match: str = ""
    """A regular expression to be found in "HOST TARGET"."""
    attempts: tuple[int, ...] = (1,)
    """Which askings of the same target by anybody, from 1; empty for all."""
    share: float = 1.0
    """Share of the targets that it happens to, chosen by the seed."""
    status: int = 503
    retry_after: str = ""
    location: str = ""
    body: str = ""
    media_type: str = "text/html; charset=utf-8"
    seconds: float = 1.0
    piece: int = 64


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """The imitator's settings. Sizes are what a test of a second can list."""

    seed: int = 0
    hosts: int = 30
    latency: float = 0.0
    """Seconds before each answer begins."""
    limit: tuple[int, float] | None = None
    """Requests that a host accepts in any such number of seconds; others get `refusal`."""
    refusal: int = 429
    retry_after: str = "1"
    gzip: bool = True
    """Whether bodies are compressed for those who accept it."""
    records: int = 300
    """Records of arXiv."""
    records_per_day: int = 40
    """With one datestamp."""
    oai_page: int = 50
    token_seconds: float = 3600.0
    """Life of a resumption token."""
    empty_pages: bool = False
    """Whether the first asking of every third page of the Atom API gives no entries."""
    deposits: int = 200
    """Documents of HAL."""
    books: int = 60
    articles: int = 40
    """Pages of the dump."""
    pages: int = 1000
    """Web pages of each host."""
    robots: str = "User-agent: *\nDisallow: /private/\n"
    faults: tuple[Fault, ...] = ()

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ServerConfig:
        values = json.loads(text)
        faults = tuple(
            Fault(**{**fault, "attempts": tuple(fault["attempts"])}) for fault in values["faults"]
        )
        return cls(**{**values, "faults": faults})
