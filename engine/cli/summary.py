"""The summary that ``paninifs run`` ends with: what is done, and what is not."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

from ...storage.filesystems.redaction import shown
from ...storage.store.quarantine import first_quarantined
from ...storage.targets.open import open_target
from ..rendering.terminal import one_line, plain
from .console import out, pairs, print_duplicates, print_json, warn_of_forms

if TYPE_CHECKING:
    from ...storage.store.history import Summary
    from ..monitoring.progress import Progress
    from ..run.handle import Run

_MAX_REASONS = 5


Level = Literal["json", "quiet", "normal", "verbose"]


def print_run(
    run: Run, progress: Progress, results: str, *, mirror: str | None, level: Level
) -> None:
    """Print the summary of a run that has ended, as JSON or in words."""
    summary = run.result()
    if level != "json":
        print_summary(summary, progress, results, mirror=mirror, level=level)
        return
    cost = run.bill and asdict(run.bill)
    record = run.record and run.record.to_json()
    print_json(asdict(summary) | {"seconds": progress.elapsed, "cost": cost, "run": record})


def print_summary(
    summary: Summary, progress: Progress, results: str, *, mirror: str | None, level: Level
) -> None:
    """Print what a store holds now, how long the run took, and what the user may have to mend."""
    if level != "quiet":
        _print_done(summary, progress, mirror)
    if level == "verbose":
        shards = f"{summary.shards:,} shard{'' if summary.shards == 1 else 's'}"
        pairs({"text": f"{summary.text_bytes / 1e6:,.1f} MB in {shards}"})
    _print_problems(summary, results)
    if level != "quiet":
        print_duplicates(summary)
        out.print(f"next: paninifs show {plain(summary.results)}")


def _print_done(summary: Summary, progress: Progress, mirror: str | None) -> None:
    time = "; the store was already complete"
    if progress.rows_by_run or progress.later:
        time = f", in {progress.elapsed:.1f} s"
    if progress.rows_by_run:
        time += f" ({progress.texts_per_second:,.0f} texts/s)"
    pairs(
        {
            "results": summary.results + (f", mirrored to {shown(mirror)}" if mirror else ""),
            "texts": f"{summary.done:,} of {summary.rows:,} done, "
            f"{summary.quarantined:,} quarantined{time}",
        }
    )


def _print_problems(summary: Summary, results: str) -> None:
    if summary.files_unread:
        out.print(f"[yellow]{summary.files_unread:,} file(s) could not be read[/]")
    if summary.null_ids or summary.repeated_ids:
        out.print(f"ids: {summary.null_ids:,} missing, {summary.repeated_ids:,} repeated")
    warn_of_forms(summary)
    entries, every = first_quarantined(open_target(results), _MAX_REASONS)
    for entry in entries:
        out.print(f"[yellow]quarantined:[/] {plain(one_line(str(entry)))}")
    if entries:
        more = f"all {every:,} entries" if every > _MAX_REASONS else "the same, with their bytes"
        out.print(f"{more}: {plain(summary.results)}/quarantine.parquet")
