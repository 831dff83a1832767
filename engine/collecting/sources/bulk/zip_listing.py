"""The members of a zip archive, each with the reason if it must not be read.

An archive's directory is checked before it is loaded, and each member's entry before the member is
read: names that lead out of the archive, encryption, implausible sizes, members that share bytes.
"""

from __future__ import annotations

import re
import struct
import zipfile
from dataclasses import dataclass
from typing import BinaryIO

from ...outcome import NotKept

DIRECTORY_BYTES = 32 << 20
"""Size of the largest directory that is loaded, in bytes; 100,000 members need some ten million."""

RATIO = 200
"""Maximum ratio of a member's size to its compressed size, above `RATIO_BYTES`. That of text is at
most about twenty."""

RATIO_BYTES = 1 << 20

_TAIL_BYTES = (1 << 16) + 22 + 76
_END, _END64 = b"PK\x05\x06", b"PK\x06\x06"
_KNOWN_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
_UNSAFE_NAME = re.compile(r"^/|^[A-Za-z]:|\\|::|(?:^|/)\.\.(?:/|$)|[\x00-\x1f]")


@dataclass(frozen=True)
class Member:
    """A file in an archive."""

    name: str
    size: int
    """Decompressed size in bytes, according to the archive."""
    modified: str
    """Local time without a time zone, as in the archive."""
    problem: tuple[str, str] | None
    """A reason and a detail, if it is not to be read."""


def is_unsafe(name: str) -> bool:
    r"""Return whether a member's name leads out of its archive, on any operating system.

    >>> [is_unsafe(name) for name in ("a/b.txt", "../b", "a/../b", "/b", "C:b", "a\\b", "a..b")]
    [False, True, True, True, True, True, False]
    """
    return bool(_UNSAFE_NAME.search(name))


def members_of(file: BinaryIO, size: int, most_bytes: int) -> list[Member]:
    """Return the members of an archive that are not hidden, sorted by name.

    Parameters
    ----------
    file
        The archive.
    size
        Its bytes.
    most_bytes
        Bytes of the largest member to accept.

    Raises
    ------
    NotKept
        The archive as a whole cannot be read, or is a bomb.
    """
    _check_directory(file, size)
    try:
        with zipfile.ZipFile(file) as archive:
            entries = [entry for entry in archive.infolist() if not _is_left_out(entry)]
    except (zipfile.BadZipFile, ValueError, struct.error, NotImplementedError) as error:
        raise NotKept("damaged", f"{error}"[:200]) from None
    _check_overlap(entries)
    entries.sort(key=lambda entry: (entry.filename, entry.header_offset))
    seen: set[str] = set()
    members = []
    for entry in entries:
        problem = _problem(entry, most_bytes)
        if entry.filename in seen:
            problem = "damaged", "its archive has two files of this name"
        seen.add(entry.filename)
        time = "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}".format(*entry.date_time)
        members.append(Member(entry.filename, entry.file_size, time, problem))
    return members


def _check_directory(file: BinaryIO, size: int) -> None:
    """Raise `NotKept` if the directory is too large to load, according to its end record."""
    file.seek(max(0, size - _TAIL_BYTES))
    tail = file.read(_TAIL_BYTES)
    at = tail.rfind(_END)
    if at < 0 or at + 22 > len(tail):
        raise NotKept("damaged", "no directory at the end of the archive")
    count, directory = struct.unpack_from("<HL", tail, at + 10)
    at64 = tail.rfind(_END64, 0, at)
    if at64 >= 0 and at64 + 56 <= at:
        count, directory = struct.unpack_from("<QQ", tail, at64 + 32)
    if directory > DIRECTORY_BYTES:
        raise NotKept(
            "too-large", f"an archive with a directory of {directory} bytes, {count} files"
        )
    file.seek(0)


def _check_overlap(entries: list[zipfile.ZipInfo]) -> None:
    """Raise `NotKept` if members share bytes, as only bombs do."""
    end = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < end:
            raise NotKept("bomb", f"{entry.filename[:80]!r} overlaps another file of the archive")
        end = entry.header_offset + 30 + entry.compress_size


def _is_left_out(entry: zipfile.ZipInfo) -> bool:
    parts = entry.filename.split("/")
    hidden = any(part.startswith(".") and part not in {".", ".."} for part in parts)
    return entry.is_dir() or hidden or parts[0] == "__MACOSX"


def _problem(entry: zipfile.ZipInfo, most_bytes: int) -> tuple[str, str] | None:
    if is_unsafe(entry.orig_filename) or is_unsafe(entry.filename):
        return "unsafe-path", f"{entry.orig_filename[:80]!r}"
    if entry.flag_bits & 0x1:
        return "encrypted", "a password is needed"
    if entry.compress_type not in _KNOWN_METHODS:
        return "bad-compression", f"method {entry.compress_type}"
    if entry.file_size > most_bytes:
        return "too-large", f"{entry.file_size} bytes"
    if entry.file_size > RATIO_BYTES and entry.file_size > RATIO * max(1, entry.compress_size):
        return "bomb", f"{entry.file_size} bytes of {entry.compress_size}"
    return None
