"""The page of facts beside predictions: ``python page.py OUT`` writes OUT/page.md.

Reads gpu.json, tests.xml and page.tsv in OUT, whichever are there, so that it can be written after
every step.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from expected import PREDICTIONS, RUNS, TESTS
from measure import Table

OF_TIMEOUT = {"124", "137"}
"""Exit statuses of a command that timeout ended, by SIGTERM or by SIGKILL."""

HEAD = """# A GPU: facts beside predictions

Made by `make gpu-kit` and `run.sh`. The predictions are for an NVIDIA H200 and 16 cores; they were
made before any kernel had run on a device, and stay as they were.
"""


def main() -> None:
    folder = Path(sys.argv[1])
    found = _known(folder / "gpu.json")
    tables = {table["name"]: table["rows"] for table in found["tables"]}
    tables[RUNS] = [row for name in tables if name.startswith(RUNS) for row in tables[name]]
    tables |= _tests(folder / "tests.xml")
    parts = [HEAD, *_facts(found["machine"]), _predictions(tables)]
    parts += [steps(folder / "page.tsv"), "## Everything that was measured\n"]
    parts += [Table(**table).markdown() for table in found["tables"]]
    written = folder / "page.partial"
    written.write_text("\n".join(parts))
    written.replace(folder / "page.md")


def _known(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {"machine": {}, "tables": []}


def _facts(machine: dict[str, Any]) -> Iterator[str]:
    if not machine:
        yield "**The machine is unknown: no step reached the device.**\n"
        return
    if "H200" not in machine["device"]:
        yield f"**This is another device: {machine['device']}.**\n"
    rows = [{"machine": name, "": str(value)} for name, value in machine.items()]
    yield Table("Machine", "", rows).markdown()


def _predictions(tables: dict[str, list[dict[str, Any]]]) -> str:
    table = Table("Facts beside predictions", "")
    for prediction in PREDICTIONS:
        measured, verdict = prediction.compare(tables)
        row = {"fact": prediction.fact, "predicted": prediction.expected, "measured": measured}
        table.rows.append({**row, "": verdict})
    return table.markdown()


def _tests(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Count the tests; skipped ones say nothing, so without others nothing is known."""
    try:
        suites = list(ET.parse(path).iter("testsuite"))
    except (OSError, ET.ParseError):  # there is none, or not all of it
        return {}
    counts = {
        name: sum(int(suite.get(name, 0)) for suite in suites)
        for name in ("tests", "failures", "errors", "skipped")
    }
    failed = counts["failures"] + counts["errors"]
    passed = counts["tests"] - counts["skipped"] - failed
    if not passed + failed:
        return {}
    return {TESTS: [{"what": "all", "failed": failed, "passed": passed}]}


def steps(path: Path) -> str:
    """Return a table of the steps in a file of lines: name, result, seconds, limit."""
    table = Table("Steps", "")
    for line in path.read_text().splitlines() if path.exists() else []:
        name, result, seconds, limit = line.split("\t")
        ended = {"0": "done", "not begun": "**not begun: no time was left**"}.get(result)
        if ended is None and result in OF_TIMEOUT:
            ended = f"**stopped at its limit of {limit} s**"
        elif ended is None and result == "127":
            ended = "**not on this machine**, see the log"
        table.rows.append(
            {"step": name, "ended": ended or f"**failed ({result})**, see the log", "s": seconds}
        )
    return table.markdown()


if __name__ == "__main__":
    main()
