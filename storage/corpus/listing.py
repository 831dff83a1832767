"""`list_files`: resolves the URLs, globs and folders that a user names to the files of a corpus.

No file is opened here. How filesystems list is in `filesystems.filesystem`, the endings of each
format are in `formats.registry`.
"""

from __future__ import annotations

import errno
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import fspath
from pathlib import PurePosixPath
from typing import Any

from .. import COLLECTION_FOLDER, COLLECTION_KEY, MANIFEST_KEY
from ..errors import CorpusNotFound, UsageError
from ..filesystems.filesystem import (
    WEB,
    consistent_listings,
    files_below,
    files_matching,
    filesystem_of,
    forget_listings,
    info_of,
    protocols_of,
)
from ..filesystems.redaction import scrubbed, shown
from ..filesystems.retry import permanent_errors, retried
from ..filesystems.versions import version_of
from ..formats.registry import FORMATS, format_of, read_as
from ..messages.names import storable
from ..rows import SourceFile
from ..rows.dialect import Dialect
from .identity import listed_digest
from .locations.arguments import Location
from .locations.exports import exports_among
from .locations.left_out import exports_note, hidden_note, no_files, not_found, unknown_format

_SPECIAL_FILES = (
    (stat.S_ISFIFO, "a named pipe, and no file"),
    (stat.S_ISSOCK, "a socket, and no file"),
    (stat.S_ISCHR, "a device, and no file"),
    (stat.S_ISBLK, "a device, and no file"),
    (stat.S_ISLNK, "a link that leads to no file (one to a folder is not followed)"),
)
"""Tests for special files, and what each is called. Reading one would block or never end.

Stores keep these texts in their index, which is part of what identifies a store: do not reword."""

_MISSING = (FileNotFoundError, NotADirectoryError)

_IN_A_STORE = f"/{MANIFEST_KEY}"
_COLLECTED = f"/{COLLECTION_KEY}"


@dataclass(frozen=True)
class Listing:
    """The files that locations stand for."""

    files: tuple[SourceFile, ...]  # to be read, in order
    ignored: tuple[str, ...]  # names of those whose format is unknown
    notes: tuple[str, ...]  # sentences about others that are left out


@dataclass(frozen=True)
class _Found:
    """What is at one location."""

    files: Mapping[str, dict[str, Any]]  # fsspec's description of each file, by path
    named: bool = False  # whether it is one file, named by the user
    in_folder: bool = False
    hidden: tuple[str, ...] = ()  # paths below the folder
    exports: tuple[str, ...] = ()  # paths


def list_files(
    given: Sequence[Location], format: str | None, options: Mapping[str, Any]
) -> Listing:
    """Return the files to read, in order, and what is left out.

    Raises
    ------
    CorpusNotFound
        No file was found, or none of a known format, or the format of a named one is unknown.
    UsageError
        A file is named twice.
    StorageRefused
        A folder may not be listed.
    """
    found: list[dict[str, Any]] = []
    ignored: list[str] = []
    notes: list[str] = []
    for url in [fspath(one) for one in given]:
        here = _located(url, options)
        for info in _described_files(url, here, options):
            known = _format(info, format)
            if known:
                found.append({**info, "known": known})
            elif here.named:
                raise CorpusNotFound(unknown_format(info["name"]))
            else:
                ignored.append(info["name"])
        both = hidden_note(here.hidden, format), exports_note(here.exports)
        notes += filter(None, both)
    if not found:
        raise CorpusNotFound(no_files(given, ignored, format, notes))
    _require_distinct(found)
    root = _common_folder([info["name"] for info in found])
    return Listing(tuple(_source(info, root) for info in found), tuple(ignored), tuple(notes))


def _located(url: str, options: Mapping[str, Any]) -> _Found:
    """Return what a URL stands for."""
    if "\0" in url:  # of which operating systems say that it is a wrong value
        return _Found({})
    fs, path = filesystem_of(url, options)
    with permanent_errors(f"listing {scrubbed(shown(url))}"):
        return retried(f"listing {url}", lambda: _files_at(fs, path))


