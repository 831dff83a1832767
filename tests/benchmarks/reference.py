"""Measures the machine that others are compared with, and writes it into the package.

`make reference`: every way to SHA-256 that this machine can take, and its clock besides.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import measure

from paninifs.engine import costs
from paninifs.engine.calibrate import calibrate
from paninifs.graphs.kernels.cpu.sha_paths import usable

if __name__ == "__main__":
    found = calibrate(rounds=5, paths=usable(), report=print)
    path = Path(costs.__path__[0]) / "reference.json"
    replace(found, clock_ghz=round(measure.clock_ghz(), 2)).save(path)
    print(path.read_text())
