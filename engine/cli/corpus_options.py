"""Options of commands that open a corpus: how its text files are written."""

from __future__ import annotations

from typing import Annotated, Any

import typer

_NAMES = {"none": None, "": None, "tab": "\t", "\\t": "\t", "space": " "}

Delimiter = Annotated[
    str | None,
    typer.Option(
        help="Character between the values of CSV or TSV, such as ';' or 'tab'; by default a "
        "comma in CSV and a tab in TSV."
    ),
]
Quote = Annotated[
    str,
    typer.Option(
        help="Character around values of CSV or TSV that contain delimiters or line breaks; "
        "'none': quotes are ordinary characters, and every line is a record."
    ),
]
Escape = Annotated[
    str | None,
    typer.Option(
        help="Character before a delimiter, quote or line break of CSV or TSV that belongs to a "
        "value; by default quotes are doubled instead."
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option(
        help="Encoding of all text files, such as 'latin-1', 'cp1252' or 'utf-16'; 'auto' detects "
        "it for each file; by default UTF-8."
    ),
]


def dialect_options(
    delimiter: str | None, quote: str, escape: str | None, encoding: str | None
) -> dict[str, Any]:
    r"""Return the arguments of `open_corpus` for these options.

    >>> dialect_options("tab", "none", None, None)
    {'delimiter': '\t', 'quote': None, 'escape': None, 'encoding': None}
    """
    return {
        "delimiter": _character(delimiter),
        "quote": _character(quote),
        "escape": _character(escape),
        "encoding": encoding,
    }


def _character(value: str | None) -> str | None:
    return None if value is None else _NAMES.get(value, value)
