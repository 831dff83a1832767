"""`SOURCES`, the ready-made sources by name, and `source_of`, which makes one from a short text."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from ....storage.errors import UsageError
from ....storage.filesystems.filesystem import (
    LOCAL,
    files_matching,
    filesystem_of,
    protocols_of,
)
from ..source import Source

_PACKAGE = __name__.rpartition(".")[0]


@dataclass(frozen=True, kw_only=True)
class SourceEntry:
    """A source's module, and how a text names it."""

    module: str
    """Its module in this package; imported when the source is asked for."""
    cls: str
    argument: str
    """The parameter that takes the text after the name and a colon."""
    example: str
    about: str

    def load(self) -> type[Source]:
        """Import the class."""
        loaded: type[Source] = getattr(import_module(f"{_PACKAGE}.{self.module}"), self.cls)
        return loaded


SOURCES: Mapping[str, SourceEntry] = {
    "arxiv": SourceEntry(
        module="arxiv_oai",
        cls="ArxivOai",
        argument="category",
        example="arxiv:cs.CL",
        about="articles of arXiv: abstracts, or PDFs with full_text=True",
    ),
    "arxiv-search": SourceEntry(
        module="arxiv_atom",
        cls="ArxivAtom",
        argument="query",
        example="arxiv-search:abs:morphology",
        about="articles of arXiv that a query finds",
    ),
    "hal": SourceEntry(
        module="hal",
        cls="Hal",
        argument="query",
        example="hal:domainAllCode_s:shs.langue",
        about="documents of the open archive HAL: abstracts, or files with full_text=True",
    ),
    "gutenberg": SourceEntry(
        module="gutenberg",
        cls="Gutenberg",
        argument="languages",
        example="gutenberg:fr",
        about="books of Project Gutenberg",
    ),
    "wikipedia": SourceEntry(
        module="wikipedia_dump",
        cls="WikipediaDump",
        argument="lang",
        example="wikipedia:fr",
        about="articles of a Wikipedia, from its dump",
    ),
    "urls": SourceEntry(
        module="url_list",
        cls="UrlList",
        argument="path",
        example="urls.txt",
        about="web pages and files, by a list of addresses in text, CSV or JSONL",
    ),
    "warc": SourceEntry(
        module="warc",
        cls="WarcFiles",
        argument="paths",
        example="crawl-*.warc.gz",
        about="web pages in WARC or WET files",
    ),
    "huggingface": SourceEntry(
        module="hugging_face",
        cls="HuggingFaceDataset",
        argument="name",
        example="hf://datasets/OWNER/NAME",
        about="a data set of the Hugging Face Hub",
    ),
    "folder": SourceEntry(
        module="document_folder",
        cls="Folder",
        argument="path",
        example="documents/",
        about="documents in a local or cloud folder",
    ),
}
"""The sources by name."""

_GLOB = re.compile(r"[*?\[]")
_FORMS = (
    ("huggingface", re.compile(r"hf://(?:datasets/)?(.+)")),
    ("warc", re.compile(r"(.+\.(?:warc|wet|wat)(?:\.gz)?)")),
    ("wikipedia-file", re.compile(r"(.+-pages-[\w.-]*\.xml[\w.-]*)")),
    ("urls", re.compile(r"(.+\.(?:txt|csv|tsv|jsonl|ndjson)(?:\.(?:gz|bz2|xz|zst))?)")),
    ("folder", re.compile(r"(.+/|.+\.zip|.*[*?\[].*)")),
)
"""Patterns of paths and URLs, with the sources that they mean; the first match counts."""


def source_of(text: str, **options: Any) -> Source:
    """Return the source that a text names.

    Parameters
    ----------
    text
        A name in `SOURCES`, alone or with a colon and its main parameter: ``arxiv``,
        ``arxiv:cs.CL``, ``gutenberg:fr``. Or a file or folder: a list of addresses (``urls.txt``,
        ``.csv``, ``.jsonl``), WARC files (``*.warc.gz``), a dump (``frwiki-….xml.bz2``), a folder
        of documents, one document, ``hf://datasets/OWNER/NAME``. A folder named like a source is
        written ``./arxiv``.
    **options
        Further settings of the source.

    Raises
    ------
    UsageError
        The source or a setting is unknown; the message lists the known ones.

    Examples
    --------
    >>> from paninifs.engine.collecting.sources.source_registry import source_of
    >>> source_of("arxiv:cs.CL", full_text=True).settings()["set"]
    'cs:cs:CL'
    >>> source_of("urls.csv.gz").name
    'urls'
    """
    text = text.strip()
    name, colon, rest = text.partition(":")
    if name in SOURCES:
        return _made(name, _named(name, rest) if colon and rest else {}, options)
    for form, pattern in _FORMS:
        if found := pattern.fullmatch(text):
            if form == "wikipedia-file":  # not its language, as after the name
                return _made("wikipedia", {"path": text}, options)
            return _made(form, _named(form, found[1]), options)
    if text and Path(text).exists():
        return _made("folder", _named("folder", text), options)
    raise UsageError(
        f"{text!r} is neither a source nor a file or folder. "
        f"Sources are, for example:\n{_examples()}"
    )


def options_of(name: str) -> list[str]:
    """Return the names of a source's settings beside the one that its text gives.

    >>> options_of("folder")
    ['pattern', 'types', 'most_bytes']
    """
    entry = SOURCES[name]
    return [one for one in inspect.signature(entry.load()).parameters if one != entry.argument]


def _examples() -> str:
    return "\n".join(f"  {one.example:32} {one.about}" for one in SOURCES.values())


def _named(name: str, text: str) -> dict[str, str | list[str]]:
    """Return the parameter that a text gives to a source; for a glob, a list of files."""
    if name != "warc" or not _GLOB.search(text):
        return {SOURCES[name].argument: text}
    fs, pattern = filesystem_of(text)
    local = protocols_of(fs) & LOCAL
    found = sorted(files_matching(fs, pattern))
    if not found:
        raise UsageError(f"{text}: no such files")
    return {SOURCES[name].argument: [p if local else fs.unstrip_protocol(p) for p in found]}


def _made(name: str, named: Mapping[str, str | list[str]], options: Mapping[str, Any]) -> Source:
    """Construct a source, with errors that name its settings."""
    made = SOURCES[name].load()
    parameters = inspect.signature(made).parameters
    twice = named.keys() & options.keys()
    unknown = [option for option in options if option not in parameters]
    if unknown or twice:
        problem = f"no setting {unknown[0]!r}" if unknown else f"{min(twice)!r} twice"
        raise UsageError(f"the source {name} has {problem}; its settings: {', '.join(parameters)}")
    missing = [
        one.name
        for one in parameters.values()
        if one.default is one.empty and one.name not in named and one.name not in options
    ]
    if missing:
        raise UsageError(f"the source {name} needs {missing[0]}, as in {SOURCES[name].example}")
    return made(**named, **options)
