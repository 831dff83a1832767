"""Finding the files of a corpus again: elsewhere, under other times, or as they were.

A corpus may be copied, downloaded or unpacked again, and moved as a whole. Its files are known by
their names within the corpus, and recognized by their content (see `identity`). A time, an etag or
a generation that is still the same saves reading a file; one that differs means nothing.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from posixpath import basename, join, normpath, relpath
from typing import Any

from ..errors import CorpusNotFound
from ..filesystems.versions import same_version
from ..rows import SourceFile
from .corpus import Corpus
from .identity import UNREAD, kind_of
from .index import CorpusIndex
from .locations.arguments import Location
from .open_corpus import open_corpus
from .opening import FileOpener
from .tables.frame_parts import require_same_frame
from .tables.frame_source import FrameSource

_THREADS = 16
_WHOLE_SECONDS = re.compile(r"mtime=\d+(\.0)?")
"""A time as archives keep it, which many files may share."""

_PAIRS = 1000
_CANDIDATES = 3
"""Most pairs of names, and most folders, that are tried to find the folder that two listings share.
"""


def recognized(
    files: Sequence[SourceFile], known: Mapping[str, SourceFile], opener: FileOpener
) -> tuple[list[SourceFile], set[str]]:
    """Return files with the digests that are known of them, and the names of those unchanged.

    Parameters
    ----------
    files : sequence of SourceFile
        As they are listed now.
    known : mapping of str to SourceFile
        Files as a store knows them, by name.

    Raises
    ------
    StorageUnreachable, StorageRefused
        A file that may have changed could not be read.
    """

    def is_same(file: SourceFile) -> bool:
        before = str(known[file.name].digest)
        return opener.digest(file, kind_of(before)) == before

    answers = {
        file.name: _is_same_unread(file, known[file.name]) for file in files if file.name in known
    }
    doubtful = [file for file in files if answers.get(file.name, True) is None]
    if doubtful:
        with ThreadPoolExecutor(min(_THREADS, len(doubtful))) as pool:
            read = pool.map(is_same, doubtful)
            answers |= zip((file.name for file in doubtful), read, strict=True)
    same = {name for name, answer in answers.items() if answer}
    return [
        replace(file, digest=known[file.name].digest) if file.name in same else file
        for file in files
    ], same


def _is_same_unread(file: SourceFile, before: SourceFile) -> bool | None:
    """Return whether two files have the same content; None if they must be read to tell."""
    if (file.size, file.problem) != (before.size, before.problem):
        return False
    if file.problem:
        return True  # neither can be read
    if before.digest is None:  # the store is of a version that knew files by their times alone
        return not before.version or same_version(before.version, file.version)
    if file.digest and kind_of(file.digest) == kind_of(before.digest):
        return file.digest == before.digest
    # Files of an archive may share size and time, so elsewhere such a time proves nothing.
    telling = file.url == before.url or not _WHOLE_SECONDS.fullmatch(file.version)
    if file.version and same_version(before.version, file.version) and telling:
        return True
    return False if before.digest == UNREAD else None


CorpusLocation = Location | Sequence[Location] | Corpus | Any
"""Where a corpus is, as a caller says it; or the data, if they lie in memory."""


def files_now_at(
    corpus: CorpusLocation, index: CorpusIndex, storage_options: Mapping[str, Any]
) -> list[SourceFile]:
    """Return the files of an index at the locations where a caller says that they are now.

    Whether their content is still the same is checked when they are opened, by size alone if the
    store has no digests of them. A file that is not there stays where it was.

    Raises
    ------
    CorpusNotFound
        None of the files is there.
    CorpusChanged
        The files are partitions of another frame.
    """
    known = [one.file for one in index.files]
    if any(file.in_frame for file in known):
        return _of_frame(corpus, index, known)
    formats = {file.format for file in known}
    if not isinstance(corpus, Corpus):
        if any(file.in_memory for file in known):
            id_column = index.id.name if index.id else None
            kept = [column.name for column in index.keep]
            corpus = open_corpus(corpus, text=index.text, id=id_column, keep=kept)
        else:
            format = formats.pop() if len(formats) == 1 else None
            corpus = open_corpus(corpus, format=format, storage_options=storage_options)
    corpus.require_files()
    files = under_known_names(corpus.files, [file.name for file in known])
    if len(known) == len(files) == 1:  # the caller says that this is the file, whatever its name
        files = [replace(files[0], name=known[0].name)]
    now = {file.name: file for file in files}
    if not any(file.name in now for file in known):
        raise CorpusNotFound(
            f"none of the store's {len(known):,} file(s), such as {known[0].name}, is in this "
            f"corpus; it has {len(files):,}, such as {files[0].name}"
        )
    return [_now_at(file, now[file.name]) if file.name in now else file for file in known]


def _of_frame(
    corpus: CorpusLocation, index: CorpusIndex, known: Sequence[SourceFile]
) -> list[SourceFile]:
    """Return the partitions of a frame, which are computed when they are read."""
    if not isinstance(corpus, Corpus):
        id_column = index.id.name if index.id else None
        kept = [column.name for column in index.keep]
        corpus = open_corpus(corpus, text=index.text, id=id_column, keep=kept)
    source = corpus.source
    token = source.token if isinstance(source, FrameSource) else None
    require_same_frame(known, token, "the store")
    assert isinstance(source, FrameSource)  # as it has the token
    return list(source.brought(known))


def _now_at(file: SourceFile, now: SourceFile) -> SourceFile:
    # Without a digest, the caller's word and the size are all that speaks for the file.
    version = file.version if file.digest else ""
    return replace(
        file, url=now.url, signed_url=now.signed_url, version=version, content=now.content
    )


def under_known_names(files: Sequence[SourceFile], known: Sequence[str]) -> list[SourceFile]:
    """Return files named relative to the same folder as those of a store.

    Names are relative to the folder that all files share, which may change when files are added or
    removed.

    Examples
    --------
    >>> common = {"url": "", "size": 1, "version": "", "format": "text", "compression": None}
    >>> files = [SourceFile(name=name, **common) for name in ("old/a.txt", "new/b.txt")]
    >>> [file.name for file in under_known_names(files, ["a.txt"])]
    ['a.txt', '../new/b.txt']
    >>> [file.name for file in under_known_names(files[:1], ["x/old/a.txt", "x/c.txt"])]
    ['x/old/a.txt']
    """
    names, wanted = [file.name for file in files], set(known)
    best, most = names, len(wanted.intersection(names))
    for above, below in _folders(names, known) if most < len(wanted) else ():
        renamed = [normpath(join(above, relpath(name, below))) for name in names]
        if (matches := len(wanted.intersection(renamed))) > most:
            best, most = renamed, matches
    return [replace(file, name=name) for file, name in zip(files, best, strict=True)]


def _folders(names: Sequence[str], known: Sequence[str]) -> list[tuple[str, str]]:
    """Return how the folder of the known names may be reached from that of the new ones.

    Each is the folder that the new names lack at their beginning, and that which they have instead.
    """
    by_last: dict[str, list[str]] = defaultdict(list)
    for name in names:
        by_last[basename(name)].append(name)
    pairs = ((old, new) for old in known for new in by_last[basename(old)])
    found = Counter[tuple[str, str]]()
    for old, new in islice(pairs, _PAIRS):
        if new.endswith(f"/{old}"):
            found["", new.removesuffix(f"/{old}")] += 1
        elif old.endswith(f"/{new}"):
            found[old.removesuffix(f"/{new}"), "."] += 1
    return [folders for folders, _ in found.most_common(_CANDIDATES)]
