"""`report`: writes the page about a store to a file, and shows it in a notebook."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from ...storage.corpus.locations.exports import record_export
from ...storage.corpus.relocation import CorpusLocation
from ...storage.messages.tracebacks import short_traceback
from .findings import find
from .headline import headline
from .page import GENERATOR, page, store_name
from .written import embedded, page_path, write_page


@dataclass(frozen=True)
class Report:
    """A written page; as the last value of a notebook cell it is displayed."""

    path: Path  # of the HTML file
    headline: tuple[tuple[str, str], ...]  # the first figures: name and value

    def _repr_html_(self) -> str:
        return embedded(self.path, self.headline, "PaniniFS report")


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
    write_page(path, page(findings))
    record_export(path, [indexed.file for indexed in findings.index.files])
    return Report(path, tuple(headline(findings)))


def _output_path(results: str | PathLike[str], out: str | PathLike[str] | None) -> Path:
    """Return the path of the page, checked before anything is read."""
    if out is None:
        name = store_name(os.fspath(results)).removesuffix(".zarr") or "results"
        out = f"{name}-report.html"
    return page_path(out, GENERATOR)
