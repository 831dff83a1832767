"""The command ``paninifs cite``: a methods paragraph about a store."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from .console import Json, Results, errors, print_json


def cite(
    results: Results,
    bibtex: Annotated[
        bool, typer.Option("--bibtex", help="Print a BibTeX entry for the software instead.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print a methods paragraph about RESULTS for a paper; its figures come from the manifest."""
    from ..results.cite import cite as citation_of

    with errors():
        found = citation_of(results)
    if as_json:
        print_json(asdict(found))
    else:
        sys.stdout.write(f"{found.bibtex if bibtex else found.paragraph}\n")
