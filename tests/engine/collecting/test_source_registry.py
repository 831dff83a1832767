"""Whether texts name the sources that they should."""

from __future__ import annotations

import inspect
import re

import fsspec
import pytest

from paninifs.engine.collecting.source import Source
from paninifs.engine.collecting.sources import source_registry
from paninifs.engine.collecting.sources.source_registry import SOURCES, options_of, source_of
from paninifs.storage.errors import UsageError


@pytest.fixture
def named(monkeypatch):
    """Return a function from a text to the name of its source and its settings, unmade."""

    def named(text, **options):
        made = []
        monkeypatch.setattr(
            source_registry, "_made", lambda name, given, more: made.append((name, given, more))
        )
        source_of(text, **options)
        return made[0]

    return named


@pytest.mark.parametrize(
    ("text", "name", "given"),
    [
        ("arxiv", "arxiv", {}),
        ("arxiv:", "arxiv", {}),
        (" arxiv:cs.CL ", "arxiv", {"category": "cs.CL"}),
        ("arxiv-search:cat:cs.CL AND abs:x", "arxiv-search", {"query": "cat:cs.CL AND abs:x"}),
        ("hal:title_t:japon", "hal", {"query": "title_t:japon"}),
        ("gutenberg:fr,it", "gutenberg", {"languages": "fr,it"}),
        ("wikipedia:fr", "wikipedia", {"lang": "fr"}),
        ("urls:list", "urls", {"path": "list"}),
        ("urls.txt", "urls", {"path": "urls.txt"}),
        ("gs://bucket/a/b.csv.gz", "urls", {"path": "gs://bucket/a/b.csv.gz"}),
        ("./some.jsonl", "urls", {"path": "./some.jsonl"}),
        ("s3://crawl/a.warc.gz", "warc", {"paths": "s3://crawl/a.warc.gz"}),
        ("a.wet", "warc", {"paths": "a.wet"}),
        ("hf://datasets/owner/name", "huggingface", {"name": "owner/name"}),
        (
            "frwiki-20261101-pages-articles-multistream.xml.bz2",
            "wikipedia",
            {"path": "frwiki-20261101-pages-articles-multistream.xml.bz2"},
        ),
        ("documents/", "folder", {"path": "documents/"}),
        ("gs://bucket/**/*.pdf", "folder", {"path": "gs://bucket/**/*.pdf"}),
        ("books.zip", "folder", {"path": "books.zip"}),
    ],
)
def test_a_text_names_a_source(named, text, name, given):
    assert named(text) == (name, given, {})


def test_a_folder_that_is_there_needs_no_slash(named, tmp_path, monkeypatch):
    assert named(str(tmp_path)) == ("folder", {"path": str(tmp_path)}, {})
    (tmp_path / "arxiv").mkdir()
    monkeypatch.chdir(tmp_path)
    assert named("./arxiv")[0] == "folder"
    assert named("arxiv")[0] == "arxiv"


def test_globs_of_web_archives_are_expanded(named, tmp_path):
    for name in ("b.warc.gz", "a.warc.gz", "c.txt"):
        (tmp_path / name).touch()
    paths = [str(tmp_path / name) for name in ("a.warc.gz", "b.warc.gz")]
    assert named(f"{tmp_path}/*.warc.gz") == ("warc", {"paths": paths}, {})
    assert named(f"warc:{tmp_path}/*.warc*") == ("warc", {"paths": paths}, {})
    with pytest.raises(UsageError, match="no such files"):
        named(f"{tmp_path}/*.wet")
    with fsspec.open("memory://crawl/a.wet", "wb"):
        pass
    assert named("memory://crawl/*.wet")[1] == {"paths": ["memory:///crawl/a.wet"]}


@pytest.mark.parametrize("text", ["", "arxvi:cs.CL", "nothing", "http://a.test/page", "x.pdf"])
def test_an_unknown_source_lists_the_choices(text):
    with pytest.raises(
        UsageError, match=re.escape("is neither a source nor a file or folder")
    ) as caught:
        source_of(text)
    for entry in SOURCES.values():
        assert entry.example in str(caught.value)


def test_settings_are_checked_by_name():
    assert source_of("hal", lang="fr").lang == "fr"
    with pytest.raises(UsageError, match="no setting 'langs'; its settings: query, lang"):
        source_of("hal", langs="fr")
    with pytest.raises(UsageError, match="'query' twice"):
        source_of("hal:x", query="y")
    with pytest.raises(UsageError, match="needs query, as in arxiv-search:abs:morphology"):
        source_of("arxiv-search")


@pytest.mark.parametrize("name", SOURCES)
def test_every_row_leads_to_a_source(name):
    entry = SOURCES[name]
    assert issubclass(entry.load(), Source)
    assert entry.argument in inspect.signature(entry.load()).parameters
    assert entry.load().name


def test_an_example_makes_each_source_that_needs_no_file():
    for name in ("arxiv", "arxiv-search", "hal", "gutenberg"):
        made = source_of(SOURCES[name].example)
        assert isinstance(made, Source)
        assert made.homepage.startswith("https://")


def test_one_document_is_a_source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "letter.pdf").write_bytes(b"%PDF-")
    assert source_of("letter.pdf").settings()["path"] == "letter.pdf"
    with pytest.raises(UsageError, match=r"'leter\.pdf' is neither a source nor a file or folder"):
        source_of("leter.pdf")


@pytest.mark.parametrize("name", list(SOURCES))
def test_options_are_named(name):
    assert SOURCES[name].argument not in options_of(name)
    assert options_of(name)
