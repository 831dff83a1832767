"""Pages as files: where one may be written, writing it, and showing it in a notebook."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable
from os import PathLike
from pathlib import Path

from ...storage.errors import StorageRefused, UsageError
from ..rendering.html import table

MAX_EMBEDDED = 1_000_000
"""Maximum size, in bytes, of a page that is embedded in a notebook and saved with it."""


def page_path(out: str | PathLike[str], generator: str) -> Path:
    """Return the path of a page, checked before anything is computed for it.

    Parameters
    ----------
    generator : str
        Name in the first bytes of the page. An existing file without it is not replaced.

    Raises
    ------
    UsageError
        A page cannot be written there.
    """
    if "://" in os.fspath(out):
        raise UsageError(
            f"{os.fspath(out)!r}: a report is written to this machine; give a local path"
        )
    path = Path(out).absolute()
    if not path.parent.is_dir():
        raise UsageError(f"{path}: the folder {path.parent} does not exist")
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give a file name, such as report.html")
    if path.exists() and generator.encode() not in path.read_bytes()[:500]:
        raise UsageError(
            f"{path} exists and is not a report; give another file name, or remove the file"
        )
    return path


def write_page(path: Path, text: str) -> None:
    """Write a page atomically: a reader sees either the old page or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageRefused(f"the report could not be written to {path}: {error}") from error


def embedded(path: Path, headline: Iterable[tuple[str, str]], title: str) -> str:
    """Return a page as HTML within a notebook; its first figures if it is gone or too large."""
    figures = table([("report", str(path)), *headline])
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:  # moved or deleted
        return figures
    if len(text.encode()) > MAX_EMBEDDED:
        return figures
    return (
        f'<iframe srcdoc="{html.escape(text, quote=True)}" sandbox="" title="{html.escape(title)}" '
        'style="width:100%;height:720px;border:1px solid #8884"></iframe>'
    )
