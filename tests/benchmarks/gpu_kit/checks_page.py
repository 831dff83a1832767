"""The page of checkers and profilers: ``python checks_page.py OUT`` writes OUT/checks.md."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from page import steps

TELLING = re.compile(
    r"ERROR SUMMARY|RACECHECK SUMMARY|right:|is not on this machine|Duration|no_instruction|pipe_"
    r"|Issue Slots Busy|Registers Per Thread|Achieved Occupancy|Throughput|Executed Ipc"
)
"""What is worth a line; the log has everything."""


def main() -> None:
    folder = Path(sys.argv[1])
    parts = ["# A GPU: checkers and profilers\n", steps(folder / "checks.tsv")]
    for part in (folder / "checks.log").read_text(errors="replace").split("##### ")[1:]:
        name, *lines = part.splitlines()
        telling = [line.strip("= ") for line in lines if TELLING.search(line)]
        parts.append(f"### {name}\n")
        parts += ["```", *telling, "```\n"] if telling else ["Nothing, see the log.\n"]
    (folder / "checks.md").write_text("\n".join(parts))


if __name__ == "__main__":
    main()
