"""Data sets of the Hugging Face Hub, or of any folder that is laid out like one.

The layout is described at https://huggingface.co/docs/hub/datasets-file-names-and-splits.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Generator, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from fsspec.utils import glob_translate

from ....storage.errors import BackendUnavailable, CorpusChanged, CorpusNotFound, UsageError
from ....storage.filesystems.redaction import shown
from ....storage.messages.names import listed, storable
from ..listed_item import Item, Page
from ..outcome import NotKept
from ..source import Source
from .bulk.paging import in_thread, paged
from .bulk.stored_file import stored_file
from .bulk.table_rows import ENDINGS, Row, rows_of
from .bulk.walking import Found, walk

if TYPE_CHECKING:
    from ..web.web import Web

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?")
_REVISION = re.compile(r"[A-Za-z0-9._~/-]{1,100}")
_CURSOR = re.compile(r"([0-9]{1,9}):([0-9]{1,9}):([0-9]{1,18})")
_WORDS = re.compile(r"[^A-Za-z0-9]+")
_FIELDS = ("id", "title", "lang", "licence", "url")
_EXTRA_CHARACTERS = 2000


class HuggingFaceDataset(Source):
    """The rows of one split of a data set, in the order of its files.

    Parquet and JSON Lines files are read through fsspec's ``hf://``, as they are needed. Rows that
    have no text are listed with the reason.

    Parameters
    ----------
    name
        The data set: ``owner/name``, or ``owner/name@revision``.
    config
        Its configuration, if its files are in several: a folder of that name, or part of the
        files' names.
    split
        The split: part of the files' names, or their folder.
    text_column
        The column to take texts from.
    columns
        Columns for ``id``, ``title``, ``lang``, ``licence`` and ``url``, where there are some. Keys
        are the id, or file and row.
    extra_columns
        Columns to keep as further facts.
    licence
        The licence of all rows, an SPDX identifier.
    files
        Glob for the files to read, instead of a configuration and a split.
    revision
        A branch, tag or commit. Only a commit guarantees that the rows never change.
    base
        A folder that holds such files, on any filesystem, instead of the Hub.

    Examples
    --------
    >>> HuggingFaceDataset("owner/name", columns={"title": "heading"}).folder
    'hf://datasets/owner/name@main'
    """

    name: ClassVar[str] = "hugging-face"
    homepage: ClassVar[str] = "https://huggingface.co/datasets"

    def __init__(
        self,
        name: str,
        config: str | None = None,
        split: str = "train",
        text_column: str = "text",
        *,
        columns: Mapping[str, str] | None = None,
        extra_columns: Sequence[str] = (),
        licence: str = "",
        files: str | None = None,
        revision: str = "main",
        base: str | None = None,
    ) -> None:
        name, at, given_revision = name.partition("@")
        revision = given_revision if at else revision
        if not _NAME.fullmatch(name) or not _REVISION.fullmatch(revision):
            raise UsageError(f"a data set is named 'owner/name', not {name!r} at {revision!r}")
        unknown = sorted(set(columns or ()) - set(_FIELDS))
        if unknown:
            raise UsageError(f"columns: unknown {listed(unknown)}; choose from {listed(_FIELDS)}")
        self.dataset, self.config, self.split = name, config, split
        self.text_column, self.columns = text_column, dict(columns or {})
        self.extra_columns, self.every_licence = list(extra_columns), licence
        self.files, self.revision, self.base = files, revision, base

    @property
    def folder(self) -> str:
        """The folder of the data set's files."""
        return self.base or f"hf://datasets/{self.dataset}@{self.revision}"

    async def pages(self, web: Web, cursor: str | None) -> AsyncIterator[Page]:  # noqa: ARG002
        """Yield pages of rows; see `Source.pages`."""
        if self.base is None and find_spec("huggingface_hub") is None:
            raise BackendUnavailable(
                "data sets of the Hub are read with huggingface_hub; pip install huggingface_hub"
            )
        async for page in in_thread(self._pages(cursor)):
            yield page

    def _pages(self, cursor: str | None) -> Generator[Page, None, None]:
        files = self._files()
        count, first, row = _position(cursor)
        if cursor is not None and count != len(files):
            raise CorpusChanged(
                f"{shown(self.folder)} has {len(files)} files of this split, but this collection "
                f"began with {count}: name a revision, or begin another collection"
            )
        yield from paged(self._items(files, first, row))

    def _files(self) -> list[Found]:
        every = [found for found in walk(self.folder) if found.relative.lower().endswith(ENDINGS)]
        chosen = [found for found in every if self._is_chosen(found.relative)]
        if not chosen:
            others = listed(found.relative for found in every)
            wanted = f"files {self.files!r}" if self.files else f"split {self.split!r}"
            config = f" of configuration {self.config!r}" if self.config else ""
            raise CorpusNotFound(
                f"{shown(self.folder)}: no Parquet or JSON Lines file of {wanted}{config}; "
                f"it has {others}"
            )
        return chosen

    def _is_chosen(self, relative: str) -> bool:
        if self.files is not None:
            return re.match(glob_translate(self.files), relative) is not None
        *folders, file = relative.split("/")
        stem = file.partition(".")[0]
        split = self.split in folders or self.split in _WORDS.split(stem)
        config = not self.config or self.config in folders or stem.startswith(self.config)
        return split and config

    def _items(self, files: list[Found], first: int, start: int) -> Iterator[tuple[Item, str]]:
        columns = sorted({self.text_column, *self.columns.values(), *self.extra_columns})
        for index in range(first, len(files)):
            found = files[index]
            rows = rows_of(stored_file(found.path), columns, start if index == first else 0)
            for number, row in rows:
                yield self._item(found, number, row), f"{len(files)}:{index}:{number + 1}"

    def _item(self, found: Found, number: int, row: Row) -> Item:
        place = storable(f"{found.relative}:{number}")
        if isinstance(row, NotKept):
            return Item(key=place, refusal=(row.reason, row.detail))
        given = {name: _word(row[column]) for name, column in self.columns.items()}
        text = row[self.text_column]
        refusal = None
        if text is None:
            refusal = "no-text", f"{self.text_column} is null"
        elif not isinstance(text, str) or not _is_unicode(text):
            refusal = "bad-record", f"{self.text_column} is not text"
        extra = {name: _word(row[name]) for name in self.extra_columns}
        return Item(
            key=given.get("id") or place,
            url=given.get("url", ""),
            text=None if refusal else text,
            title=given.get("title", ""),
            lang=given.get("lang", ""),
            licence=given.get("licence") or self.every_licence,
            extra={name: value for name, value in extra.items() if value},
            refusal=refusal,
        )


def _word(value: Any) -> str:
    """Return a column's value as a short text."""
    return "" if value is None else storable(str(value))[:_EXTRA_CHARACTERS]


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # JSON can hold lone surrogates
        return False
    return True


def _position(cursor: str | None) -> tuple[int, int, int]:
    """Return a cursor's number of files, its file and its row."""
    if cursor is None:
        return 0, 0, 0
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise NotKept("bad-record", f"cursor {cursor[:60]!r} is not one of a data set")
    count, index, row = map(int, match.groups())
    return count, index, row
