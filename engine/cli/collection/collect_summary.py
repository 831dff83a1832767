"""The summary of ``paninifs collect``: what was kept, what was not, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ...collecting.outcome import RETRIED, SKIPPED
from ...rendering.quantities import duration
from ...rendering.terminal import one_line, plain
from ..console import out, pairs

if TYPE_CHECKING:
    from ...collecting.collection import Collection
    from ...monitoring.collecting.collect_figures import CollectFigures

MOST_FAILURES = 20
"""Maximum number of failed items that are named."""

MOST_REASONS = 4
"""Maximum number of reasons that are named, the most frequent first."""


def print_collection(
    now: CollectFigures, corpus: str, *, quiet: bool, listed: Sequence[str] = ()
) -> None:
    """Print at most five lines, and those of `listed`; with `quiet` only what has failed."""
    skipped = {one: count for one, count in now.reasons.items() if one in SKIPPED}
    failed = {one: count for one, count in now.reasons.items() if one not in SKIPPED}
    if not quiet:
        pairs({"corpus": _corpus(now, corpus), "items": _items(now)})
        _print_reasons("skipped", skipped)
    more = "" if listed or quiet else "; which ones: --verbose"
    again = "; to try again: --retry-failed" if any(one in RETRIED for one in failed) else ""
    _print_reasons("failed", failed, more + again)
    for line in listed:
        out.print(f"  {plain(line)}")
    if not quiet:
        out.print(f"next: {plain(_next(now, corpus))}")


def failures_of(found: Collection) -> list[str]:
    """Return a line for each of the first items that failed."""
    failed = found.failed()
    lines = [
        one_line(f"{key}: {reason}{f' ({detail})' if detail else ''}")
        for key, reason, detail in failed[["key", "reason", "detail"]].values[:MOST_FAILURES]
    ]
    more = len(failed) - len(lines)
    return lines + ([f"and {more:,} more: see failed() in Python"] if more else [])


def _corpus(now: CollectFigures, corpus: str) -> str:
    from dask.utils import format_bytes

    texts = "1 text" if now.rows_committed == 1 else f"{now.rows_committed:,} texts"
    return f"{corpus}, {texts}, {format_bytes(now.bytes_committed)}"


def _items(now: CollectFigures) -> str:
    pending = f", {now.pending:,} pending" if now.pending else ""
    fresh = now.decided - now.decided_before
    time = f"; {fresh:,} in {duration(now.elapsed)}" if fresh else "; nothing new"
    rate = f" ({fresh / now.elapsed:,.3g}/s)" if fresh and now.elapsed else ""
    of = "" if now.total is None else f" of {now.total:,}"
    if not now.listed:
        return "none were listed"
    outcomes = now.outcomes or "none decided yet"
    return f"{now.decided:,}{of}: {outcomes}{pending}{time}{rate}"


def _print_reasons(kind: str, reasons: Mapping[str, int], then: str = "") -> None:
    ranked = sorted(reasons.items(), key=lambda one: (-one[1], one[0]))
    if not ranked:
        return
    named = ", ".join(f"{name} {count:,}" for name, count in ranked[:MOST_REASONS])
    rest = sum(count for _, count in ranked[MOST_REASONS:])
    pairs({kind: f"{named}{f', others {rest:,}' if rest else ''}{then}"})


def _next(now: CollectFigures, corpus: str) -> str:
    run = f"paninifs run {shlex.quote(corpus)} results.zarr"
    if not now.rows_committed:
        run = f"nothing is kept yet; what was decided is in {corpus}/_collection/card.md"
    if now.state == "finished":
        return run
    why = f" ({one_line(now.reason)})" if now.reason else ""
    then = "give a larger limit" if now.state == "limited" else "repeat the command"
    return f"{now.state}{why}: to go on, {then}; {run}"
