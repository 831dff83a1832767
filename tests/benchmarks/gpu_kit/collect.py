"""Gather what a GPU machine without internet needs: ``make gpu-kit``.

    python collect.py DIR [--large]

DIR gets the wheels of packages.toml, a small corpus, and the scripts. The
checkout travels on its own.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.markers import Marker, default_environment

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PINS = ("requirements-rapids.txt", "requirements-dev.txt")

PYTHON = "3.12"
GLIBC = (39, 34, 31, 28, 27, 24, 17, 12, 5)
"""Minor versions of glibc 2 that wheels are built for; pip wants each by name."""

LIMIT = 60_000_000
"""Bytes of the kit without the large wheels: a machine may take 64 MiB, the checkout included."""

COPIES = 25
"""Copies of each of the two thousand glosses in the corpus, made different by a number."""


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--large", action="store_true", help="add the wheels of [large]")
    options = parser.parse_args()
    shutil.rmtree(options.folder, ignore_errors=True)
    options.folder.mkdir(parents=True)
    lay_out(options.folder)
    chosen = tomllib.loads((HERE / "packages.toml").read_text())
    pins = dict(pair for name in PINS[::-1] for pair in pinned((ROOT / name).read_text()))
    for folder in ("wheels", "wheels-rmm", "wheels-cuda"):
        download(pins, chosen[folder]["names"], options.folder / folder)
    small = size_of(options.folder)
    if options.large:
        download(pins, chosen["large"]["names"], options.folder / "wheels")
    print(f"{options.folder}: {size_of(options.folder) / 1e6:.1f} MB", flush=True)
    if small > LIMIT:
        print(f"more than {LIMIT / 1e6:.0f} MB: move wheels to [large] in packages.toml")
        return 1
    return 0


def lay_out(folder: Path) -> None:
    """Write everything but the wheels."""
    for script in ("environment.sh", "run.sh", "run2.sh"):
        shutil.copy(HERE / script, folder / script)
    (folder / "corpus").mkdir()
    with (
        gzip.open(ROOT / "tests" / "data" / "wordnet-2000.jsonl.gz", "rt") as lines,
        gzip.open(folder / "corpus" / "glosses.jsonl.gz", "wt") as out,
    ):
        rows = [json.loads(line) for line in lines]
        for copy in range(COPIES):
            for row in rows:
                changed = {"id": f"{row['id']}-{copy}", "text": f"{copy} {row['text']}"}
                out.write(json.dumps(changed, ensure_ascii=False) + "\n")


def pinned(requirements: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the line of each requirement that holds on the machine.

    pip would evaluate the markers for the Python that it runs in, so they are left out.

    >>> list(pinned("zarr==3.4.2 ; python_full_version >= '3.12' --hash=sha256:00"))
    [('zarr', 'zarr==3.4.2 --hash=sha256:00')]
    >>> list(pinned("zarr==3.1.6 ; python_full_version < '3.12' --hash=sha256:00"))
    []
    """
    there = default_environment() | {
        "python_version": PYTHON,
        "python_full_version": f"{PYTHON}.0",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
    }
    for line in requirements.replace("\\\n", " ").splitlines():
        if found := re.match(r"([\w.-]+)==(\S+)\s*(?:;(.*?))?\s*((?:--hash=\S+\s*)+)$", line):
            name, version, marker, hashes = found.groups()
            if not marker or Marker(marker).evaluate(there):
                yield name, f"{name}=={version} {' '.join(hashes.split())}"


def download(pins: dict[str, str], names: Iterable[str], folder: Path) -> None:
    """Download the pinned wheels of packages for the machine."""
    folder.mkdir(exist_ok=True)
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in GLIBC]
    platforms += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(pins[name] for name in names) + "\n")
        file.flush()
        command = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps"]
        command += ["--disable-pip-version-check", "--only-binary=:all:", "--require-hashes"]
        command += ["--python-version", PYTHON, "--implementation", "cp"]
        command += [f"--platform={platform}" for platform in platforms]
        subprocess.run([*command, "--dest", folder, "--requirement", file.name], check=True)


def size_of(folder: Path) -> int:
    """Return the bytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    raise SystemExit(main())
