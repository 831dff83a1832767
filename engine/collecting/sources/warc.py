"""Web archives: WARC files of responses, and WET files of the text of pages.

The format is ISO 28500; WET files are Common Crawl's (https://commoncrawl.org/get-started).
"""

from __future__ import annotations

import asyncio
import codecs
import re
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from os import PathLike, fspath
from typing import TYPE_CHECKING, ClassVar

from fsspec.utils import glob_translate

from ....storage.errors import CorpusChanged, CorpusNotFound, UsageError
from ....storage.filesystems.redaction import shown
from ....storage.messages.names import storable
from ..listed_item import Item, Page
from ..outcome import NotKept
from ..source import Source
from .bulk.http_message import (
    HttpMessage,
    decoded,
    digest_disagrees,
    http_message,
    without_chunks,
)
from .bulk.paging import in_thread, paged
from .bulk.spool import downloaded, spool_folder
from .bulk.stored_file import stored_file
from .bulk.walking import split_glob, walk
from .bulk.warc_framing import Framed, WarcReader

if TYPE_CHECKING:
    from ..web.web import Web

WARC_BYTES = 1 << 36
"""Size of the largest file that is downloaded, in bytes."""

DOCUMENT_BYTES = 32 << 20
"""Default for the largest record that is read, in bytes."""

MEDIA_TYPES = frozenset(
    {
        "application/epub+zip",
        "application/pdf",
        "application/tei+xml",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "application/xhtml+xml",
        "text/html",
        "text/markdown",
        "text/plain",
    }
)
"""Media types of responses that count as documents."""

_LISTED = frozenset({"response", "conversion", "revisit", "resource"})
"""Types of records that hold a document; the others describe one, or the file."""

_CURSOR = re.compile(r"([0-9]{1,18}):([0-9]{1,18}):(.+)", re.DOTALL)
_NOT_OF_THE_WEB = frozenset(
    {"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7"}
)
"""Python's codecs that no page uses; some of them take quadratic time."""

_STATUSES = {401: "forbidden", 403: "forbidden", 404: "not-found", 410: "not-found"}


class WarcFiles(Source):
    """The documents of WARC and WET files, in the order of the files and of their records.

    Responses with status 200 and a type of `MEDIA_TYPES` carry their decoded body; conversions, of
    WET files, carry their text. Others are listed with the reason for which they are not used.
    Digests, lengths and encodings are checked.

    Parameters
    ----------
    paths
        Files, as paths or URLs, with or without gzip, or with wildcards. Those of http and https
        are downloaded whole into the spool folder, one after the other; others are read where they
        are. Of files that are added later, only those after the last one that was read are found.
    most_bytes
        Bytes of the largest document to read.
    spool
        Folder for downloads; by default one in the user's cache.

    Examples
    --------
    >>> WarcFiles("crawl.warc.gz").settings()
    {'most_bytes': 33554432, 'paths': ['crawl.warc.gz']}
    """

    name: ClassVar[str] = "warc"
    homepage: ClassVar[str] = "https://iipc.github.io/warc-specifications/"

    def __init__(
        self,
        paths: str | PathLike[str] | Sequence[str | PathLike[str]],
        *,
        most_bytes: int = DOCUMENT_BYTES,
        spool: str | PathLike[str] | None = None,
    ) -> None:
        given = [paths] if isinstance(paths, str | PathLike) else list(paths)
        self.paths = [fspath(path) for path in given]
        if not self.paths:
            raise UsageError("name at least one WARC file")
        if len(set(self.paths)) < len(self.paths):
            raise UsageError("a WARC file is named twice")
        self.most_bytes = most_bytes
        self.spool = None if spool is None else fspath(spool)

    def settings(self) -> dict[str, object]:
        """Return what determines the items; where a download is kept does not."""
        return {name: value for name, value in super().settings().items() if name != "spool"}

    async def pages(self, web: Web, cursor: str | None) -> AsyncIterator[Page]:
        """Yield pages of documents; see `Source.pages`."""
        offset, number, last = _position(cursor)
        files = await asyncio.to_thread(self._files)
        if last and last not in files:
            raise CorpusChanged(f"{shown(last)}, which was read last, is missing: restore it")
        for file in files[files.index(last) if last else 0 :]:
            path = file
            if _is_of_the_web(file):
                folder = spool_folder(self.spool)
                path = str(await downloaded(web, file, folder, most_bytes=WARC_BYTES))
            begin = (offset, number) if file == last else (0, 0)
            async for page in in_thread(self._pages(file, path, begin)):
                yield page

    def _files(self) -> list[str]:
        """Return the files that the paths stand for, each once."""
        files: list[str] = []
        for path in self.paths:
            folder, pattern = (path, "") if _is_of_the_web(path) else split_glob(path)
            if not pattern:
                files.append(path)
                continue
            matches = re.compile(glob_translate(pattern)).match
            found = [one.path for one in walk(folder) if matches(one.relative) and not one.problem]
            if not found:
                raise CorpusNotFound(f"{shown(path)}: no file matches")
            files += found
        return list(dict.fromkeys(files))

    def _pages(self, name: str, path: str, begin: tuple[int, int]) -> Generator[Page, None, None]:
        file = stored_file(path)
        with file.opened() as opened:
            reader = WarcReader(opened, file.size, _LISTED, self.most_bytes)
            yield from paged(self._items(reader, name, begin))

    def _items(
        self, reader: WarcReader, name: str, begin: tuple[int, int]
    ) -> Iterator[tuple[Item, str]]:
        for record in reader.records(*begin):
            if record.type and record.type not in _LISTED:
                continue
            position = f"{record.offset}:{record.number}"
            place = f"{shown(name).rpartition('/')[2]}@{position}"
            try:
                item = self._item(record, place)
            except NotKept as refused:
                reason = (refused.reason, refused.detail)
                item = Item(key=_key(record, place), url=_url(record), refusal=reason)
            yield item, f"{position}:{name}"

    def _item(self, record: Framed, place: str) -> Item:
        if record.problem is not None:
            raise NotKept(*record.problem)
        truncated = record.headers.get("warc-truncated")
        if truncated:
            raise NotKept("truncated", f"by the crawler: {truncated[:40]}")
        if record.type == "revisit":
            raise NotKept(
                "unchanged", f"as at {record.headers.get('warc-refers-to-date', '?')[:40]}"
            )
        block = record.block or b""
        if digest_disagrees(record.headers.get("warc-block-digest", ""), block):
            raise NotKept("damaged", "its content is not that of WARC-Block-Digest")
        if record.type == "response":
            media_type, content = self._response(record, block)
            return _listed(record, place, media_type=media_type, content=content)
        media_type = record.headers.get("content-type", "").partition(";")[0].strip().lower()
        if record.type == "conversion" and media_type in {"text/plain", ""}:
            return _listed(record, place, media_type="text/plain", text=_text(block))
        _require_document(media_type)
        return _listed(record, place, media_type=media_type, content=block)

    def _response(self, record: Framed, block: bytes) -> tuple[str, bytes]:
        """Return a response's media type and its decoded body."""
        message = http_message(block)
        if message.status != 200:
            family = "server-error" if message.status >= 500 else "bad-status"
            raise NotKept(_STATUSES.get(message.status, family), f"status {message.status}")
        media_type = (
            message.media_type
            or record.headers.get("warc-identified-payload-type", "").strip().lower()
        )
        _require_document(media_type)
        payload = without_chunks(message)
        digest = record.headers.get("warc-payload-digest", "")
        encoding = message.headers.get("content-encoding", "")
        body = decoded(payload, encoding, self.most_bytes)
        # Writers differ in which encodings they undo before they take the digest.
        if digest_disagrees(digest, message.body, payload, body):
            raise NotKept("damaged", "its content is not that of WARC-Payload-Digest")
        return media_type, _in_declared_charset(body, message, media_type)


