"""The tab: a run's figures, live, as a Bokeh document. Every visitor has one of their own."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

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

from ...rendering.palette import BLUE, GREEN, ORANGE, PURPLE, VERMILION
from ...rendering.terminal import visible
from .telemetry import TOPIC

if TYPE_CHECKING:
    from bokeh.document import Document

    from ....storage.store.history import Timeline
    from .monitor import Monitor, MonitoredRun

REFRESH_MS = 500
QUIET_SECONDS = 10.0
"""Of silence, after which the reader is told that the figures are old ones."""

_NEWEST = "the newest"
_MEMORY = {"memory": GREEN, "spilled": VERMILION}
_POWERS = [2**power for power in range(10)]
_STYLE = """
<style>
  table.paninifs { border-collapse: collapse; font-variant-numeric: tabular-nums; }
  table.paninifs th { text-align: left; font-weight: 600; padding: 1px 14px 1px 0; }
  .paninifs-bar { background: #ddd; height: 14px; width: 100%; margin-bottom: 6px; }
  .paninifs-bar div { background: BLUE; height: 100%; }
</style>""".replace("BLUE", BLUE)


def page(monitor: Monitor, document: Document) -> None:
    """Fill a visitor's document, and keep it up to date for as long as they stay."""
    board = Board(monitor)
    document.title = "Dask: PaniniFS"
    document.add_root(board.root)
    document.add_periodic_callback(board.update, REFRESH_MS)
    board.update()


class Board:
    """What a visitor sees of a scheduler's runs.

    Attributes
    ----------
    root : bokeh.models.LayoutDOM
    """

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._blocks = ColumnDataSource({"name": [], "seconds": [], "share": []})
        self._choice = Select(title="run", value=_NEWEST, options=[_NEWEST], width=600)
        self._told = Div(text="", width=460, name="figures")
        self._shown = ""
        self._drawn: tuple[str, float] | None = None
        self._bars = _bars(self._blocks)
        self._charts = [Chart(*one) for one in _CHARTS]
        self._left = column(self._choice, self._told)
        self._columns = [column(sizing_mode="stretch_width") for _ in range(2)]
        self.root = row(self._left, *self._columns, sizing_mode="stretch_width", name=TOPIC)

    def update(self) -> None:
        """Show what the run has told by now."""
        runs = self._monitor.runs
        named = [(name, f"{run.results} ({run.figures.state})") for name, run in runs.items()]
        self._choice.options = [(_NEWEST, _NEWEST), *reversed(named)]
        self._choice.visible = len(runs) > 1
        newest = next(reversed(runs.values()), None)
        run = runs.get(self._choice.value, newest)
        told = _told(run)
        if told != self._shown:
            self._shown = self._told.text = told
        if run is None or self._drawn == (run.name, run.heard):
            return
        self._drawn = run.name, run.heard
        # A chart without anything to show cannot be laid out: so it is not there before.
        known = [chart.figure for chart in self._charts if chart.update(run.timeline)]
        for at, side in enumerate(self._columns):
            if side.children != known[at::2]:
                side.children = known[at::2]
        self._update_bars(self._monitor.block_seconds(run))

    def _update_bars(self, spent: dict[str, float]) -> None:
        every = sum(spent.values())
        if not every:
            return
        names = sorted(spent, key=lambda name: spent[name])
        if self._bars.y_range.factors != names:
            self._bars.y_range.factors = names
        self._blocks.data = {
            "name": names,
            "seconds": [spent[name] for name in names],
            "share": [spent[name] / every for name in names],
        }
        if self._bars not in self._left.children:
            self._left.children = [*self._left.children, self._bars]


_RATES = {"texts/s": "rows_done", "bytes/s": "text_bytes"}
_CHARTS = (
    ("texts a second", {"texts/s": BLUE}, "0.0a"),
    ("bytes of text a second", {"bytes/s": BLUE}, "0.0b"),
    ("memory of the workers, and what they spilled", _MEMORY, "0.0b"),
    ("threads at work", {"cpu": ORANGE}, "0.00"),
    ("micro-batch, texts", {"micro_batch": PURPLE}, "0,0"),
    ("device, share of the time at work", {"device": ORANGE}, "0 %"),
)
"""Of each its title, its lines with their colours, and how its numbers are written."""


class Chart:
    """Lines over the seconds of a run.

    Attributes
    ----------
    figure : bokeh.plotting.figure
    """

    def __init__(self, title: str, lines: dict[str, str], numbers: str) -> None:
        self._lines = lines
        self._source = ColumnDataSource({name: [] for name in ("seconds", *lines)})
        self.figure = _figure(self._source, title, lines, numbers)

    def update(self, timeline: Timeline) -> bool:
        """Draw what is known by now, if anything is."""
        columns = {"seconds": timeline.column("seconds")} | {
            name: timeline.rates(_RATES[name]) if name in _RATES else timeline.column(name)
            for name in self._lines
        }
        # Bokeh sends an array as it lies in memory, but looks at every item of a list.
        arrays = {name: np.array(column, np.float64) for name, column in columns.items()}
        known = ~np.isnan(list(arrays.values())).any(axis=0)
        if known.any():
            self._source.data = {name: array[known] for name, array in arrays.items()}
        return bool(known.any())


def _told(run: MonitoredRun | None) -> str:
    if run is None:
        return "<p>No run has told of itself yet: <code>pf.submit(...)</code> begins one.</p>"
    rows = "".join(
        f"<tr><th scope='row'>{html.escape(name)}</th>"
        f"<td data-figure='{html.escape(name, quote=True)}'>{html.escape(visible(value))}</td></tr>"
        for name, value in run.figures.in_words()
    )
    quiet = ""
    if run.figures.state == "running" and run.silence > QUIET_SECONDS:
        quiet = f"<p><b>Nothing was heard of it for {run.silence:.0f} s.</b></p>"
    share = f"{100 * run.figures.share:.1f}"
    head = f"{html.escape(visible(run.results))}: {html.escape(run.figures.state)}"
    return (
        f"{_STYLE}<h3>{head}</h3>{quiet}"
        f"<div class='paninifs-bar' role='progressbar' aria-valuenow='{share}' aria-valuemin='0' "
        f"aria-valuemax='100' aria-label='texts that are done'>"
        f"<div style='width: {share}%'></div></div>"
        f"<table class='paninifs' data-seconds='{run.figures.elapsed:.3f}'>{rows}</table>"
    )


def _figure(source: ColumnDataSource, title: str, lines: dict[str, str], numbers: str) -> figure:
    chart = figure(
        title=title,
        height=230,
        min_width=300,
        sizing_mode="stretch_width",
        tools="",
        toolbar_location=None,
    )
    for name, colour in lines.items():
        label = {"legend_label": name} if len(lines) > 1 else {}
        chart.line("seconds", name, source=source, color=colour, line_width=2, **label)
    chart.xaxis.axis_label = "seconds"
    chart.yaxis.formatter = NumeralTickFormatter(format=numbers)
    chart.y_range.start = 0
    if numbers.endswith("b"):  # bytes, which are counted by 1,024
        chart.yaxis.ticker = AdaptiveTicker(base=1024, mantissas=_POWERS)
    if len(lines) > 1:
        chart.legend.location = "bottom_right"
        chart.legend.orientation = "horizontal"
        chart.legend.background_fill_alpha = 0.6
    told = [(name, f"@{name}{{{numbers}}}") for name in lines]
    chart.add_tools(HoverTool(mode="vline", tooltips=[("seconds", "@seconds{0.0}"), *told]))
    return chart


def _bars(source: ColumnDataSource) -> figure:
    bars = figure(
        title="share of the threads' time, by dask's fine metrics",
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
