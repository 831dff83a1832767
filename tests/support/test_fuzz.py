"""The fuzz harness as a command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from paths import SUPPORT, TESTS


def test_the_command_reads_a_case_of_every_target():
    paths = os.environ["PYTHONPATH"].split(os.pathsep)
    outside = [path for path in paths if not Path(path).is_relative_to(TESTS)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(outside)}
    command = [sys.executable, str(SUPPORT / "fuzz.py"), "--minutes", "1", "--cases", "1"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.count(": 1 cases, 0 findings") >= 5
