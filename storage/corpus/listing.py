"""`list_files`: resolves the URLs, globs and folders that a user names to the files of a corpus.

No file is opened here. How filesystems list is in `filesystems.filesystem`, the endings of each
format are in `formats.registry`.
"""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike, fspath
from pathlib import PurePosixPath
from typing import Any

from .. import MANIFEST_KEY
from ..errors import CorpusNotFound, UsageError
from ..filesystems.filesystem import (
    consistent_listings,
    files_below,
    files_matching,
    filesystem_of,
    forget_listings,
)
from ..filesystems.redaction import scrubbed, shown
from ..filesystems.retry import permanent_errors, retried
from ..formats.compression import SUFFIXES as COMPRESSED
from ..formats.registry import ENDINGS, endings_of, format_of, read_as
from ..rows import SourceFile
from .opening import version_of

_SPECIAL_FILES = (
    (stat.S_ISFIFO, "a named pipe, and no file"),
    (stat.S_ISSOCK, "a socket, and no file"),
    (stat.S_ISCHR, "a device, and no file"),
    (stat.S_ISBLK, "a device, and no file"),
    (stat.S_ISLNK, "a link that leads to no file (one to a folder is not followed)"),
)
"""Tests for special files, and what each is called. Reading one would block or never end.

Stores keep these texts in their index, which is part of what identifies a store: do not reword."""

_IN_A_STORE = f"/{MANIFEST_KEY}"

Location = str | PathLike[str]


def list_files(
    given: Sequence[Location], format: str | None, options: Mapping[str, Any]
) -> tuple[tuple[SourceFile, ...], tuple[str, ...]]:
    """Return the files to read, in order, and the names of the files left out.

    Raises
    ------
    CorpusNotFound
        No file was found, or none of a known format.
    UsageError
        A file is named twice.
    StorageRefused
        A folder may not be listed.
    """
    found: list[dict[str, Any]] = []
    ignored: list[str] = []
    for url in [fspath(one) for one in given]:
        for info in _described_files(url, options):
            known = _format(info, format)
            if known:
                found.append({**info, "known": known})
            else:
                ignored.append(info["name"])
    if not found:
        raise CorpusNotFound(_no_files_message(given, ignored, format))
    _require_distinct(found)
    root = _common_folder([info["name"] for info in found])
    return tuple(_source(info, root) for info in found), tuple(ignored)


def _described_files(url: str, options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the filesystem's description of every file that a URL stands for, sorted by name."""
    fs, path = filesystem_of(url, options)
    # In a chained URL (zip://*.txt::gs://bucket/a.zip), each file keeps the part after the "::".
    head, _, rest = url.partition("::")
    tail = f"::{rest}" if rest and "://" in head else ""
    with permanent_errors(f"listing {scrubbed(shown(url))}"):
        in_folder, infos = retried(f"listing {url}", lambda: _files_at(fs, path))
    if not infos:
        raise CorpusNotFound(
            f"no files found at {scrubbed(shown(url))}; check the path (in a folder, results "
            "stores and names that start with . or _ are skipped)"
        )
    for name in sorted(infos):
        # Names on the web are whole URLs, which must be shown without a password.
        label = shown(name) if "://" in name else name
        url = fs.unstrip_protocol(name) + tail
        yield {**infos[name], "name": label, "url": url, "in_folder": in_folder}


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


def _files_at(fs: Any, path: str) -> tuple[bool, dict[str, dict[str, Any]]]:
    """Return whether a path is a folder, and the files that it stands for."""
    forget_listings(fs)
    try:  # fsspec's own isdir and exists return False when the disk fails
        with consistent_listings(fs):
            here = fs.info(path)
    except (FileNotFoundError, NotADirectoryError):
        literal = "://" in path and "?" in path  # on the web a "?" is not a wildcard
        return False, {} if literal else files_matching(fs, path)
    if here["type"] != "directory":
        return False, {path: here}
    found = files_below(fs, path)
    # A results store in or below the folder is not part of the corpus, though it has Parquet files.
    stores = tuple(n.removesuffix(_IN_A_STORE) + "/" for n in found if n.endswith(_IN_A_STORE))
    visible = {n: i for n, i in found.items() if not _hidden(n, path) and not n.startswith(stores)}
    return True, visible


def _hidden(name: str, folder: str) -> bool:
    inner = PurePosixPath(name.removeprefix(folder)).parts
    return any(part.startswith((".", "_")) for part in inner)


def _no_files_message(given: Sequence[Location], ignored: Sequence[str], format: str | None) -> str:
    known = ENDINGS if format is None else endings_of(format)
    files = ", ".join(PurePosixPath(name).name for name in ignored[:5])
    where = ", ".join(scrubbed(shown(fspath(one))) for one in given)
    whose = "known endings are" if format is None else f"the endings of {format} are"
    return (
        f"no corpus file in {where}: found {files}; {whose} {' '.join(known)} "
        f"(and {' '.join(COMPRESSED)})"
    )


def _common_folder(names: Sequence[str]) -> PurePosixPath:
    parents = [PurePosixPath(name).parent.parts for name in names]
    shortest = min(parents, key=len)
    depth = 0
    while depth < len(shortest) and len({parts[depth] for parts in parents}) == 1:
        depth += 1
    return PurePosixPath(*shortest[:depth])


def _source(info: Mapping[str, Any], root: PurePosixPath) -> SourceFile:
    name = _printable(str(PurePosixPath(info["name"]).relative_to(root)))
    if info["size"] is None:  # such a web server may not serve parts of a file either
        raise UsageError(
            f"{shown(info['url'])}: the server does not report the size; download the file first"
        )
    url = shown(info["url"])
    format, compression = info["known"]
    return SourceFile(
        url=_printable(url),
        name=name,
        size=info["size"],
        version=version_of(info),
        format=format,
        compression=compression,
        problem=_problem(info),
        signed_url=info["url"] if info["url"] != url else None,
    )


def _problem(info: Mapping[str, Any]) -> str | None:
    """Return why a file cannot be opened, if its name or its kind shows that."""
    name = info["name"]
    if name != _printable(name):
        return "its name is not UTF-8; rename it"
    if "::" in name:
        return "its name holds '::', which joins URLs; rename it"
    if info["type"] != "other":
        return None
    kind = next((what for test, what in _SPECIAL_FILES if test(info.get("mode", 0))), "no file")
    return f"it is {kind}"


def _printable(name: str) -> str:
    r"""Return a name that can be stored, with bytes that are not UTF-8 escaped.

    >>> _printable("a\udcff.txt"), _printable("ā.txt")
    ('a\\udcff.txt', 'ā.txt')
    """
    return name.encode("utf-8", "backslashreplace").decode()
