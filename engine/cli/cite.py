"""The command ``paninifs cite``: what a paper may say of a store."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from .console import Json, Results, errors, print_json


def cite(
    results: Results,
    bibtex: Annotated[
        bool, typer.Option("--bibtex", help="An entry for the software, and not the paragraph.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print a methods paragraph on RESULTS; every figure in it stands in the store's manifest."""
    from ..results.cite import cite as citation_of

    with errors():
        found = citation_of(results)
    if as_json:
        print_json(asdict(found))
    else:
        sys.stdout.write(f"{found.bibtex if bibtex else found.paragraph}\n")
