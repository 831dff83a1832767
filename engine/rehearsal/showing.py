"""How a rehearsal is shown: as text, and as HTML in a notebook. No figure is made here."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from dask.utils import format_bytes

from ..rendering.html import table
from ..rendering.quantities import duration
from ..rendering.terminal import one_line, visible

if TYPE_CHECKING:
    from .rehearse import Rehearsal

_BLOCKS = 4
"""Blocks that are named, those that take longest."""


def lines_of(found: Rehearsal) -> dict[str, str]:
    """Return what a sample says of the whole: a name and a sentence each."""
    lines = {
        "sample": f"{found.sampled:,} texts from all over {_rows(found)}, in {found.took:.0f} s",
        "texts": f"{_rows(found)} in {_files(found.files)}, about "
        f"{format_bytes(found.text_bytes)} of text",
        "set aside": _set_aside(found),
        "time": _time(found),
        "memory": f"a worker will need about {found.memory}",
        "disk": _disk(found),
    }
    if found.bill is not None:
        lines["cost"] = str(found.bill)
    if found.rows_before:
        lines["done already"] = (
            f"{found.rows_before:,} of {found.rows:,} texts; what is left takes about "
            f"{duration(found.seconds_left)}, and the other figures are of all of it"
        )
    return lines


def _rows(found: Rehearsal) -> str:
    return f"{'' if found.counted else 'about '}{found.rows:,}"


def _files(count: int) -> str:
    return f"{count:,} file{'s' * (count != 1)}"


def _set_aside(found: Rehearsal) -> str:
    if not found.quarantined:
        return "none of the sample"
    expected = round(found.quarantined_share * found.rows)
    said = f"{found.quarantined:,} of the sample, so about {expected:,} of all"
    return f"{said}; first {one_line(found.reasons[0])}"


def _time(found: Rehearsal) -> str:
    slowest = sorted(found.block_seconds.items(), key=lambda item: -item[1])[:_BLOCKS]
    spent = ", ".join(f"{name} {_small(seconds)}" for name, seconds in slowest)
    threads = f"{found.threads} thread{'s' * (found.threads != 1)}"
    return (
        f"about {duration(found.seconds)} with {threads}, {duration(found.counting)} of them to "
        f"count the rows ({found.tasks:,} task{'s' * (found.tasks != 1)}, {found.shards:,} "
        f"shard{'s' * (found.shards != 1)}; a text: {spent})"
    )


def _small(seconds: float) -> str:
    """Return a short time.

    >>> [_small(x) for x in (2.5e-6, 0.0031, 1.2)]
    ['2.5 µs', '3.1 ms', '1.2 s']
    """
    for unit, length in (("µs", 1e-6), ("ms", 1e-3)):
        if seconds < 1000 * length:
            return (
                f"{seconds / length:.2g} {unit}"
                if seconds < 100 * length
                else (f"{seconds / length:.0f} {unit}")
            )
    return duration(seconds)


def _disk(found: Rehearsal) -> str:
    said = f"about {format_bytes(found.disk)}"
    if found.free is None:
        return said
    if found.free < found.disk:
        return f"{said}, and only {format_bytes(found.free)} are free"
    return f"{said} of {format_bytes(found.free)} free"


def as_text(found: Rehearsal) -> str:
    """Return it for a terminal."""
    lines = [f"{name}: {line}" for name, line in lines_of(found).items()]
    return visible("\n".join([*lines, *(f"note: {one}" for one in found.notes)]))


def as_html(found: Rehearsal) -> str:
    """Return it for a notebook; every text in it is escaped."""
    lines = table(lines_of(found).items())
    notes = "".join(f"<li>{html.escape(visible(one))}</li>" for one in found.notes)
    return lines + (f"<ul>{notes}</ul>" if notes else "")
