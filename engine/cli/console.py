"""Output shared by all commands: the consoles, the exit codes, and errors as one line each."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from ...storage.cleaning.normal_forms import NormalForms
from ...storage.errors import PaniniError, RunCancelled, UsageError
from ..rendering.terminal import as_json_text, plain, visible

DONE, FAILED, USAGE, QUARANTINED, INTERRUPTED = 0, 1, 2, 3, 130

Results = Annotated[
    str, typer.Argument(metavar="RESULTS", help="The results store: a folder or a URL.")
]
CorpusPath = Annotated[
    list[str] | None,
    typer.Option(
        "--corpus",
        metavar="CORPUS",
        help="Where the corpus is now, if not where the last run found it; repeatable.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]

out = Console(highlight=False, soft_wrap=True, emoji=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


@contextmanager
def errors() -> Iterator[None]:
    """Turn the engine's errors into one line on stderr and an exit code."""
    try:
        yield
    except UsageError as error:
        err.print(f"[red]error:[/] {plain(str(error))}")
        raise typer.Exit(USAGE) from error
    except RunCancelled as error:
        err.print(f"[yellow]stopped:[/] {plain(str(error))}")
        raise typer.Exit(INTERRUPTED) from error
    except (PaniniError, OSError) as error:
        err.print(f"[red]failed:[/] {plain(str(error))}")
        raise typer.Exit(FAILED) from error


def pairs(rows: dict[str, str]) -> None:
    """Print one name and value per line."""
    for name, value in rows.items():
        out.print(f"[bold]{plain(name)}[/]: {plain(value)}")


def fitted(line: str) -> None:
    """Print a line; a terminal narrower than the line shows only its beginning."""
    text = Text(visible(line))
    if out.is_terminal:
        text.truncate(out.width, overflow="ellipsis")
    out.print(text)


def print_json(document: dict[str, Any]) -> None:
    """Print a document as JSON."""
    sys.stdout.write(as_json_text(document) + "\n")


def print_duplicates(summary: Any) -> None:
    """Print the number of repeated texts, if they were marked."""
    if summary.duplicates is not None:
        pairs({"duplicates": f"{summary.duplicates:,}, marked in the array 'duplicate'"})


def warn_of_forms(found: Any) -> None:
    """Warn if a corpus mixes Unicode normal forms."""
    warning = NormalForms(found.not_nfc, found.not_nfd).warning
    if warning:
        err.print(f"[yellow]warning:[/] {plain(warning)}")
