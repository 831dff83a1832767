"""HTML that cards, reports and rehearsals share: without scripts, safe for any text.

Colours are those of the surrounding page, so that the text is readable in a dark notebook too.
"""

from __future__ import annotations

import html
from collections.abc import Iterable

from .terminal import visible

_TABLE = "border-collapse:collapse;font-variant-numeric:tabular-nums;margin:4px 0"
_CELL = "text-align:left;padding:1px 12px 1px 0;font-weight:normal;background:none"


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Return a table of names and values, one row each.

    >>> "&lt;b&gt;" in table([("text", "<b>")])
    True
    """
    safe = ((html.escape(visible(name)), html.escape(visible(value))) for name, value in rows)
    lines = "".join(
        f'<tr style="background:none"><th scope="row" style="{_CELL}">{name}</th>'
        f'<td style="{_CELL}">{value}</td></tr>'
        for name, value in safe
    )
    return f'<table style="{_TABLE}">{lines}</table>'
