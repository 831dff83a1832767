"""A folder of documents: PDF, HTML, text, DOCX, EPUB, Markdown, TEI, CoNLL-U, and zips of them."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, ClassVar

from fsspec.utils import glob_translate

from ....storage.errors import UsageError
from ....storage.filesystems.redaction import shown
from ....storage.messages.names import listed, storable
from ..listed_item import Item, Page
from ..outcome import NotKept
from ..source import Source
from .bulk.paging import in_thread, paged
from .bulk.stored_file import stored_file
from .bulk.walking import Found, plain_path, split_glob, walk
from .bulk.zip_listing import Member, members_of

if TYPE_CHECKING:
    from ..web.web import Web

DOCUMENT_BYTES = 256 << 20
"""Default for the largest document that is read, in bytes."""

TYPES = {
    "conllu": {".conllu": "text/x-conllu", ".conll": "text/x-conllu"},
    "docx": {
        ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    },
    "epub": {".epub": "application/epub+zip"},
    "html": {
        ".html": "text/html",
        ".htm": "text/html",
        ".xhtml": "application/xhtml+xml",
    },
    "markdown": {".md": "text/markdown", ".markdown": "text/markdown"},
    "pdf": {".pdf": "application/pdf"},
    "tei": {".tei": "application/tei+xml", ".xml": "application/tei+xml"},
    "text": {".txt": "text/plain", ".text": "text/plain"},
}
"""Types of documents by their names in `Folder`: media types by file ending."""

_CORPUS_ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
_BEGINNING = json.dumps(["", 0])
"""Cursor of the first file."""

_CORPUS = "it is a corpus already: use open_corpus"


class Folder(Source):
    """The documents of a folder and its subfolders, on a local disk or any filesystem of fsspec.

    Files are listed in the order of their paths. Those whose names begin with a dot are left out,
    and so are collected corpora and stores of results; other files that are not documents are
    listed with the reason for which they are not read. Zip archives are opened, and their documents
    listed as ``archive.zip::name``. A repeated collection lists the whole folder again, and adds
    new files.

    Parameters
    ----------
    path
        The folder, a path or a URL; or one file or archive; or a folder and a pattern in one:
        ``gs://bucket/books/**/*.pdf``.
    pattern
        Glob for the files' paths relative to the folder, or to their archive.
    types
        Names of `TYPES`, as a list or as a text with commas; files of other types are then left
        out without a reason.
    most_bytes
        Bytes of the largest document to read.

    Examples
    --------
    >>> Folder("/data/letters", types=["pdf", "text"]).settings()["types"]
    ['pdf', 'text']
    """

    name: ClassVar[str] = "folder"

    def __init__(
        self,
        path: str | PathLike[str],
        pattern: str = "**/*",
        *,
        types: Sequence[str] | str | None = None,
        most_bytes: int = DOCUMENT_BYTES,
    ) -> None:
        if isinstance(types, str):
            types = [one.strip() for one in types.split(",")]
        unknown = sorted(set(types or ()) - set(TYPES))
        if unknown:
            raise UsageError(f"unknown types {listed(unknown)}; choose among {listed(TYPES)}")
        self.path = plain_path(path)
        if "::" in self.path:
            raise UsageError(f"{shown(self.path)}: name the archive, and its files by a pattern")
        self.pattern = pattern
        self.types = None if types is None else sorted(types)
        self.most_bytes = most_bytes

    async def pages(self, web: Web, cursor: str | None) -> AsyncIterator[Page]:  # noqa: ARG002
        """Yield pages of documents; see `Source.pages`."""
        async for page in in_thread(self._pages(cursor)):
            yield page

    def _pages(self, cursor: str | None) -> Generator[Page, None, None]:
        yield from paged(self._items(*_position(cursor)))
        yield Page(items=(), cursor=_BEGINNING)  # later files may come before those listed now

    def _items(self, begin: str, done: int) -> Iterator[tuple[Item, str]]:
        folder, pattern = split_glob(self.path)
        matches = re.compile(glob_translate(pattern or self.pattern)).match
        after = tuple(begin.split("/")) if begin else ()
        for found in walk(folder, after):
            skipped = done if found.parts == after else 0
            if not found.relative.lower().endswith(".zip") or found.problem:
                if not skipped and matches(found.relative):
                    yield from self._file(found)
                continue
            for number, item in enumerate(self._archive(found, matches), 1):
                if number > skipped:
                    yield item, json.dumps([found.relative, number])

    def _file(self, found: Found) -> Iterator[tuple[Item, str]]:
        media_type, refusal = self._type(found.relative)
        if self.types is not None and not media_type and not found.problem:
            return
        if _is_misleading(found.relative):
            refusal = "unsafe-path", "its name is not UTF-8, or holds '::' or a control character"
        elif found.size > self.most_bytes:
            refusal = "too-large", f"{found.size} bytes"
        refusal = found.problem or refusal
        item = _item(found, media_type=media_type, refusal=refusal)
        yield item, json.dumps([found.relative, 1])

    def _archive(self, found: Found, matches: Callable[[str], object]) -> Iterator[Item]:
        """Yield the items of an archive, or one item with the reason why it cannot be read."""
        try:
            file = stored_file(found.path)
            with file.opened() as opened:
                members = members_of(opened, file.size, self.most_bytes)
        except NotKept as refused:
            reason = (refused.reason, refused.detail)
            yield _item(found, refusal=reason)
            return
        seen: dict[str, int] = {}
        for member in members:
            if not matches(member.name):
                continue
            media_type, refusal = self._type(member.name)
            if self.types is not None and not media_type:
                continue
            seen[member.name] = seen.get(member.name, 0) + 1
            refusal = member.problem or refusal
            item = _item(found, member, media_type=media_type, refusal=refusal)
            again = seen[member.name]
            yield item if again == 1 else replace(item, key=f"{item.key}#{again}")

    def _type(self, name: str) -> tuple[str, tuple[str, str] | None]:
        """Return a file's media type by its ending, or the reason for which it has none."""
        lower = name.lower()
        inner = lower.removesuffix(".gz")
        if inner.endswith(_CORPUS_ENDINGS):
            return "", ("unknown-type", _CORPUS)
        for type_name, endings in TYPES.items():
            for ending, media_type in endings.items():
                if inner.endswith(ending) and (self.types is None or type_name in self.types):
                    return ("application/gzip" if inner != lower else media_type), None
        ending = lower.rpartition("/")[2].rpartition(".")[2][:20]
        return "", ("unknown-type", f".{ending}" if "." in lower else "no ending")


