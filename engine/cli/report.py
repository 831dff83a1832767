"""The command ``paninifs report``."""

from __future__ import annotations

from typing import Annotated

import typer

from ..rendering.terminal import plain
from .console import Results, errors, out


def report(
    results: Results,
    page: Annotated[
        str | None,
        typer.Argument(
            metavar="[OUT.html]",
            help="The file to write; RESULTS-report.html in this folder when left out.",
            show_default=False,
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            help="A kept column to group texts by; when left out, one with 2 to 20 values."
        ),
    ] = None,
) -> None:
    """Write a page about a store: what ran, how fast, and what came of it."""
    from ..report.report import report as write

    with errors():
        written = write(results, page, by=by)
    size = written.path.stat().st_size
    out.print(f"{plain(str(written.path))} ({size / 1000:,.0f} kB): open it in a browser")
