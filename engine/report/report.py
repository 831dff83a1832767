"""`report`: writes the page of a store where its reader finds it, and shows it in a notebook."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from ...storage.errors import StorageRefused, UsageError
from ..rendering.html import table
from .findings import find
from .page import GENERATOR, headline, page, store_name

MOST_EMBEDDED = 1_000_000
"""Bytes of a page that a notebook takes in whole: it is saved with the notebook."""


@dataclass(frozen=True)
class Report:
    """A page that was written. As the last value of a notebook's cell it shows itself."""

    path: Path  # of the HTML file
    headline: tuple[tuple[str, str], ...]  # what each of the first figures is called, and itself

    def _repr_html_(self) -> str:
        told = table([("report", str(self.path)), *self.headline])
        try:
            text = self.path.read_text(encoding="utf-8")
        except OSError:  # moved, or gone
            return told
        if len(text.encode()) > MOST_EMBEDDED:
            return told
        return (
            f'<iframe srcdoc="{html.escape(text, quote=True)}" sandbox="" title="PaniniFS report" '
            'style="width:100%;height:720px;border:1px solid #8884"></iframe>'
        )


def report(
    results: str | PathLike[str],
    out: str | PathLike[str] | None = None,
    *,
    by: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Report:
    """Write a page about a store: what ran, how fast, and what came of it.

    One HTML file without a script, that asks the network for nothing. The store is read once, in
    pieces; it may be unfinished.

    Parameters
    ----------
    results : str or path
        The store; on a bucket or a Drive too.
    out : str or path, optional
        The file to write, on this machine; ``RESULTS-report.html`` in the current folder when left
        out. An older report is replaced, any other file is not.
    by : str, optional
        An array with one value a text, as a kept column, to group texts by. When left out, the
        first kept column that has 2 to 20 different values.
    storage_options : mapping, optional
        For fsspec, where `results` is a URL.

    Returns
    -------
    Report

    Raises
    ------
    ResultsNotFound
    ColumnNotFound
        There is no array `by`.
    UsageError
        `out` cannot be a report's place, or `by` has more than 10,000 different values.

    Examples
    --------
    >>> import tempfile, paninifs as pf
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pf.report(f"{folder}/results.zarr")
    Traceback (most recent call last):
    ...
    paninifs.storage.errors.ResultsNotFound: no results store of this engine at ...
    """
    path = _place(results, out)
    findings = find(results, by, storage_options)
    _write(path, page(findings))
    return Report(path, tuple(headline(findings)))


def _place(results: str | PathLike[str], out: str | PathLike[str] | None) -> Path:
    """Return where the page is written, before anything is read for it."""
    if out is None:
        name = store_name(os.fspath(results)).removesuffix(".zarr") or "results"
        out = f"{name}-report.html"
    if "://" in os.fspath(out):
        raise UsageError(f"{os.fspath(out)!r}: a report is written to this machine; name a file")
    path = Path(out).absolute()
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent} to write a report to")
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file for the report, as report.html")
    if path.exists() and GENERATOR.encode() not in path.read_bytes()[:500]:
        raise UsageError(f"{path} is there, and is no report; name another file, or remove it")
    return path


def _write(path: Path, text: str) -> None:
    """Write the page whole: whoever reads meanwhile sees the old one, or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageRefused(f"the report could not be written to {path}: {error}") from error