def _is_misleading(name: str) -> bool:
    """Return whether a file's name cannot be stored, or could be taken for another path."""
    return "::" in name or name != storable(name) or any(ord(letter) < 32 for letter in name)


def _item(
    found: Found,
    member: Member | None = None,
    *,
    media_type: str = "",
    refusal: tuple[str, str] | None = None,
) -> Item:
    """Return the item of a file, or of a member of an archive."""
    inside = f"::{member.name}" if member else ""
    extra = {"modified": member.modified if member else found.modified, "etag": found.etag}
    return Item(
        key=storable(found.relative + inside),
        url=storable(shown(found.path)) if "://" in found.path else "",
        path="" if refusal else found.path + inside,
        media_type="" if refusal else media_type,
        extra={name: value for name, value in extra.items() if value},
        refusal=refusal,
    )


def _position(cursor: str | None) -> tuple[str, int]:
    """Return a cursor's path, and how many items of it were listed."""
    if cursor is None:
        return "", 0
    try:
        path, done = json.loads(cursor)
    except (ValueError, TypeError):
        path, done = None, None
    if not isinstance(path, str) or not isinstance(done, int) or isinstance(done, bool) or done < 0:
        raise NotKept("bad-record", f"cursor {cursor[:60]!r} is not one of a folder")
    return path, done
