"""`make test-gpu` with few packages, and the stand-in in CuPy's place."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from importlib.metadata import distribution, distributions

import pytest
from paths import REPOSITORY, SUPPORT

BARE = ("numpy", "pytest", "pluggy", "iniconfig", "packaging", "pygments")
"""NumPy and pytest, and what pytest needs."""


@pytest.fixture
def make_test_gpu(tmp_path):
    """Return a function that runs the command with a Python that has the given packages only."""
    site, python = tmp_path / "site", tmp_path / "python"
    site.mkdir()
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')  # without its own packages
    python.chmod(stat.S_IRWXU)

    def run(packages, *options):
        for package in packages:
            found = distribution(package)
            for top in {file.parts[0] for file in found.files or ()} - {".."}:
                if not (site / top).exists():
                    (site / top).symlink_to(found.locate_file(top))
        return subprocess.run(
            ["make", "--no-print-directory", "test-gpu", f"GPU_PYTHON={python}"],
            cwd=REPOSITORY,
            env=os.environ
            | {"PYTHONPATH": f"{SUPPORT / 'gpu_machine'}:{site}", "PANINIFS_GPU_TEXTS": "800"}
            | {"PYTEST_ADDOPTS": " ".join(["-p no:cacheprovider", *options])},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def skipped(ran, test):
    """Return the line that says why a file of tests was skipped."""
    lines = [line for line in ran.stdout.splitlines() if "SKIPPED" in line and test in line]
    return lines[0] if lines else ""


def test_the_kernels_tests_pass_and_the_others_name_packages(make_test_gpu):
    ran = make_test_gpu(BARE, "-k 'sound or golden or memory'")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " 6 passed" in ran.stdout
    assert " 4 skipped" in ran.stdout
    assert "could not import 'cloudpickle'" in skipped(ran, "test_gpu_conformance.py")
    assert "needs RAPIDS" in skipped(ran, "test_gpu_frames.py")
    assert "needs pyarrow" in skipped(ran, "test_gpu_parquet.py")
    assert "could not import 'cudf'" in skipped(ran, "test_gpu_run.py")


@pytest.mark.parametrize("lacking", ["cloudpickle", "locket", "platformdirs"])
def test_the_conformance_suite_names_the_package_it_lacks(make_test_gpu, lacking):
    others = {one.name.lower() for one in distributions()} - {lacking, "paninifs"}
    ran = make_test_gpu(sorted(others), "--collect-only", "-rs")
    assert f"could not import '{lacking}'" in skipped(ran, "test_gpu_conformance.py"), ran.stdout


@pytest.mark.soak("all tests of the kernels, compiled for the host: half a minute")
def test_every_test_of_the_kernels_passes(make_test_gpu):
    ran = make_test_gpu(BARE)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " 25 passed, 4 skipped" in ran.stdout