def _described_files(
    url: str, here: _Found, options: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield the filesystem's description of every file that a URL stands for, sorted by name."""
    if not (here.files or here.hidden or here.exports):
        raise CorpusNotFound(not_found(url))
    fs, _ = filesystem_of(url, options)
    # In a chained URL (zip://*.txt::gs://bucket/a.zip), each file keeps the part after the "::".
    head, _, rest = url.partition("::")
    tail = f"::{rest}" if rest and "://" in head else ""
    for name in sorted(here.files):
        # Names on the web are whole URLs, which must be shown without a password.
        label = shown(name) if "://" in name else name
        own = fs.unstrip_protocol(name) + tail
        yield {**here.files[name], "name": label, "url": own, "in_folder": here.in_folder}


def _require_distinct(found: Sequence[Mapping[str, Any]]) -> None:
    """Raise `UsageError` if two files would be stored under the same URL."""
    given: dict[str, set[str]] = {}
    times: Counter[str] = Counter()
    for info in found:
        given.setdefault(shown(info["url"]), set()).add(info["url"])
        times[shown(info["url"])] += 1
    twice = sorted(url for url, count in times.items() if count > 1)
    if not twice:
        return
    advice = ""
    if any(len(given[url]) > 1 for url in twice):
        advice = (
            "; the part of a URL after a ? (or before an @) may hold a key and is never stored, so "
            "files must differ in the rest: download them, or serve them under other names"
        )
    raise UsageError(f"files named more than once: {', '.join(twice[:5])}{advice}")


def _format(info: Mapping[str, Any], format: str | None) -> tuple[str, str | None] | None:
    """Return the format and compression to read a file in, or None to leave it out."""
    if format is None or info["in_folder"]:
        return format_of(info["name"], within=format)
    return read_as(info["name"], format)


def _files_at(fs: Any, path: str) -> _Found:
    """Return what a path stands for: a file, a folder, or the files that match it."""
    forget_listings(fs)
    try:  # fsspec's own isdir and exists return False when the disk fails
        with consistent_listings(fs):
            here = info_of(fs, path)
    except OSError as error:
        if not isinstance(error, _MISSING) and error.errno != errno.ENAMETOOLONG:
            raise
        if protocols_of(fs) & WEB or ("://" in path and "?" in path):
            # Links of a page have no sizes and may not be all files, and a "?" is not a wildcard.
            return _Found({})
        matching = files_matching(fs, path)
        exports = exports_among(fs, matching)
        visible = {n: i for n, i in matching.items() if n not in exports}
        return _Found(visible, exports=tuple(sorted(exports)))
    if here["type"] != "directory":
        return _Found({path: here}, named=True)
    found = files_below(fs, path)
    # A results store in or below the folder is not part of the corpus, though it has Parquet files.
    stores = tuple(n.removesuffix(_IN_A_STORE) + "/" for n in found if n.endswith(_IN_A_STORE))
    exports = exports_among(fs, found)
    ledgers = tuple(n.removesuffix(_COLLECTED) + "/" for n in found if n.endswith(_COLLECTED))
    apart = (*stores, *(f"{corpus}{COLLECTION_FOLDER}/" for corpus in ledgers))
    others = {n: i for n, i in found.items() if not n.startswith(apart) and n not in exports}
    visible = {n: i for n, i in others.items() if not _hidden(n, path)}
    hidden = (n.removeprefix(path).lstrip("/") for n in others if n not in visible)
    return _Found(
        visible, in_folder=True, hidden=tuple(sorted(hidden)), exports=tuple(sorted(exports))
    )


def _hidden(name: str, folder: str) -> bool:
    inner = PurePosixPath(name.removeprefix(folder)).parts
    return any(part.startswith((".", "_")) for part in inner)


def _common_folder(names: Sequence[str]) -> PurePosixPath:
    parents = [PurePosixPath(name).parent.parts for name in names]
    shortest = min(parents, key=len)
    depth = 0
    while depth < len(shortest) and len({parts[depth] for parts in parents}) == 1:
        depth += 1
    return PurePosixPath(*shortest[:depth])


def _source(info: Mapping[str, Any], root: PurePosixPath) -> SourceFile:
    name = storable(str(PurePosixPath(info["name"]).relative_to(root)))
    if info["size"] is None:  # such a web server may not serve parts of a file either
        raise UsageError(
            f"{shown(info['url'])}: the server does not report the size; download the file first"
        )
    url = shown(info["url"])
    format, compression = info["known"]
    return SourceFile(
        url=storable(url),
        name=name,
        size=info["size"],
        version=version_of(info),
        format=format,
        compression=compression,
        problem=_problem(info),
        digest=listed_digest(info),
        signed_url=info["url"] if info["url"] != url else None,
    )


def _problem(info: Mapping[str, Any]) -> str | None:
    """Return why a file cannot be opened, if its name or its kind shows that."""
    name = info["name"]
    if name != storable(name):
        return "its name is not UTF-8; rename it"
    if "::" in name:
        return "its name holds '::', which joins URLs; rename it"
    if info["type"] != "other":
        return None
    kind = next((what for test, what in _SPECIAL_FILES if test(info.get("mode", 0))), "no file")
    return f"it is {kind}"


def written_in(dialect: Dialect, files: Sequence[SourceFile]) -> tuple[SourceFile, ...]:
    """Return files with those options of a dialect that their formats have."""
    formats = {file.format for file in files}
    for option, value in dialect.describe().items():
        if not any(option in FORMATS[name].options for name in formats):
            known = [name for name, read_as in FORMATS.items() if option in read_as.options]
            raise UsageError(
                f"{option}={value!r} is for {', '.join(known)}; "
                f"the files of the corpus are {', '.join(sorted(formats))}"
            )
    return tuple(
        replace(file, dialect=dialect.only(FORMATS[file.format].options)) for file in files
    )
