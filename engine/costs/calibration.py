"""`Calibration`: the measured speed of a machine, as stored on disk.

`engine.calibrate` measures it, `prediction` predicts from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from platformdirs import user_cache_path

from ...storage.errors import UsageError
from ...storage.formats import registry as corpus_formats

PATH = user_cache_path("paninifs") / "calibration.json"
"""File in which `paninifs bench` stores its measurements, for this user on this machine."""

FORMATS = {
    name: corpus_formats.FORMATS[name].endings[0]
    for name in dict.fromkeys(known.calibrated_as for known in corpus_formats.FORMATS.values())
}
"""Measured formats and their endings; every other format is predicted like one of these."""

CLUSTERS = ("threads", "cpu")


@dataclass(frozen=True)
class Rate:
    """Time that one core needs per text and per byte of text."""

    row: float  # seconds per text
    byte: float  # seconds per byte

    def seconds(self, rows: int, nbytes: int) -> float:
        """Return the seconds for a number of texts with a total number of bytes.

        >>> Rate(row=2e-6, byte=1e-9).seconds(1_000_000, 100_000_000)
        2.1
        """
        return rows * self.row + nbytes * self.byte


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Measurements of a machine."""

    processor: str
    cores: int
    date: str  # of the measurement, ISO 8601
    version: str  # of paninifs
    start: Mapping[str, float]  # seconds of the command on a tiny corpus, by cluster
    shard: float  # seconds per additional shard, with all cores at work
    task: float  # seconds per additional task, likewise: it waits for its last shards
    host: Mapping[str, Rate]  # by format: all of a run except the hashing
    hashing: Mapping[str, Rate]  # by SHA-256 implementation: the default graph's kernels alone
    device: Mapping[str, Rate] = field(default_factory=dict)  # by GPU, as its driver names it: the
    # default graph's kernels, and the copies from the host's memory and back
    clock_ghz: float | None = None  # measured only for the reference machine

    def save(self, path: Path | None = None) -> None:
        """Write the calibration atomically to a path; by default to where `load` finds it."""
        path = path or PATH
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", dir=path.parent, suffix=".partial", delete=False) as file:
            file.write(json.dumps(asdict(self), indent=1) + "\n")
        Path(file.name).replace(path)

    @classmethod
    def from_json(cls, text: str) -> Calibration:
        """Decode what `save` wrote.

        Raises
        ------
        ValueError, KeyError, TypeError
            The text is not a calibration.
        """
        found: dict[str, Any] = json.loads(text)
        for name in ("host", "hashing", "device"):
            rates = dict(found[name] if name != "device" else found.get(name, {}))
            found[name] = {
                key: Rate(_seconds(rate["row"]), _seconds(rate["byte"]))
                for key, rate in rates.items()
            }
        found["start"] = {key: _seconds(value) for key, value in dict(found["start"]).items()}
        found |= {name: _seconds(found[name]) for name in ("shard", "task")}
        missing = {*FORMATS, *CLUSTERS} - {*found["host"], *found["start"]}
        if missing:
            raise ValueError(f"missing: {', '.join(sorted(missing))}")
        return cls(**found)


def _seconds(value: Any) -> float:
    """Return a value as a non-negative number of seconds."""
    seconds = float(value)
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"{value!r} is not a non-negative number of seconds")
    return seconds


def load(path: Path | None = None) -> Calibration | None:
    """Return the latest calibration of this user; None if there is none.

    Raises
    ------
    UsageError
        The file is not a valid calibration.
    """
    path = path or PATH
    try:
        return Calibration.from_json(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is not a valid calibration ({error!r}); run `paninifs bench` to replace it"
        ) from error


def reference() -> Calibration:
    """Return the calibration of the reference machine.

    Other machines are compared with its clock and the speed of one of its cores.
    """
    return Calibration.from_json(files(__package__).joinpath("reference.json").read_text())
