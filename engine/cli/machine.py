"""The commands about machines: ``paninifs devices``."""

from __future__ import annotations

from dataclasses import asdict

from ..terminal import plain
from .console import Json, errors, out, pairs, print_json


def devices(as_json: Json = False) -> None:
    """Say what this machine computes with, and what to install for it."""
    from ..hardware import cpu, gpus, rapids, why_no_gpu

    with errors():
        processor = cpu()
    found, why, installed = gpus(), why_no_gpu(), rapids()
    if as_json:
        print_json(
            {
                "cpu": asdict(processor),
                "gpus": [
                    asdict(gpu)
                    | {
                        "extra": gpu.extra,
                        "advice": gpu.advice,
                        "trouble": installed and installed.trouble_with(gpu),
                    }
                    for gpu in found
                ],
                "why_no_gpu": why,
                "rapids": installed and asdict(installed),
            }
        )
        return
    pairs(
        {
            "cpu": f"{processor.name}, {processor.cores} cores",
            "SHA-256": f"{processor.hashing} ({processor.what}); "
            f"can take {', '.join(processor.usable)}",
        }
    )
    for gpu in found:
        pairs({f"gpu {gpu.cuda_name}": f"{gpu}; {gpu.advice}"})
        trouble = installed and gpu.extra and installed.trouble_with(gpu)
        if trouble:
            out.print(f"[yellow]but[/] {plain(trouble)}")
    if why:
        pairs({"gpu": f"none ({why})"})
