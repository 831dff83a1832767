"""The kit for the first minutes on a GPU: its scripts, its page, and the wheels that it takes.

The scripts run with a stand-in for CuPy and for the driver, as they would on a GPU machine.
`make gpu-kit` itself is not run: it downloads.
"""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import tomllib

import psutil
import pytest
from paths import REPOSITORY, SUPPORT, TESTS

sys.path.insert(0, str(TESTS / "benchmarks"))
sys.path.insert(0, str(TESTS / "benchmarks" / "gpu_kit"))
import collect
import expected
import page

KIT = TESTS / "benchmarks" / "gpu_kit"
STEPS = [
    "wheels",
    "machine",
    "gpu start",
    "kernel_tests",
    "gpu rates",
    "cluster",
    "gpu runs",
    "gpu bus",
    "gpu overlap",
    "kit lost_device",
    "gpu calls long",
    "kit looped_heads",
]
SLACK = 240
"""Seconds by which the limits of all steps may exceed the time for them."""


@pytest.fixture
def kit(tmp_path):
    """A kit without wheels, and a function that runs one of its scripts."""
    folder, out = tmp_path / "kit", tmp_path / "out"
    folder.mkdir()
    collect.lay_out(folder)

    def run(script, **settings):
        environment = os.environ | {
            "ROOT": str(REPOSITORY),
            "OUT": str(out),
            "PY": sys.executable,
            "PYTHONPATH": os.pathsep.join([str(SUPPORT / "gpu_machine"), str(SUPPORT)]),
            "KIT_SCALE": "0.0002",
            "KIT_PROCESSES": "1",
            "PYTEST_ADDOPTS": "-k sound",
            **settings,
        }
        ran = subprocess.run(
            ["bash", folder / script],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return out

    run.folder = folder
    return run


def ended(out):
    """Return how each step of the page ended."""
    part = (out / "page.md").read_text().split("### Steps")[1].split("##")[0]
    rows = [[cell.strip() for cell in line.split("|")] for line in part.splitlines() if "|" in line]
    return {row[1]: row[2] for row in rows[2:]}


def facts(out):
    """Return the facts of the page: what was measured, and how it compares."""
    part = (out / "page.md").read_text().split("### Facts beside predictions")[1].split("##")[0]
    rows = [[cell.strip() for cell in line.split("|")] for line in part.splitlines() if "|" in line]
    return {row[1]: tuple(row[3:5]) for row in rows[2:]}


def limits(script, name):
    """Return the limits in seconds of a list of steps, by step."""
    (steps,) = re.findall(rf"^{name}=\((.*?)^\)", script, re.MULTILINE | re.DOTALL)
    return {what: int(limit) for limit, what in re.findall(r'"(\d+) ([^"]+)"', steps)}


def test_steps_that_matter_have_time_whatever_the_others_take():
    (seconds,) = re.findall(r"KIT_SECONDS:-(\d+)", (KIT / "environment.sh").read_text())
    script = (KIT / "run.sh").read_text()
    first, then = limits(script, "FIRST"), limits(script, "THEN")
    assert [*first, *then] == STEPS
    assert {"kernel_tests", "gpu rates", "cluster", "gpu runs"} <= first.keys()
    assert sum(first.values()) <= int(seconds)
    assert sum(first.values()) + sum(then.values()) <= int(seconds) + SLACK
    assert sum(limits((KIT / "run2.sh").read_text(), "FIRST").values()) <= int(seconds)


@pytest.mark.soak("runs the whole kit: two to four minutes")
@pytest.mark.timeout(900)
def test_the_kit_on_a_stand_in_leaves_a_page_of_all_facts(kit):
    out = kit("run.sh", KIT_SECONDS="800")
    assert ended(out) == dict.fromkeys(STEPS, "done")
    found = facts(out)
    assert list(found) == [one.fact for one in expected.PREDICTIONS]
    # Those that depend on amounts, which are smaller here, are missing; nothing else is.
    missing = {fact for fact, (_, verdict) in found.items() if verdict == "not measured"}
    assert missing == {"8,192 texts per call", "one text of 8 MiB"}
    for fact, (measured, verdict) in found.items():
        if "differ" in fact or fact.startswith("an illegal address") or "failed" in fact:
            assert verdict == "as predicted", (fact, measured)
    assert "**This is another device: the host's processor.**" in (out / "page.md").read_text()
    assert len(list(out.iterdir())) <= 8  # as many files as may come back from a machine


@pytest.mark.soak("waits for the limits of steps that hang")
@pytest.mark.timeout(900)
def test_a_step_that_fails_or_hangs_stops_no_other(kit):
    (kit.folder / "wheels").mkdir()
    (kit.folder / "wheels" / "broken-1-py3-none-any.whl").write_text("not a wheel")
    out = kit(
        "run.sh",
        PANINIFS_HANGING_SUBJECT="bus",
        STEP_LIMIT="12",
        KIT_SECONDS="800",
    )
    found = ended(out)
    assert list(found) == STEPS
    assert found["wheels"] == "**failed (1)**, see the log"
    assert found["gpu bus"] == "**stopped at its limit of 12 s**"
    assert found["machine"] == "done"
    assert "GPU: a worker's start" in (out / "page.md").read_text()
    # What hung ignores SIGTERM, and would keep the device from the steps behind it.
    commands = [" ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"])]
    assert not [command for command in commands if str(out) in command]


