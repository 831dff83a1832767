"""`report`: writes the page about a store to a file, and shows it in a notebook."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from ...storage.corpus.locations.exports import record_export
from ...storage.corpus.relocation import CorpusLocation
from ...storage.errors import StorageRefused, UsageError
from ...storage.messages.tracebacks import short_traceback
from ..rendering.html import table
from .findings import find
from .headline import headline
from .page import GENERATOR, page, store_name

MAX_EMBEDDED = 1_000_000
"""Maximum size, in bytes, of a page that is embedded in a notebook and saved with it."""


@dataclass(frozen=True)
class Report:
    """A written page; as the last value of a notebook cell it is displayed."""

    path: Path  # of the HTML file
    headline: tuple[tuple[str, str], ...]  # the first figures: name and value

    def _repr_html_(self) -> str:
        figures = table([("report", str(self.path)), *self.headline])
        try:
            text = self.path.read_text(encoding="utf-8")
        except OSError:  # moved or deleted
            return figures
        if len(text.encode()) > MAX_EMBEDDED:
            return figures
        return (
            f'<iframe srcdoc="{html.escape(text, quote=True)}" sandbox="" title="PaniniFS report" '
            'style="width:100%;height:720px;border:1px solid #8884"></iframe>'
        )


@short_traceback
def report(
    results: str | PathLike[str],
    out: str | PathLike[str] | None = None,
    *,
    by: str | None = None,
    corpus: CorpusLocation | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Report:
    """Write a page about a store: what ran, how fast, and what the results are.

    The page is one HTML file that loads nothing from the network and runs no script. The store may
    be unfinished; it is read once, in pieces.

    Parameters
    ----------
    results : str or path
        The store: a folder, a mounted Drive, or a URL.
    out : str or path, optional
        The file to write, on this machine; by default ``RESULTS-report.html`` in the current
        folder. An existing report is replaced; any other existing file is an error.
    by : str, optional
        An array with one value per text to group texts by, such as a kept column. By default the
        first kept column with 2 to 20 distinct values.
    corpus : str, path, list of them, or Corpus, optional
        Where the corpus is now, if not where the last run found it; or the data, if they lay in
        memory, or were those of a dask frame.
    storage_options : mapping, optional
        Passed to fsspec, for results and corpus.

    Returns
    -------
    Report

    Raises
    ------
    ResultsNotFound
        The store does not exist.
    ColumnNotFound
        The array `by` does not exist.
    UsageError
        `out` cannot be written to, or `by` has more than 10,000 distinct values.

    Examples
    --------
    >>> import tempfile, paninifs as pf
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pf.report(f"{folder}/results.zarr")
    Traceback (most recent call last):
    ...
    paninifs.storage.errors.ResultsNotFound: no results store of this engine at ...
    """
    path = _output_path(results, out)
    findings = find(results, by, storage_options, corpus)
    _write(path, page(findings))
    record_export(path, [indexed.file for indexed in findings.index.files])
    return Report(path, tuple(headline(findings)))


def _output_path(results: str | PathLike[str], out: str | PathLike[str] | None) -> Path:
    """Return the path of the page, checked before anything is read."""
    if out is None:
        name = store_name(os.fspath(results)).removesuffix(".zarr") or "results"
        out = f"{name}-report.html"
    if "://" in os.fspath(out):
        raise UsageError(
            f"{os.fspath(out)!r}: a report is written to this machine; give a local path"
        )
    path = Path(out).absolute()
    if not path.parent.is_dir():
        raise UsageError(f"{path}: the folder {path.parent} does not exist")
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give a file name, such as report.html")
    if path.exists() and GENERATOR.encode() not in path.read_bytes()[:500]:
        raise UsageError(
            f"{path} exists and is not a report; give another file name, or remove the file"
        )
    return path


def _write(path: Path, text: str) -> None:
    """Write the page atomically: a reader sees either the old page or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageRefused(f"the report could not be written to {path}: {error}") from error
