"""The page of a benchmark's results: every table, with bars or lines where they tell more.

    python draw.py DIR

draws DIR/results.json again, as DIR/README.md and pictures beside it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from measure import Table

mpl.use("svg")
from matplotlib import pyplot as plt

INTRODUCTION = """\
Made by `make bench`. The figures are medians over several rounds on a shared machine. In each
round, the contenders take turns. The baselines are in `tests/benchmarks/baselines/`.
"""

BARS = {  # table's name begins with: column of names, column drawn
    "Kernel, one thread": ("what", "per second"),
    "Whole run, Parquet": ("what", "marginal, texts per second"),
    "Whole run, JSON Lines": ("what", "marginal, texts per second"),
}
LINES = {
    "Growth with the corpus": ("texts", "texts per second"),
    "Growth with the text": ("mean bytes", "MB of text per second"),
}


def page(results: Mapping[str, Any], folder: Path) -> None:
    """Write README.md, and an SVG for every table that is drawn."""
    mpl.rcParams.update({"svg.hashsalt": "paninifs", "font.size": 9})
    facts = "".join(f"| {name} | {value} |\n" for name, value in results["machine"].items())
    parts = [
        "# Benchmarks\n",
        INTRODUCTION,
        f"| machine | |\n|---|---|\n{facts}",
    ]
    for table in (Table(**table) for table in results["tables"]):
        parts.append(table.markdown())
        if name := _drawn(table, folder):
            parts.append(f"![{table.name}]({name})\n")
    (folder / "README.md").write_text("\n".join(parts))


def _drawn(table: Table, folder: Path) -> str | None:
    for start, (names, values) in (BARS | LINES).items():
        if table.name.startswith(start):
            figure, axes = plt.subplots(figsize=(7, 2.6), layout="constrained")
            x, y = ([row[column] for row in table.rows] for column in (names, values))
            if start in BARS:
                axes.barh(x[::-1], y[::-1], color="#38618c")
                axes.ticklabel_format(axis="x", style="plain")
                axes.set_xlabel(values)
            else:
                axes.plot(x, y, marker="o", color="#38618c")
                axes.set(xscale="log", xlabel=names, ylabel=values, ylim=(0, None))
            for side in ("top", "right"):
                axes.spines[side].set_visible(False)
            slug = "".join(c if c.isalnum() else "-" for c in table.name.lower())
            figure.savefig(folder / f"{slug}.svg", metadata={"Date": None})
            plt.close(figure)
            return f"{slug}.svg"
    return None


if __name__ == "__main__":
    at = Path(sys.argv[1])
    page(json.loads((at / "results.json").read_text()), at)