def test_no_step_begins_when_the_time_is_over(kit):
    out = kit("run.sh", KIT_SECONDS="0")
    assert ended(out) == dict.fromkeys(STEPS, "**not begun: no time was left**")


TOOL = """#!/bin/bash
# Runs the command after its own options, then reports.
while [[ $1 != */python* ]]; do shift; done
"$@" || exit
echo "========= ERROR SUMMARY: 0 errors"
"""


def test_checkers_run_or_are_named_as_missing(kit, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "compute-sanitizer").write_text(TOOL)
    (tools / "compute-sanitizer").chmod(stat.S_IRWXU)
    out = kit("run2.sh", PATH=f"{tools}:/usr/bin:/bin")
    page = (out / "checks.md").read_text()
    for tool in ("memcheck", "racecheck", "initcheck", "synccheck"):
        assert f"| check {tool} | done |" in page
        assert f"### check {tool}\n\n```\nright: True\nERROR SUMMARY: 0 errors\n```" in page
    assert "| profile 100 2000000 | **not on this machine**, see the log |" in page
    assert "ncu is not on this machine" in page
    assert "nsys is not on this machine" in page


def test_a_page_without_any_results_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["page.py", str(tmp_path)])
    page.main()
    found = (tmp_path / "page.md").read_text()
    assert "no step reached the device" in found
    assert {verdict for _, verdict in facts(tmp_path).values()} == {"not measured"}


def test_predictions_are_compared_with_what_was_measured(tmp_path, monkeypatch):
    rates = {"name": expected.RATES[100], "note": ""}
    nine = {"what": "nine hashes and weights", "G blocks/s": 9.5, "of the ALU": 0.6}
    whole = {"what": "whole default graph", "bits that differ": 1, "of float64": 0.5}
    other = {**rates, "name": expected.RATES[5000], "rows": [{"bits that differ": 0}]}
    lost = {"name": expected.LOST, "note": "", "rows": [{"what": "the call", "result": "no error"}]}
    tables = [rates | {"rows": [nine, whole]}, other, lost]
    machine = {"device": "NVIDIA H200"}
    (tmp_path / "gpu.json").write_text(json.dumps({"machine": machine, "tables": tables}))
    (tmp_path / "tests.xml").write_text('<x><testsuite tests="3" failures="1" skipped="2"/></x>')
    monkeypatch.setattr(sys, "argv", ["page.py", str(tmp_path)])
    page.main()
    found = facts(tmp_path)
    assert found["nine hashes, ~100 bytes"] == ("9.5 G blocks/s", "**lower**")
    assert found["nine hashes, ~100 bytes, of the ALU"] == ("60 %", "as predicted")
    assert found["default graph, ~100 bytes, of float64"] == ("50 %", "**higher**")
    assert found["bits that differ: kernels"] == ("1", "**higher**")
    assert found["an illegal address: the call"] == ("no error", "**differs**")
    assert found["tests on the device: failed"] == ("1", "**higher**")
    assert "another device" not in (tmp_path / "page.md").read_text()


def test_skipped_tests_are_no_result(tmp_path):
    (tmp_path / "tests.xml").write_text('<x><testsuite tests="3" skipped="3"/></x>')
    assert page._tests(tmp_path / "tests.xml") == {}


def test_every_wheel_of_the_kit_is_pinned_for_its_python():
    pins = {}
    for name in collect.PINS:
        pins |= dict(collect.pinned((REPOSITORY / name).read_text()))
    folders = tomllib.loads((KIT / "packages.toml").read_text())
    wanted = [name for folder in folders.values() for name in folder["names"]]
    assert not set(wanted) - pins.keys()
    assert len(wanted) == len(set(wanted))
    assert "3.1.6" not in pins["zarr"]  # for Python 3.11


def test_a_pin_for_another_python_is_left_out():
    lines = "a==1 ; python_full_version < '3.12' \\\n    --hash=sha256:0\n    # via b\n"
    lines += (
        "a==2 ; python_full_version >= '3.12' \\\n    --hash=sha256:1 \\\n    --hash=sha256:2\n"
    )
    assert list(collect.pinned(lines)) == [("a", "a==2 --hash=sha256:1 --hash=sha256:2")]
