"""The dashboard's tab: live figures of runs and climbs as a Bokeh document, one per visitor."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.layouts import column, row
from bokeh.models import (
    AdaptiveTicker,
    ColumnDataSource,
    Div,
    FactorRange,
    HoverTool,
    NumeralTickFormatter,
    Range1d,
    Select,
)
from bokeh.plotting import figure

from ...rendering.palette import BLUE
from ...rendering.terminal import visible
from ..climb_figures import ClimbFigures
from ..figure_declaration import Chart, Line, declared
from ..figures import Figures
from .message import TOPIC

if TYPE_CHECKING:
    from bokeh.document import Document

    from ....storage.store.history import Series
    from .monitored_runs import MonitoredRun, MonitoredRuns

REFRESH_MS = 500
QUIET_SECONDS = 10.0
"""Seconds without a report after which the page warns that its figures are old."""

CHART_WIDTH = 340
"""Least width of a chart, in pixels."""

_NEWEST = "the newest"
_POWERS = [2**power for power in range(10)]
_STYLE = """
<style>
  table.paninifs { border-collapse: collapse; font-variant-numeric: tabular-nums; }
  table.paninifs th { text-align: left; font-weight: 600; padding: 1px 14px 1px 0; }
  .paninifs-bar { background: #ddd; height: 14px; width: 100%; margin-bottom: 6px; }
  .paninifs-bar div { background: BLUE; height: 100%; }
</style>""".replace("BLUE", BLUE)


_WRAPPED = {"display": "flex", "flex-wrap": "wrap"}
_GRID = {
    "display": "grid",
    "grid-template-columns": f"repeat(auto-fit, minmax({CHART_WIDTH}px, 1fr))",
    "flex": f"1 1 {CHART_WIDTH}px",
    "min-width": "0",
}
"""As many charts side by side as fit; below the figures where none fits beside them."""


def page(monitored: MonitoredRuns, document: Document) -> None:
    """Fill a visitor's document, and keep it up to date as long as it is open."""
    board = Board(monitored)
    document.title = "Dask: PaniniFS"
    document.add_root(board.root)
    document.add_periodic_callback(board.update, REFRESH_MS)
    board.update()


class Board:
    """A visitor's view of a scheduler's runs and climbs.

    Attributes
    ----------
    root : bokeh.models.LayoutDOM
    """

    def __init__(self, monitored: MonitoredRuns) -> None:
        self._monitored = monitored
        self._blocks = ColumnDataSource({"name": [], "seconds": [], "share": []})
        self._choice = Select(title="run or climb", value=_NEWEST, options=[_NEWEST], width=600)
        self._figures = Div(text="", width=460, name="figures")
        self._shown = ""
        self._drawn: tuple[str, float] | None = None
        self._bars = _bars(self._blocks)
        self._charts = [
            LineChart(kind, chart)
            for kind in (Figures, ClimbFigures)
            for chart in Chart
            if _lines(kind, chart)
        ]
        self._left = column(self._choice, self._figures)
        self._grid = row(sizing_mode="stretch_width", styles=_GRID)
        self.root = row(
            self._left, self._grid, sizing_mode="stretch_width", styles=_WRAPPED, name=TOPIC
        )

    def update(self) -> None:
        """Show the latest report of the chosen run or climb."""
        runs = self._monitored.runs
        named = [(name, f"{run.results} ({run.figures.state})") for name, run in runs.items()]
        self._choice.options = [(_NEWEST, _NEWEST), *reversed(named)]
        self._choice.visible = len(runs) > 1
        newest = next(reversed(runs.values()), None)
        run = runs.get(self._choice.value, newest)
        shown = _table(run)
        if shown != self._shown:
            self._shown = self._figures.text = shown
        if run is None or self._drawn == (run.name, run.heard):
            return
        self._drawn = run.name, run.heard
        # Bokeh cannot lay out a chart without data, so a chart is added once it has some.
        of_kind = [chart for chart in self._charts if isinstance(run.figures, chart.kind)]
        drawn = [chart.figure for chart in of_kind if chart.update(run.timeline)]
        if self._grid.children != drawn:
            self._grid.children = drawn
        self._update_bars(self._monitored.block_seconds(run))

    def _update_bars(self, spent: dict[str, float]) -> None:
        total = sum(spent.values())
        if not total:
            self._left.children = [one for one in self._left.children if one is not self._bars]
            return
        names = sorted(spent, key=lambda name: spent[name])
        if self._bars.y_range.factors != names:
            self._bars.y_range.factors = names
        self._blocks.data = {
            "name": names,
            "seconds": [spent[name] for name in names],
            "share": [spent[name] / total for name in names],
        }
        if self._bars not in self._left.children:
            self._left.children = [*self._left.children, self._bars]


class LineChart:
    """Lines over the seconds of a run or a climb.

    Attributes
    ----------
    kind : type
        `Figures` or `ClimbFigures`: the figures that it shows.
    figure : bokeh.plotting.figure
    """

    def __init__(self, kind: type, chart: Chart) -> None:
        self.kind, lines = kind, _lines(kind, chart)
        self._lines = {line.name: line for line in lines}
        self._source = ColumnDataSource({name: [] for name in ("seconds", *self._lines)})
        self.figure = _figure(self._source, chart, lines)

    def update(self, timeline: Series[Any]) -> bool:
        """Draw the samples so far; return whether it has any data for this chart."""
        columns = {"seconds": timeline.column("seconds")} | {
            name: timeline.rates(line.column) if line.rate else timeline.column(line.column)
            for name, line in self._lines.items()
        }
        # Bokeh sends an array as it lies in memory, but inspects every item of a list.
        arrays = {name: np.array(column, np.float64) for name, column in columns.items()}
        known = ~np.isnan(list(arrays.values())).any(axis=0)
        if known.any():
            self._source.data = {name: array[known] for name, array in arrays.items()}
        return bool(known.any())


def _lines(kind: type, chart: Chart) -> list[Line]:
    return [one.line for one in declared(kind) if one.line and one.line.chart is chart]


def _table(run: MonitoredRun | None) -> str:
    """Return the figures of a run or a climb as HTML."""
    if run is None:
        return (
            "<p>No run has reported yet: <code>pf.submit(...)</code> or "
            "<code>pf.climb(...)</code> starts one.</p>"
        )
    rows = "".join(
        f"<tr><th scope='row'>{html.escape(name)}</th>"
        f"<td data-figure='{html.escape(name, quote=True)}'>{html.escape(visible(value))}</td></tr>"
        for name, value in run.figures.in_words()
    )
    quiet = ""
    if run.figures.state == "running" and run.silence > QUIET_SECONDS:
        quiet = f"<p><b>No report for {run.silence:.0f} s.</b></p>"
    label = "budget spent" if isinstance(run.figures, ClimbFigures) else "texts computed"
    share = f"{100 * run.figures.share:.1f}"
    head = f"{html.escape(visible(run.results))}: {html.escape(run.figures.state)}"
    return (
        f"{_STYLE}<h3>{head}</h3>{quiet}"
        f"<div class='paninifs-bar' role='progressbar' aria-valuenow='{share}' aria-valuemin='0' "
        f"aria-valuemax='100' aria-label='{label}'>"
        f"<div style='width: {share}%'></div></div>"
        f"<table class='paninifs' data-seconds='{run.figures.elapsed:.3f}'>{rows}</table>"
    )


def _figure(source: ColumnDataSource, about: Chart, lines: Sequence[Line]) -> figure:
    chart = figure(
        title=about.title,
        height=230,
        min_width=CHART_WIDTH,
        sizing_mode="stretch_width",
        tools="",
        toolbar_location=None,
    )
    numbers = about.number_format
    for line in lines:
        label = {"legend_label": line.name} if len(lines) > 1 else {}
        chart.line("seconds", line.name, source=source, color=line.colour, line_width=2, **label)
    chart.xaxis.axis_label = "seconds"
    if numbers:
        chart.yaxis.formatter = NumeralTickFormatter(format=numbers)
    if about.from_zero:
        chart.y_range.start = 0
    if numbers.endswith("b"):  # bytes, in powers of 1,024
        chart.yaxis.ticker = AdaptiveTicker(base=1024, mantissas=_POWERS)
    if len(lines) > 1:
        chart.legend.location = "bottom_right"
        chart.legend.orientation = "horizontal"
        chart.legend.background_fill_alpha = 0.6
    as_shown = f"{{{numbers}}}" if numbers else ""
    tips = [(line.name, f"@{line.name}{as_shown}") for line in lines]
    chart.add_tools(HoverTool(mode="vline", tooltips=[("seconds", "@seconds{0.0}"), *tips]))
    return chart


def _bars(source: ColumnDataSource) -> figure:
    bars = figure(
        title="share of the threads' time",
        x_range=Range1d(0, 1),
        y_range=FactorRange(),
        height=220,
        width=460,
        tools="",
        toolbar_location=None,
    )
    bars.hbar(y="name", right="share", height=0.7, color=BLUE, source=source)
    bars.xaxis.formatter = NumeralTickFormatter(format="0 %")
    bars.add_tools(
        HoverTool(
            tooltips=[("", "@name"), ("seconds", "@seconds{0.0}"), ("share", "@share{0.0 %}")]
        )
    )
    return bars
