"""Dumps and web archives for tests, written from the public descriptions of their formats."""

from __future__ import annotations

import asyncio
import base64
import bz2
import gzip
import hashlib
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from paninifs.engine.collecting.listed_item import Item, Page
from paninifs.engine.collecting.source import Source

HEAD = b"""<mediawiki version="0.11" xml:lang="fr"
  xmlns="http://www.mediawiki.org/xml/export-0.11/">
  <siteinfo><sitename>Wikip\xc3\xa9dia</sitename><dbname>frwiki</dbname></siteinfo>
"""
TAIL = b"</mediawiki>\n"


def dump_page(
    number: int,
    text: str = "Un ''texte''.",
    *,
    title: str | None = None,
    namespace: int = 0,
    redirect: str = "",
    model: str = "wikitext",
) -> bytes:
    """A page as an export has it."""
    to = f"<redirect title={quoteattr(redirect)} />" if redirect else ""
    return f"""  <page>
    <title>{escape(title or f"Article {number}")}</title>
    <ns>{namespace}</ns>
    <id>{number}</id>{to}
    <revision>
      <id>{number + 1000}</id>
      <timestamp>2026-11-01T00:00:{number % 60:02}Z</timestamp>
      <model>{model}</model>
      <text bytes="{len(text.encode())}" xml:space="preserve">{escape(text)}</text>
    </revision>
  </page>
""".encode()


def multistream(pages: Iterable[bytes], each: int = 3) -> bytes:
    """A dump of many bz2 streams."""
    streams = [bz2.compress(HEAD)]
    pages = iter(pages)
    while some := list(itertools.islice(pages, each)):
        streams.append(bz2.compress(b"".join(some)))
    return b"".join([*streams, bz2.compress(TAIL)])


def sha1(data: bytes) -> str:
    """A digest as WARC headers have it."""
    return "sha1:" + base64.b32encode(hashlib.sha1(data).digest()).decode()


def http_response(
    body: bytes, status: str = "200 OK", media_type: str = "text/html", **headers: str
) -> bytes:
    """The block of a response."""
    given = {"Content-Type": media_type, "Content-Length": str(len(body))}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in given.items() if value]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode() + body


def warc_record(
    number: int,
    block: bytes,
    kind: str = "response",
    *,
    length: int | None = None,
    payload: bytes | None = None,
    **headers: str,
) -> bytes:
    """A record, with the right digests unless others are given."""
    given = {
        "WARC-Type": kind,
        "WARC-Record-ID": f"<urn:uuid:00000000-0000-0000-0000-{number:012}>",
        "WARC-Date": "2026-11-01T00:00:00Z",
        "WARC-Target-URI": f"http://host.example/{number}",
        "WARC-Block-Digest": sha1(block),
        "Content-Type": "application/http; msgtype=response",
        "Content-Length": str(len(block) if length is None else length),
    }
    if kind == "response":
        body = block.partition(b"\r\n\r\n")[2]
        given["WARC-Payload-Digest"] = sha1(body if payload is None else payload)
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in given.items() if value]
    return "\r\n".join(["WARC/1.0", *lines, "", ""]).encode() + block + b"\r\n\r\n"


def warc_info() -> bytes:
    """The record that begins a file."""
    return warc_record(
        0, b"software: by hand\r\n", "warcinfo", Content_Type="application/warc-fields"
    )


def written(path: Path, records: Iterable[bytes]) -> Path:
    """Write records; each is a member of its own if the name ends in .gz."""
    pack = gzip.compress if path.suffix == ".gz" else bytes
    path.write_bytes(b"".join(map(pack, records)))
    return path


def pages_of(source: Source, cursor: str | None = None, web: Any = None) -> list[Page]:
    """All pages of a source, from a cursor on."""

    async def read() -> list[Page]:
        return [page async for page in source.pages(web, cursor)]

    return asyncio.run(read())


def items_of(source: Source, cursor: str | None = None, web: Any = None) -> list[Item]:
    """All items of a source, from a cursor on."""
    return [item for page in pages_of(source, cursor, web) for item in page.items]


def reasons_of(items: Iterable[Item]) -> list[str]:
    """Why items are refused; empty for those that are not."""
    return [item.refusal[0] if item.refusal else "" for item in items]
