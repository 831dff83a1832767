"""Exports that lie in a corpus's folder: they are results, and no part of the corpus.

A hidden file in the folder of an export records its name and size. It is a file of the folder, and
not of the store, so that it is found by runs into other stores too, and moves with the folder.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from ...filesystems.filesystem import LOCAL, protocols_of
from ...filesystems.redaction import scrubbed
from ...filesystems.retry import retried
from ...rows import SourceFile

RECORD_NAME = ".paninifs-exports"
"""Name of the file that lists the exports in its folder, one JSON object per line."""


def record_export(path: Path, files: Collection[SourceFile]) -> None:
    """Record that a local file is an export, if it lies where the corpus is looked for.

    Parameters
    ----------
    files : collection of SourceFile
        The files of the corpus. Nothing is recorded outside their folders.
    """
    folder = path.resolve().parent
    folders = {own for file in files if (own := _local_folder(file)) is not None}
    above = any(folder == own or folder in own.parents for own in folders)
    if not above and not _common(folders) & {folder, *folder.parents}:
        return
    line = json.dumps({"name": path.name, "size": path.stat().st_size})
    # The export itself is complete: without the record, it can still be left out by hand.
    with suppress(OSError), (folder / RECORD_NAME).open("a", encoding="utf-8") as record:
        record.write(f"{line}\n")


def _local_folder(file: SourceFile) -> Path | None:
    if "::" in file.url or file.problem:
        return None
    protocol, _, path = file.url.partition("://")
    return Path(path).resolve().parent if protocol in LOCAL else None


def _common(folders: Collection[Path]) -> set[Path]:
    """Return the deepest folder that holds all folders, as a set; empty if there is none."""
    shared = [{folder, *folder.parents} for folder in folders]
    both = set.intersection(*shared) if shared else set()
    return {max(both, key=lambda folder: len(folder.parts))} if both else set()


def exports_among(fs: Any, found: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Return which files of a listing are exports.

    Parameters
    ----------
    found : mapping
        fsspec's description of each file, by path. The records are among them, or else are looked
        for, which is done on local filesystems only.
    """
    records = [name for name in found if PurePosixPath(name).name == RECORD_NAME]
    if not records and protocols_of(fs) & LOCAL:
        folders = {str(PurePosixPath(name).parent) for name in found}
        beside = (f"{folder}/{RECORD_NAME}" for folder in sorted(folders))
        records = [name for name in beside if Path(name).is_file()]
    return {name for record in records for name in _recorded(fs, record, found)}


def _recorded(fs: Any, record: str, found: Mapping[str, Mapping[str, Any]]) -> set[str]:
    folder = PurePosixPath(record).parent
    try:
        data = retried(f"reading {scrubbed(record)}", lambda: fs.cat_file(record))
    except OSError:
        return set()
    exports = set()
    for line in data.decode("utf-8", "replace").splitlines():
        with suppress(ValueError, TypeError, KeyError):
            one = json.loads(line)
            name = str(folder / one["name"])
            if name in found and found[name]["size"] == one["size"]:
                exports.add(name)
    return exports
