"""`collect_card`: a collection in progress, as HTML for notebooks; the card of runs is in `card`.

The data card beside the corpus (`engine.collecting.data_card`) describes the result.
"""

from __future__ import annotations

from ....storage.store.history import Series
from ...rendering.html import table
from ..collecting.collect_figures import CollectFigures, CollectSample
from .card_parts import bar, into, sparkline

SHOWN_REASONS = 5
"""Maximum number of reasons that are shown, the most frequent first."""


def collect_card(figures: CollectFigures, series: Series[CollectSample], corpus: str) -> str:
    """Return HTML with a collection's figures, and the items that it decided over time."""
    top = bar(figures.share, 1, "collected")
    line = into(f"{figures.state}, {figures.counted}", corpus)
    reasons = sorted(figures.reasons.items(), key=lambda one: (-one[1], one[0]))[:SHOWN_REASONS]
    rows = [*figures.in_words()]
    if reasons:
        rows.append(("not kept", ", ".join(f"{name} {count:,}" for name, count in reasons)))
    return f"<div>{top} {line}{table(rows)}{_rates(series)}</div>"


def _rates(series: Series[CollectSample]) -> str:
    times = [sample.seconds for sample in series.samples]
    rates = series.rates("decided")
    if not any(rates):
        return ""
    return sparkline(times, rates, f"items per second, at most {max(rates):,.3g}", low=0.0)
