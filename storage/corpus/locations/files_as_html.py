"""`files_as_html`: a corpus's files as a table, in a notebook."""

from __future__ import annotations

import html
from collections.abc import Sequence

from ...rows import SourceFile

_SHOWN_FILES = 10


def files_as_html(title: str, files: Sequence[SourceFile]) -> str:
    """Return a title, and the first files in a table."""
    shown = "".join(
        f"<tr><td>{html.escape(file.url)}</td><td>{file.format}</td><td>{file.size:,}</td></tr>"
        for file in files[:_SHOWN_FILES]
    )
    more = len(files) - _SHOWN_FILES
    rest = f"<tr><td>and {more:,} more</td></tr>" if more > 0 else ""
    head = "<tr><th>file</th><th>format</th><th>bytes</th></tr>"
    table = f"<table>{head}{shown}{rest}</table>" if files else ""
    return f"<div>{html.escape(title)}</div>{table}"
