"""`list_files`: from what a user names, URLs, globs and folders, to the files of a corpus.

No file is opened here. How the filesystems list is in `filesystem`.
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
    files_below,
    files_matching,
    filesystem_of,
    forget_listings,
    settled,
)
from ..filesystems.redaction import scrubbed, shown
from ..filesystems.retry import permanent_errors, retried
from ..formats.compression import SUFFIXES as COMPRESSED
from ..formats.registry import ENDINGS, endings_of, format_of, read_as
from ..rows import SourceFile
from .opening import stamp_of

_NO_FILES = (
    (stat.S_ISFIFO, "a named pipe, and no file"),
    (stat.S_ISSOCK, "a socket, and no file"),
    (stat.S_ISCHR, "a device, and no file"),
    (stat.S_ISBLK, "a device, and no file"),
    (stat.S_ISLNK, "a link that leads to no file (one to a folder is not followed)"),
)
"""What opening would wait for, or read, for ever; and how to tell."""

_IN_A_STORE = f"/{MANIFEST_KEY}"

Location = str | PathLike[str]


def list_files(
    given: Sequence[Location], format: str | None, options: Mapping[str, Any]
) -> tuple[tuple[SourceFile, ...], tuple[str, ...]]:
    """Return the files that are to be read, in order, and the names of those left out.

    Raises
    ------
    CorpusNotFound
        Nothing is there, or nothing of a known format.
    UsageError
        A file is named twice.
    StorageRefused
        A folder may not be listed.
    """
    found: list[dict[str, Any]] = []
    ignored: list[str] = []
    for url in [fspath(one) for one in given]:
        for info in _list(url, options):
            known = _format(info, format)
            if known:
                found.append({**info, "known": known})
            else:
                ignored.append(info["name"])
    if not found:
        raise CorpusNotFound(_nothing(given, ignored, format))
    _refuse_twice(found)
    root = _common_folder([info["name"] for info in found])
    return tuple(_source(info, root) for info in found), tuple(ignored)


def _list(url: str, options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what the filesystem says of every file that a URL stands for, sorted by name."""
    fs, path = filesystem_of(url, options)
    # Of a chained URL (zip://*.txt::gs://bucket/a.zip) each file keeps what stands behind.
    head, _, behind = url.partition("::")
    tail = f"::{behind}" if behind and "://" in head else ""
    with permanent_errors(f"listing {scrubbed(shown(url))}"):
        in_folder, infos = retried(f"listing {url}", lambda: _found(fs, path))
    if not infos:
        raise CorpusNotFound(f"no such file, and nothing that it matches: {scrubbed(shown(url))}")
    for name in sorted(infos):
        # The web's names are whole URLs; what is called by one must not be called by its password.
        called = shown(name) if "://" in name else name
        url = fs.unstrip_protocol(name) + tail
        yield {**infos[name], "name": called, "url": url, "in_folder": in_folder}


def _refuse_twice(found: Sequence[Mapping[str, Any]]) -> None:
    """Raise `UsageError` where two files could not be told apart by what is kept of their URLs."""
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
            "; behind a ? (or before an @) there may be a key, so that is written nowhere, and no "
            "two files can differ by it alone: download them, or serve them under other names"
        )
    raise UsageError(f"named twice: {', '.join(twice[:5])}{advice}")


def _format(info: Mapping[str, Any], format: str | None) -> tuple[str, str | None] | None:
    """Return the format and compression to read a file in, or None to leave it out."""
    if format is None or info["in_folder"]:
        return format_of(info["name"], within=format)
    return read_as(info["name"], format)


def _found(fs: Any, path: str) -> tuple[bool, dict[str, dict[str, Any]]]:
    """Return whether a path is a folder, and the files that it stands for."""
    forget_listings(fs)
    try:  # fsspec's own isdir and exists take a failing disk for a no
        with settled(fs):
            here = fs.info(path)
    except (FileNotFoundError, NotADirectoryError):
        one = "://" in path and "?" in path  # of the web: there a question has no wildcard
        return False, {} if one else files_matching(fs, path)
    if here["type"] != "directory":
        return False, {path: here}
    found = files_below(fs, path)
    # A results store in or below the folder is no corpus, though it may hold a Parquet file.
    stores = tuple(n.removesuffix(_IN_A_STORE) + "/" for n in found if n.endswith(_IN_A_STORE))
    visible = {n: i for n, i in found.items() if not _hidden(n, path) and not n.startswith(stores)}
    return True, visible


def _hidden(name: str, folder: str) -> bool:
    inner = PurePosixPath(name.removeprefix(folder)).parts
    return any(part.startswith((".", "_")) for part in inner)


def _nothing(given: Sequence[Location], ignored: Sequence[str], format: str | None) -> str:
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
    if info["size"] is None:  # a web server may not; then it may also not give a part of a file
        raise UsageError(
            f"{shown(info['url'])}: the server does not say how long it is; download it first"
        )
    url, stamp = shown(info["url"]), stamp_of(dict(info))
    signed = info["url"] if info["url"] != url else None
    format, compression = info["known"]
    return SourceFile(
        _printable(url), name, info["size"], stamp, format, compression, _problem(info), signed
    )


def _problem(info: Mapping[str, Any]) -> str | None:
    """Return why a file cannot be opened, where its name or its kind says so."""
    name = info["name"]
    if name != _printable(name):
        return "its name is not UTF-8; rename it"
    if "::" in name:
        return "its name holds '::', which joins URLs; rename it"
    if info["type"] != "other":
        return None
    kind = next((what for test, what in _NO_FILES if test(info.get("mode", 0))), "no file")
    return f"it is {kind}"


def _printable(name: str) -> str:
    r"""Return a name that can be written down: what is not UTF-8 in it is escaped.

    >>> _printable("a\udcff.txt"), _printable("ā.txt")
    ('a\\udcff.txt', 'ā.txt')
    """
    return name.encode("utf-8", "backslashreplace").decode()
