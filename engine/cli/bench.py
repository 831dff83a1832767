"""The command ``paninifs bench``: how fast this machine is, for `paninifs advise` to go by."""

from __future__ import annotations

from dataclasses import asdict
from tempfile import TemporaryFile
from typing import Annotated

import typer

from ..rendering.terminal import plain
from .console import Json, err, errors, out, pairs, print_json


def bench(
    rounds: Annotated[int, typer.Option(min=1, help="How often each figure is taken.")] = 3,
    as_json: Json = False,
) -> None:
    """Measure this machine, a minute or two; `paninifs advise` predicts from it then.

    Texts are made for it, half a gigabyte of temporary files, and removed again.
    """
    from .. import calibrate
    from ..costs import calibration

    with errors():
        calibration.PATH.parent.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=calibration.PATH.parent).close()  # fails before the minutes are spent
        found = calibrate.calibrate(rounds, tell=lambda told: err.print(f"note: {plain(told)}"))
        found.save()
    if as_json:
        print_json(asdict(found))
        return
    pairs(
        {
            "processor": f"{found.processor}, {found.cores} cores",
            "the command, over next to nothing": ", ".join(
                f"{s:.1f} s with {one}" for one, s in found.start.items()
            ),
            "a shard": f"{1e3 * found.shard:.1f} ms, and {1e3 * found.task:.1f} ms a task",
        }
        | {
            f"hashing, {path}": f"{_a_second(rate.seconds(1, 100))} texts/s of 100 bytes a core"
            for path, rate in found.hashing.items()
        }
        | {
            f"reading {form}, writing": f"{_a_second(rate.seconds(1, 100))} texts/s of 100 bytes "
            "a core"
            for form, rate in found.host.items()
        }
    )
    out.print(f"kept in {plain(str(calibration.PATH))}")


def _a_second(seconds: float) -> str:
    return f"{1 / seconds:,.0f}" if seconds else "very many"
