"""The command ``paninifs report``."""

from __future__ import annotations

from typing import Annotated

import typer

from ..rendering.terminal import plain
from .console import CorpusPath, Results, errors, out


def report(
    results: Results,
    page: Annotated[
        str | None,
        typer.Argument(
            metavar="OUT.html",
            help="The file to write; by default RESULTS-report.html in the current folder.",
            show_default=False,
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            help="Column to group texts by; by default the first kept column with 2 to 20 "
            "distinct values."
        ),
    ] = None,
    corpus: CorpusPath = None,
) -> None:
    """Write an HTML page about RESULTS: what ran, how fast, and what the results are."""
    from ..report.report import report as write

    with errors():
        written = write(results, page, by=by, corpus=corpus)
    size = written.path.stat().st_size
    out.print(f"{plain(str(written.path))} ({size / 1000:,.0f} kB): open it in a browser")
