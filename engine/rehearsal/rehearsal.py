"""`Rehearsal`: the estimates for a run over the whole corpus, and their text and HTML forms.

`rehearse` measures and computes the figures.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dask.utils import format_bytes

from ..monitoring.projection import Projection
from ..rendering.html import table
from ..rendering.quantities import duration
from ..rendering.terminal import one_line, visible

if TYPE_CHECKING:
    from ..costs.bill import Bill

_BLOCKS = 4
"""Maximum number of blocks shown; the slowest are."""


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """Estimates for a run over the whole corpus, made by `rehearse`; `str()` describes them."""

    rows: int  # of the corpus, including those that will be quarantined
    counted: bool  # whether `rows` is exact; else estimated from the beginnings of some files
    files: int
    text_bytes: int  # of all texts, estimated from the sample
    sampled: int  # rows in the sample
    quarantined: int  # sampled rows that were quarantined
    reasons: tuple[str, ...]  # why, for the first of them
    block_seconds: Mapping[str, float]  # seconds per text on one thread, by block
    threads: int  # of all workers
    shards: int
    shard_rows: int
    tasks: int
    counting: float  # seconds that counting the rows takes; a part of `seconds`
    seconds: float  # from the submission to the end, on these workers
    disk: int  # bytes of the store
    free: int | None  # free bytes at the location of the store; None: unknown
    memory: Projection  # of a worker
    bill: Bill | None  # cost of the run, here and elsewhere; None: a note says why
    rows_before: int  # rows that the store holds already
    took: float  # seconds that the rehearsal took
    notes: tuple[str, ...]  # for the user, about how the corpus will be read

    @property
    def quarantined_share(self) -> float:
        """Share of the rows that will be quarantined, 0 to 1, estimated from the sample."""
        return self.quarantined / self.sampled

    @property
    def seconds_left(self) -> float:
        """Seconds for the rows that the store does not hold yet, without counting the rows."""
        if not self.rows_before:
            return self.seconds
        return (self.seconds - self.counting) * (self.rows - self.rows_before) / self.rows

    def __str__(self) -> str:
        lines = [f"{name}: {line}" for name, line in lines_of(self).items()]
        return visible("\n".join([*lines, *(f"note: {note}" for note in self.notes)]))

    def _repr_html_(self) -> str:
        """Return HTML for a notebook; all text in it is escaped."""
        lines = table(lines_of(self).items())
        notes = "".join(f"<li>{html.escape(visible(note))}</li>" for note in self.notes)
        return lines + (f"<ul>{notes}</ul>" if notes else "")


def lines_of(rehearsal: Rehearsal) -> dict[str, str]:
    """Describe the estimates, one sentence per name."""
    lines = {
        "sample": f"{rehearsal.sampled:,} texts spread over {_rows(rehearsal)}, "
        f"in {rehearsal.took:.0f} s",
        "texts": f"{_rows(rehearsal)} in {_files(rehearsal.files)}, about "
        f"{format_bytes(rehearsal.text_bytes)} of text",
        "quarantined": _quarantined(rehearsal),
        "time": _time(rehearsal),
        "memory": f"a worker will need about {rehearsal.memory}",
        "disk": _disk(rehearsal),
    }
    if rehearsal.bill is not None:
        lines["cost"] = str(rehearsal.bill)
    if rehearsal.rows_before:
        lines["done already"] = (
            f"{rehearsal.rows_before:,} of {rehearsal.rows:,} texts; the rest takes about "
            f"{duration(rehearsal.seconds_left)}, and the other figures are for the whole corpus"
        )
    return lines


def _rows(rehearsal: Rehearsal) -> str:
    return f"{'' if rehearsal.counted else 'about '}{rehearsal.rows:,}"


def _files(count: int) -> str:
    return f"{count:,} file{'s' * (count != 1)}"


def _quarantined(rehearsal: Rehearsal) -> str:
    if not rehearsal.quarantined:
        return "none in the sample"
    expected = round(rehearsal.quarantined_share * rehearsal.rows)
    counts = f"{rehearsal.quarantined:,} in the sample, so about {expected:,} in the corpus"
    return f"{counts}; for example {one_line(rehearsal.reasons[0])}"


def _time(rehearsal: Rehearsal) -> str:
    slowest = sorted(rehearsal.block_seconds.items(), key=lambda item: -item[1])[:_BLOCKS]
    spent = ", ".join(f"{name} {_small(seconds)}" for name, seconds in slowest)
    threads = f"{rehearsal.threads} thread{'s' * (rehearsal.threads != 1)}"
    return (
        f"about {duration(rehearsal.seconds)} with {threads}, "
        f"{duration(rehearsal.counting)} of it to count the rows "
        f"({rehearsal.tasks:,} task{'s' * (rehearsal.tasks != 1)}, {rehearsal.shards:,} "
        f"shard{'s' * (rehearsal.shards != 1)}; per text: {spent})"
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


def _disk(rehearsal: Rehearsal) -> str:
    needed = f"about {format_bytes(rehearsal.disk)}"
    if rehearsal.free is None:
        return needed
    if rehearsal.free < rehearsal.disk:
        return f"{needed}, but only {format_bytes(rehearsal.free)} are free"
    return f"{needed} of {format_bytes(rehearsal.free)} free"
