"""Counting the records of files, many at a time, and digesting their content.

How one file is counted is in `formats`; what the counts make up is in `index`.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from ..errors import PaniniError, StorageRefused, StorageUnreachable
from ..filesystems.redaction import presentable, scrubbed
from ..formats.recognition.transcoding import detected
from ..formats.registry import outline
from ..messages.names import storable
from ..rows import Malformed, Outline, SourceFile, Unit
from .identity import UNREAD
from .opening import SMALL_BYTES, CorpusOpener, FileOpener, SmallFileOpener

INDEX_THREADS = 16


def count(
    files: Sequence[SourceFile], opener: FileOpener, names: Sequence[str]
) -> tuple[list[SourceFile], list[Outline | str]]:
    """Return the files with their digests, and what counting each of them found.

    Parameters
    ----------
    names : sequence of str
        The columns that will be read.
    """
    if not files:
        return [], []
    with ThreadPoolExecutor(min(INDEX_THREADS, len(files))) as pool:
        pairs = list(pool.map(lambda file: _counted(file, opener, names), files))
    return [file for file, _ in pairs], [found for _, found in pairs]


def with_digests(files: Sequence[SourceFile], opener: FileOpener) -> list[SourceFile]:
    """Return files, each with the digest of its content that a new store would keep.

    Raises
    ------
    CorpusChanged, StorageUnreachable, StorageRefused
        A file that has none yet could not be read.
    """

    def digested(file: SourceFile) -> SourceFile:
        unknown = replace(file, digest=None)
        digest = _digest(unknown, opener)
        if digest != UNREAD:
            opener.check(unknown)
        return replace(file, digest=digest)

    lacking = {file.url: file for file in files if not opener.suffices(file.digest)}
    with ThreadPoolExecutor(INDEX_THREADS) as pool:
        made = dict(zip(lacking, pool.map(digested, lacking.values()), strict=True))
    return [made.get(file.url, file) for file in files]


def _counted(
    file: SourceFile, opener: FileOpener, names: Sequence[str]
) -> tuple[SourceFile, Outline | str]:
    own = SmallFileOpener(opener, file) if file.size <= SMALL_BYTES else opener
    # First, so that a change while the records are counted makes the digest a wrong one.
    digested = replace(file, digest=_digest(file, own))
    found = _outline(file, own, names)
    if isinstance(found, Outline) and found.units and opener.reads_whole(file):
        # Read by a single task, like a compressed file.
        rows = sum(unit.rows for unit in found.units)
        found = replace(found, units=(Unit(rows, found.units[0].offset),))
    if digested.digest and not file.problem:
        own.check(file)
    return digested, found


def _digest(file: SourceFile, opener: FileOpener | SmallFileOpener) -> str | None:
    if file.digest or file.problem:
        return file.digest or UNREAD
    try:
        return opener.digest(file)
    except StorageRefused as refused:
        if not isinstance(refused.__cause__, PermissionError):
            raise
        return UNREAD
    except PaniniError:
        raise
    except OSError as error:
        raise _unreachable(file, error) from presentable(error)


def _outline(file: SourceFile, opener: CorpusOpener, names: Sequence[str]) -> Outline | str:
    if file.problem:
        return f"cannot be opened: {file.problem}"
    try:
        known, note = detected(file, opener)
        found = outline(known, opener, names)
        if known is file:
            return found
        notes = "; ".join(filter(None, (note, found.note))) or None
        return replace(found, note=notes, dialect=found.dialect or known.dialect)
    except StorageRefused as refused:
        if not isinstance(refused.__cause__, PermissionError):
            raise
        return f"cannot be opened: {refused.__cause__}"
    except PaniniError:
        raise
    except Malformed as error:
        return storable(scrubbed(f"not readable as {file.format}: {error}"))
    except OSError as error:
        # A problem is stored permanently, so a transient failure must not become one.
        raise _unreachable(file, error) from presentable(error)


def _unreachable(file: SourceFile, error: OSError) -> StorageUnreachable:
    return StorageUnreachable(
        f"{file.url} could not be read: {scrubbed(str(error))}; nothing was written, try again"
    )