def _require_document(media_type: str) -> None:
    if media_type not in MEDIA_TYPES:
        raise NotKept("unknown-type", media_type[:80] or "no type")


def _in_declared_charset(body: bytes, message: HttpMessage, media_type: str) -> bytes:
    """Return a text in UTF-8 with a byte order mark, if it is valid in its server's charset.

    An item has no charset of its own, and a server's comes before what a page says of itself.
    """
    is_text = media_type.startswith("text/") or media_type.endswith("+xml")
    if not is_text or not message.charset or body[:3] == b"\xef\xbb\xbf":
        return body
    try:
        name = codecs.lookup(message.charset).name
        if name in _NOT_OF_THE_WEB:
            return body
        # The HTML standard reads pages in Latin-1 and ASCII as Windows-1252.
        name = "cp1252" if name in {"iso8859-1", "ascii"} else name
        return b"\xef\xbb\xbf" + body.decode(name).encode()
    except (LookupError, ValueError):
        return body


def _text(block: bytes) -> str:
    try:
        return block.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotKept("unreadable", f"not UTF-8 at byte {error.start}") from None


def _key(record: Framed, place: str) -> str:
    identifier = record.headers.get("warc-record-id", "").strip().strip("<>")
    if identifier and len(identifier) <= 200 and identifier.isprintable():
        return storable(identifier)
    url, date = _url(record), record.headers.get("warc-date", "")[:40]
    return storable(f"{url} {date}") if url and date else storable(place)


def _url(record: Framed) -> str:
    url = record.headers.get("warc-target-uri", "").strip().strip("<>")
    return storable(url) if len(url) <= 8192 and url.isprintable() else ""


def _listed(
    record: Framed,
    place: str,
    *,
    media_type: str,
    content: bytes | None = None,
    text: str | None = None,
) -> Item:
    languages = record.headers.get("warc-identified-content-language", "").strip()
    extra = {"date": record.headers.get("warc-date", "")[:40], "languages": languages[:80]}
    return Item(
        key=_key(record, place),
        url=_url(record),
        content=content,
        text=text,
        media_type=media_type,
        lang=languages if re.fullmatch("[a-z]{2,3}", languages) else "",
        extra={name: value for name, value in extra.items() if value},
    )


def _is_of_the_web(path: str) -> bool:
    return path.lower().startswith(("http://", "https://"))


def _position(cursor: str | None) -> tuple[int, int, str]:
    """Return a cursor's offset, number and file."""
    if cursor is None:
        return 0, 0, ""
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise NotKept("bad-record", f"cursor {cursor[:60]!r} is not one of WARC files")
    return int(match[1]), int(match[2]), match[3]
