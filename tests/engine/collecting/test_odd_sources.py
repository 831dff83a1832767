"""Sources of a user's own that yield what they should not: what they listed well is kept.

A bad item fails alone, also one that is to be read from a file, so that no collection is stuck at
it; a bad page ends listing, with a line that says what to do.
"""

from __future__ import annotations

import asyncio
import os

import pytest
from collecting import collected, rows

from paninifs.engine.collecting.ledger.ledger import Ledger
from paninifs.engine.collecting.listed_item import Item, Page
from paninifs.engine.collecting.outcome import NotKept
from paninifs.engine.collecting.pipeline import source_check
from paninifs.engine.collecting.pipeline.source_check import require_source
from paninifs.engine.collecting.source import Source
from paninifs.storage.errors import RunFailed, UsageError
from paninifs.storage.targets.open import open_target

GOOD = Item(key="good", text="a text that is good", lang="en")


class Odd(Source):
    """Lists given pages, or calls what makes one."""

    name = "odd"

    def __init__(self, *pages):
        self.listed = pages

    def settings(self):
        return {}

    async def pages(self, web, cursor):
        for number in range(int(cursor or 0), len(self.listed)):
            page = self.listed[number]
            if isinstance(page, BaseException):
                raise page
            yield Page(items=page, cursor=str(number + 1)) if isinstance(page, tuple) else page


def gathered(source, tmp_path):
    corpus = open_target(tmp_path / "corpus")
    collected(source, "", tmp_path / "cache", target=corpus)
    return corpus


def reasons(corpus):
    return Ledger.read(corpus).state.sources[0].counts.reasons


def document(tmp_path):
    path = tmp_path / "document.txt"
    path.write_text("a text in a file")
    return str(path)


BAD_FIELDS = {
    "title": 5,
    "lang": 5,
    "licence": ["CC0-1.0"],
    "media_type": b"text/plain",
    "url": 7,
    "extra": [1, 2],
}


@pytest.mark.parametrize("name", BAD_FIELDS)
def test_a_field_of_another_type_fails_its_item_alone(name, tmp_path):
    bad = {"path": document(tmp_path), name: BAD_FIELDS[name]}
    corpus = gathered(Odd((Item(key="bad", **bad),), (GOOD,)), tmp_path)
    assert reasons(corpus) == {"bad-record": 1}
    assert [row["id"] for row in rows(corpus)] == ["good"]


@pytest.mark.parametrize("path", [7, "a\0b", "nowhere://a/b", "/a/b/../../dev/null"])
def test_a_path_that_cannot_be_opened_fails_its_item_alone(path, tmp_path):
    corpus = gathered(Odd((Item(key="bad", path=path),), (GOOD,)), tmp_path)
    assert sum(reasons(corpus).values()) == 1
    assert [row["id"] for row in rows(corpus)] == ["good"]


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    corpus = gathered(Odd((Item(key="pipe", path=str(tmp_path / "pipe.txt")), GOOD)), tmp_path)
    assert reasons(corpus) == {"unknown-type": 1}


def test_contents_are_bytes_and_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(source_check, "MOST_BYTES", 100)
    items = [
        Item(key="number", content=10**15),  # bytes() would make as many zeros
        Item(key="long", content=b"x" * 101),
        Item(key="long text", text="x" * 26),
    ]
    corpus = gathered(Odd((*items, GOOD)), tmp_path)
    assert reasons(corpus) == {"bad-record": 1, "too-large": 2}
    assert [row["id"] for row in rows(corpus)] == ["good"]


BAD_PAGES = {
    "no page": (None, "yielded None: not a Page"),
    "no items": (Page(items=None, cursor="2"), "with items None"),
    "a text for an item": (("abc",), "'abc': it must be an Item"),
    "a number for a cursor": (Page(items=(), cursor=1), "with cursor 1; it must be a text"),
    "an exception": (KeyError("token"), "KeyError: 'token'; collect again"),
    "a refusal": (NotKept("busy", "503"), "cannot be listed further: its host kept asking to wait"),
    "a cancellation": (asyncio.CancelledError(), "was cancelled by itself; collect again"),
}


@pytest.mark.parametrize("name", BAD_PAGES)
def test_a_bad_page_ends_listing_and_what_came_is_kept(name, tmp_path):
    page, message = BAD_PAGES[name]
    with pytest.raises((RunFailed, UsageError), match=message):
        gathered(Odd((GOOD,), page), tmp_path)
    assert [row["id"] for row in rows(open_target(tmp_path / "corpus"))] == ["good"]


@pytest.mark.parametrize("total", ["many", -1, 2.5, True])
def test_a_total_that_is_no_count_is_not_believed(total, tmp_path):
    corpus = gathered(Odd(Page(items=(GOOD,), cursor="1", total=total)), tmp_path)
    assert len(rows(corpus)) == 1


def plain(source, web, cursor):
    yield Page(items=(GOOD,), cursor="1")


async def coroutine(source, web, cursor):
    return [Page(items=(GOOD,), cursor="1")]


@pytest.mark.parametrize("pages", [plain, coroutine, lambda *_: [], lambda *_: None])
def test_pages_must_be_an_async_generator(pages, tmp_path):
    made = type("Made", (Source,), {"name": "made", "pages": pages})
    with pytest.raises(UsageError, match=r"Made\.pages must be an async generator"):
        gathered(made(), tmp_path)


@pytest.mark.slow("stores a thousand empty pages")
def test_pages_that_bring_nothing_end(tmp_path):
    class Endless(Source):
        name = "endless"

        async def pages(self, web, cursor):
            while True:
                yield Page(items=(GOOD,), cursor="here")

    with pytest.raises(RunFailed, match=r"1,000 pages in a row .* must end, or move the cursor"):
        gathered(Endless(), tmp_path)
    assert len(rows(open_target(tmp_path / "corpus"))) == 1


BAD_CLASSES = [
    {},
    {"name": ""},
    {"name": "a\udcff"},
    {"name": "odd", "licence": None},
    {"name": "odd", "homepage": 5},
    {"name": "odd", "limits": {"api.example.org": "3"}},
    {"name": "odd", "limits": [3]},
]


@pytest.mark.parametrize("attributes", BAD_CLASSES)
def test_a_class_is_checked_before_anything_is_written(attributes):
    with pytest.raises(UsageError):
        require_source(type("Made", (Source,), attributes)())


def test_settings_are_a_mapping(tmp_path):
    made = type("Made", (Odd,), {"settings": lambda self: [1]})
    with pytest.raises(UsageError, match="must return a mapping"):
        gathered(made(), tmp_path)


class Noticed(Odd):
    """A source whose documents begin with a notice."""

    def own_text(self, text):
        return text.removeprefix("A notice. ")


def test_a_source_cuts_off_what_is_not_the_items(tmp_path):
    content = b"A notice. A text of its own."
    items = (
        Item(key="document", content=content),
        Item(key="nothing else", content=b"A notice. "),
        Item(key="text", text="A notice. Of the item."),
    )
    corpus = gathered(Noticed(items), tmp_path)
    assert [row["text"] for row in rows(corpus)] == [
        "A text of its own.",
        "A notice. Of the item.",
    ]
    assert reasons(corpus) == {"no-text": 1}


def test_an_own_text_that_is_none_ends_the_collection(tmp_path):
    made = type("Made", (Odd,), {"own_text": lambda self, text: None})
    with pytest.raises(RunFailed, match=r"own_text.. of the source returned NoneType"):
        gathered(made((Item(key="a", content=b"some text"),)), tmp_path)
