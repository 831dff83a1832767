"""The commands that show results with their texts: ``paninifs peek`` and ``export``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.bar import Bar
from rich.table import Table

from ...storage.errors import UsageError
from ..rendering.terminal import one_line, plain
from .console import CorpusPath, Json, Results, errors, fitted, out, pairs, print_json

if TYPE_CHECKING:
    from ..results.peeked import Peek

_BAR_WIDTH = 32


def peek(
    sentence: Annotated[
        str, typer.Argument(metavar="SENTENCE", help="The sentence; - reads it from stdin.")
    ],
    results: Annotated[
        str | None, typer.Option("--in", help="Results store to search for the nearest texts.")
    ] = None,
    top: Annotated[int, typer.Option(min=0, help="How many texts to find.")] = 5,
    by: Annotated[
        str, typer.Option(metavar="FIELD", help="Field of vectors by which texts are compared.")
    ] = "dhatu",
    blocks: Annotated[
        list[str] | None,
        typer.Option(
            "--graph",
            metavar="FILE:NAME",
            help="The blocks of your own that compute the field, such as my_blocks.py:graph; "
            "repeatable.",
        ),
    ] = None,
    corpus: CorpusPath = None,
    as_json: Json = False,
) -> None:
    """Print the values of one SENTENCE, and the texts of a store with the most similar vectors."""
    from ..results.peek import peek as look
    from .graph_files.options import own_graph

    with errors():
        text = _from_stdin() if sentence == "-" else sentence
        graph = own_graph(blocks) if blocks else None
        found = look(text, results, by=by, graph=graph, top=top, corpus=corpus)
    if as_json:
        print_json(asdict(found))
        return
    _print(found)


def _from_stdin() -> str:
    """Read stdin, without the line break that a shell appends."""
    try:
        return sys.stdin.buffer.read().decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise UsageError(f"the sentence on stdin is not UTF-8: byte {error.start}") from error


def _print(found: Peek) -> None:
    from ..results.located import beginning
    from ..results.peeked import notes, single_values

    out.print(f"{plain(beginning(found.text))}\n")
    for note in notes(found):
        out.print(f"note: {plain(note)}")
    weights = Table.grid(padding=(0, 2))
    largest = max(found.dhatu.values()) or 1.0
    for name, weight in found.dhatu.items():
        weights.add_row(
            plain(one_line(name)), f"{weight:.4f}", Bar(largest, 0, weight, width=_BAR_WIDTH)
        )
    out.print(weights, soft_wrap=False)
    bases = "  ".join(f"{prime}: {base:.6g}" for prime, base in found.prime_base.items())
    out.print()
    pairs({**single_values(found), "prime_base": bases})
    if found.results is not None:
        named = "" if found.by == "dhatu" else f", by {plain(found.by)}"
        out.print(f"\nnearest of {found.compared:,} texts in {plain(found.results)}{named}:")
        for one in found.nearest:
            fitted(f"{one.similarity:.6f}  {one_line(one.id)}  {beginning(one.text)}")
    out.print(f"\n{found.caveat}")


def export(
    results: Results,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="The file to write: .csv, .csv.gz, .jsonl, .jsonl.gz or .parquet.",
        ),
    ],
    columns: Annotated[
        list[str] | None,
        typer.Option(help="Columns to export, such as a,b; all by default. Repeatable."),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            help="'csv', 'csv.gz', 'jsonl', 'jsonl.gz' or 'parquet'; by default inferred from the "
            "file's ending."
        ),
    ] = None,
    text: Annotated[
        bool,
        typer.Option(
            "--text/--no-text",
            help="Include texts and other columns of the corpus, or export only the store.",
        ),
    ] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing file.")
    ] = False,
    corpus: CorpusPath = None,
    as_json: Json = False,
) -> None:
    """Write results, texts and the corpus's own columns as one table, one row per text."""
    from ..results.export.export import export as write

    given = [name.strip() for names in columns or () for name in names.split(",")]
    names = [name for name in given if name] or None
    with errors():
        found = write(
            results,
            file,
            columns=names,
            format=format,
            text=text,
            overwrite=overwrite,
            progress=not as_json,
            corpus=corpus,
        )
    if as_json:
        print_json(asdict(found))
        return
    pairs(
        {
            "file": found.file,
            "rows": f"{found.rows:,}, {found.rows - found.valid:,} of them without results",
            "columns": ", ".join(map(one_line, found.columns)),
        }
    )
    if found.files_unread:
        out.print(f"{found.files_unread:,} file(s) could not be read, so they have no rows")
