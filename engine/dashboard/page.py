"""The tab: a run's figures, live, as a Bokeh document. Every visitor has one of their own."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from bokeh.layouts import column, row
from bokeh.models import (
    ColumnDataSource,
    Div,
    FactorRange,
    HoverTool,
    NumeralTickFormatter,
    Select,
)
from bokeh.plotting import figure

from ..palette import BLUE, GREEN, ORANGE, PURPLE, VERMILION
from .telemetry import TOPIC

if TYPE_CHECKING:
    from bokeh.document import Document

    from .monitor import Monitor, MonitoredRun

REFRESH_MS = 500
QUIET_SECONDS = 10.0
"""Of silence, after which the reader is told that the figures are old ones."""

_NEWEST = "the newest"
_STYLE = """
<style>
  table.paninifs { border-collapse: collapse; font-variant-numeric: tabular-nums; }
  table.paninifs th { text-align: left; font-weight: 600; padding: 1px 14px 1px 0; }
  .paninifs-bar { background: #ddd; height: 14px; width: 100%; }
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
        self._line = ColumnDataSource({name: [] for name in _COLUMNS})
        self._blocks = ColumnDataSource({"name": [], "seconds": [], "share": []})
        self._choice = Select(title="run", value=_NEWEST, options=[_NEWEST], width=600)
        self._told = Div(text="", width=460, name="figures")
        self._shown = ""
        self._bars = _bars(self._blocks)
        charts = [
            _chart(self._line, "texts a second", {"texts": BLUE}, "0.0a"),
            _chart(self._line, "bytes of text a second", {"bytes": BLUE}, "0.0b"),
            _chart(
                self._line,
                "memory of the workers, and what they spilled",
                {"memory": GREEN, "spilled": VERMILION},
                "0.0b",
            ),
            _chart(self._line, "threads at work", {"cpu": ORANGE}, "0.0"),
            _chart(self._line, "micro-batch, texts", {"micro_batch": PURPLE}, "0,0"),
            _chart(self._line, "device, share of the time at work", {"device": ORANGE}, "0 %"),
        ]
        self._device = charts[-1]
        left = column(self._choice, self._told, self._bars)
        self.root = row(
            left,
            column(charts[0], charts[2], charts[4]),
            column(charts[1], charts[3], charts[5]),
            name=TOPIC,
        )

    def update(self) -> None:
        """Show what the run has told by now."""
        runs = self._monitor.runs
        self._choice.options = [_NEWEST, *reversed(runs)]
        self._choice.visible = len(runs) > 1
        newest = next(reversed(runs.values()), None)
        run = runs.get(self._choice.value, newest)
        told = _told(run)
        if told != self._shown:
            self._shown = self._told.text = told
        if run is None:
            return
        line = run.timeline
        self._line.data = {
            "seconds": line.column("seconds"),
            "texts": line.rates("rows_done"),
            "bytes": line.rates("text_bytes"),
            **{name: line.column(name) for name in _COLUMNS[3:]},
        }
        self._device.visible = any(value is not None for value in line.column("device"))
        spent = self._monitor.block_seconds(run)
        every = sum(spent.values()) or 1.0
        names = sorted(spent, key=lambda name: spent[name])
        if self._bars.y_range.factors != names:
            self._bars.y_range.factors = names
        self._blocks.data = {
            "name": names,
            "seconds": [spent[name] for name in names],
            "share": [spent[name] / every for name in names],
        }


_COLUMNS = (
    "seconds",
    "texts",
    "bytes",
    "memory",
    "spilled",
    "cpu",
    "micro_batch",
    "device",
)


def _told(run: MonitoredRun | None) -> str:
    if run is None:
        return "<p>No run has told of itself yet: <code>pf.submit(...)</code> begins one.</p>"
    rows = "".join(
        f"<tr><th scope='row'>{html.escape(name)}</th>"
        f"<td data-figure='{html.escape(name, quote=True)}'>{html.escape(value)}</td></tr>"
        for name, value in run.figures.in_words()
    )
    quiet = ""
    if run.figures.state == "running" and run.silence > QUIET_SECONDS:
        quiet = f"<p><b>Nothing was heard of it for {run.silence:.0f} s.</b></p>"
    share = f"{100 * run.figures.share:.1f}"
    return (
        f"{_STYLE}<h3>{html.escape(run.results)}: {html.escape(run.figures.state)}</h3>{quiet}"
        f"<div class='paninifs-bar' role='progressbar' aria-valuenow='{share}' aria-valuemin='0' "
        f"aria-valuemax='100' aria-label='texts that are done'>"
        f"<div style='width: {share}%'></div></div>"
        f"<table class='paninifs'>{rows}</table>"
    )


def _chart(source: ColumnDataSource, title: str, lines: dict[str, str], numbers: str) -> figure:
    chart = figure(title=title, height=220, width=430, tools="", toolbar_location=None)
    for name, colour in lines.items():
        label = {"legend_label": name} if len(lines) > 1 else {}
        chart.line("seconds", name, source=source, color=colour, line_width=2, **label)
    chart.xaxis.axis_label = "seconds"
    chart.yaxis.formatter = NumeralTickFormatter(format=numbers)
    chart.y_range.start = 0
    if len(lines) > 1:
        chart.legend.location = "top_left"
        chart.legend.background_fill_alpha = 0.6
    told = [(name, f"@{name}{{{numbers}}}") for name in lines]
    chart.add_tools(HoverTool(mode="vline", tooltips=[("seconds", "@seconds{0.0}"), *told]))
    return chart


def _bars(source: ColumnDataSource) -> figure:
    bars = figure(
        title="share of the threads' time, by dask's fine metrics",
        y_range=FactorRange(),
        height=220,
        width=460,
        tools="",
        toolbar_location=None,
    )
    bars.hbar(y="name", right="share", height=0.7, color=BLUE, source=source)
    bars.x_range.start = 0
    bars.xaxis.formatter = NumeralTickFormatter(format="0 %")
    bars.add_tools(
        HoverTool(
            tooltips=[("", "@name"), ("seconds", "@seconds{0.0}"), ("share", "@share{0.0 %}")]
        )
    )
    return bars
