"""`Calibration`: how fast a machine was seen to be, as it lies on disk.

Taking it is the business of `measurement`, drawing conclusions that of `prediction`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from platformdirs import user_cache_path

from ...storage.errors import UsageError
from ...storage.formats import registry as corpus_formats

PATH = user_cache_path("paninifs") / "calibration.json"
"""Where `paninifs bench` leaves what it measured, for this user on this machine."""


FORMATS = {
    name: corpus_formats.FORMATS[name].endings[0]
    for name in dict.fromkeys(known.calibrated_as for known in corpus_formats.FORMATS.values())
}
"""The corpus formats that are measured, and their endings; each other one is like one of these."""

CLUSTERS = ("threads", "cpu")


@dataclass(frozen=True)
class Rate:
    """What a text costs one core: so much, and so much a byte."""

    row: float  # seconds
    byte: float  # seconds

    def seconds(self, rows: int, nbytes: int) -> float:
        """Return what so many texts of together so many bytes cost.

        >>> Rate(row=2e-6, byte=1e-9).seconds(1_000_000, 100_000_000)
        2.1
        """
        return rows * self.row + nbytes * self.byte


@dataclass(frozen=True)
class Calibration:
    """What was measured, and on what."""

    processor: str
    cores: int
    date: str  # of the measurement, ISO 8601
    version: str  # of paninifs
    start: Mapping[str, float]  # seconds of the command over next to nothing, by its cluster
    shard: float  # seconds that one shard more takes, all cores at work
    task: float  # seconds that one task more takes, likewise: it waits for its last shards
    host: Mapping[str, Rate]  # by the corpus's format: all of a run but the hashing
    hashing: Mapping[str, Rate]  # by the way to SHA-256: the default graph's kernels alone
    clock_ghz: float | None = None  # measured, where others are compared with it

    def save(self, path: Path | None = None) -> None:
        """Write it where `load` finds it, all of it at once."""
        path = path or PATH
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", dir=path.parent, suffix=".partial", delete=False) as file:
            file.write(json.dumps(asdict(self), indent=1) + "\n")
        Path(file.name).replace(path)

    @classmethod
    def from_json(cls, text: str) -> Calibration:
        """Return what `save` wrote.

        Raises
        ------
        ValueError, KeyError, TypeError
            It is something else.
        """
        found: dict[str, Any] = json.loads(text)
        for name in ("host", "hashing"):
            rates = dict(found[name])
            found[name] = {
                key: Rate(_seconds(rate["row"]), _seconds(rate["byte"]))
                for key, rate in rates.items()
            }
        found["start"] = {key: _seconds(value) for key, value in dict(found["start"]).items()}
        found |= {name: _seconds(found[name]) for name in ("shard", "task")}
        missing = {*FORMATS, *CLUSTERS} - {*found["host"], *found["start"]}
        if missing:
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
        return cls(**found)


def _seconds(value: Any) -> float:
    """Return a number of seconds, which is 0 or more."""
    seconds = float(value)
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"{value!r} is no number of seconds")
    return seconds


def load(path: Path | None = None) -> Calibration | None:
    """Return what was measured last for this user; None where nothing was.

    Raises
    ------
    UsageError
        The file cannot be made sense of.
    """
    path = path or PATH
    try:
        return Calibration.from_json(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is no calibration ({error!r}); `paninifs bench` makes it anew"
        ) from error


def reference() -> Calibration:
    """Return the calibration of the machine that the engine was measured on.

    What it says of one core, and the clock, is what other machines are compared with.
    """
    return Calibration.from_json(files(__package__).joinpath("reference.json").read_text())
