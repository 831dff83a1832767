"""The command ``paninifs bench``: measure this machine, as a basis for `paninifs advise`."""

from __future__ import annotations

from dataclasses import asdict
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Annotated

import typer

from ..rendering.terminal import plain
from .console import Json, err, errors, out, pairs, print_json

if TYPE_CHECKING:
    from ..costs.calibration import Rate


def bench(
    rounds: Annotated[int, typer.Option(min=1, help="How often to repeat each measurement.")] = 3,
    as_json: Json = False,
) -> None:
    """Measure this machine, so that `paninifs advise` can predict run times on it.

    Takes a minute or two. Writes half a gigabyte of temporary files, and removes them.
    """
    from .. import calibrate
    from ..costs import calibration

    with errors():
        calibration.PATH.parent.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=calibration.PATH.parent).close()  # fail before minutes are spent
        found = calibrate.calibrate(rounds, report=lambda note: err.print(f"note: {plain(note)}"))
        found.save()
    if as_json:
        print_json(asdict(found))
        return
    pairs(
        {
            "processor": f"{found.processor}, {found.cores} cores",
            "starting the command": ", ".join(
                f"{seconds:.1f} s with {cluster}" for cluster, seconds in found.start.items()
            ),
            "overhead": f"{1e3 * found.shard:.1f} ms per shard, {1e3 * found.task:.1f} ms per task",
        }
        | {f"hashing, {path}": _rate(rate) for path, rate in found.hashing.items()}
        | {f"hashing, {gpu}": _rate(rate, of="GPU") for gpu, rate in found.device.items()}
        | {f"reading {format} and writing": _rate(rate) for format, rate in found.host.items()}
    )
    out.print(f"saved to {plain(str(calibration.PATH))}")


def _rate(rate: Rate, of: str = "core") -> str:
    seconds = rate.seconds(1, 100)
    return f"{1 / seconds:,.0f} texts of 100 bytes/s per {of}" if seconds else "too fast to measure"
