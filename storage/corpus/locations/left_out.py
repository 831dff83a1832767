"""What is said of files that are named or found, but are not part of a corpus."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from os import fspath
from pathlib import Path, PurePosixPath

from ... import COLLECTION_KEY
from ...filesystems.redaction import scrubbed, shown
from ...formats.compression import SUFFIXES as COMPRESSED
from ...formats.compression import split_suffix
from ...formats.registry import ENDINGS, FORMATS, endings_of, format_of
from ...messages.names import MOST_NAMES, did_you_mean, listed
from .arguments import TEXTS_BY_NAME, Location, about_texts

_MOST_CHARACTERS = 300
"""Characters of a location that a message shows at most: it may be a text by mistake."""

_MOST_NEIGHBOURS = 1000  # names in a folder that are compared with a missing one

_SPREADSHEETS = (".xlsx", ".xls", ".xlsm", ".ods")
_CHECK = "check the path (in a folder, results stores and names that start with . or _ are skipped)"

_WEB_PATTERN = re.compile(r"https?://[^?]*[*\[]")

_JSON = "if it has one JSON object per line, give --format jsonl (format='jsonl')"


def not_found(url: str) -> str:
    """Return that nothing is at a location."""
    advice = about_texts(url) or _about_the_web(url) or _CHECK
    if advice == _CHECK and len(url.split()) > 1:
        advice = f"{_CHECK}; {TEXTS_BY_NAME}"
    if _is_collected(url):
        return f"{_short(url)} is a collected corpus that has no texts yet"
    return f"no files found at {_short(url)}{_neighbour(url) or f'; {advice}'}"


def _is_collected(url: str) -> bool:
    with suppress(OSError, ValueError):
        return "://" not in url and (Path(url) / COLLECTION_KEY).is_file()
    return False


def _about_the_web(url: str) -> str:
    """Return advice if a location is a pattern on the web, where none can be matched."""
    pattern = _WEB_PATTERN.match(url)
    return "on the web, name each file: servers do not list their files" if pattern else ""


def _neighbour(url: str) -> str:
    """Return a question that offers a file beside one that does not exist."""
    path = Path(url)
    with suppress(OSError, ValueError):
        if "://" not in url and not path.exists() and path.parent.is_dir():
            beside = islice(path.parent.iterdir(), _MOST_NEIGHBOURS)
            return did_you_mean(path.name, (one.name for one in beside))
    return ""


def unknown_format(name: str) -> str:
    """Return that the format of a named file is unknown, and what to do.

    >>> unknown_format("data/table.parquet.gz").partition(";")[0]
    'table.parquet.gz: parquet files cannot be read if compressed with gzip'
    """
    own = PurePosixPath(name).name
    inner, compression = split_suffix(own)
    packed = format_of(inner) if compression else None
    if packed:
        return (
            f"{own}: {packed[0]} files cannot be read if compressed with {compression}; "
            "decompress the file first"
        )
    if _is_json(own):
        return f"{own}: no format has the ending .json; {_JSON}"
    if own.lower().endswith(_SPREADSHEETS):
        return f"{own} is a spreadsheet; save the sheet as CSV in UTF-8, and name that file"
    return (
        f"{own}: no format has this ending; leave it out, or give --format (format=) with one of "
        f"{', '.join(FORMATS)}, in which all named files are read"
    )


def no_files(
    given: Sequence[Location], ignored: Sequence[str], format: str | None, notes: Sequence[str]
) -> str:
    """Return that none of the files at some locations can be read."""
    known = ENDINGS if format is None else endings_of(format)
    names = [PurePosixPath(name).name for name in ignored]
    where = ", ".join(_short(fspath(one)) for one in given[:MOST_NAMES])
    whose = "known endings are" if format is None else f"the endings of {format} are"
    found = f"found {listed(names)}; " if names else ""
    hint = f"; name the .json files, or a pattern such as '*.json': {_JSON}"
    return (
        f"no corpus file in {where}: {found}{whose} {' '.join(known)} "
        f"(and {' '.join(COMPRESSED)}){hint if any(map(_is_json, names)) else ''}"
        f"{''.join(f'; {note}' for note in notes)}"
    )


def _is_json(name: str) -> bool:
    return split_suffix(name.lower())[0].endswith(".json")


def hidden_note(paths: Sequence[str], format: str | None = None) -> str | None:
    """Return a note on files below a folder that are hidden by names that begin with `_`.

    Names that begin with a dot are hidden everywhere, and go without saying.

    Parameters
    ----------
    format : str, optional
        The format that the user names.

    >>> hidden_note(["_posts/a.txt", "_SUCCESS", ".git/c.txt"])
    '1 file is left out, because names that begin with _ are hidden: _posts/a.txt'
    """
    seen = [path for path in paths if format_of(path, within=format) and not _behind_a_dot(path)]
    if not seen:
        return None
    # A folder with many files is named once.
    owners = Counter(map(_owner, seen))
    names = [seen[0]] if len(seen) == 1 else [_counted(*one) for one in owners.items()]
    files = f"{len(seen):,} files are" if len(seen) > 1 else "1 file is"
    return f"{files} left out, because names that begin with _ are hidden: {listed(names)}"


def _counted(name: str, files: int) -> str:
    return f"{name} ({files:,})" if files > 1 else name


def _owner(path: str) -> str:
    parts = PurePosixPath(path).parts
    first = next(at for at, part in enumerate(parts) if part.startswith("_"))
    return "/".join(parts[: first + 1])


def _behind_a_dot(path: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(path).parts)


def exports_note(paths: Sequence[str]) -> str | None:
    """Return a note on exports in the folder of a corpus.

    >>> exports_note(["data/a.csv"])
    'exports of results are left out, unless they are named: a.csv'
    """
    names = listed(PurePosixPath(path).name for path in paths)
    return f"exports of results are left out, unless they are named: {names}" if paths else None


def _short(location: str) -> str:
    text = scrubbed(shown(location))
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}..."
