"""The commands about machines: ``paninifs devices``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..rendering.terminal import plain
from .console import Json, errors, out, pairs, print_json

if TYPE_CHECKING:
    from ..hardware import Hardware
    from ..hardware.gpu import Gpu
    from ..hardware.memory import Memory
    from ..hardware.packages import Rapids


def devices(as_json: Json = False) -> None:
    """Print this machine's hardware, its usable backends, and how to enable the others."""
    from ..advisor.local_cluster import recommended_cluster
    from ..advisor.own_hardware import hardware

    with errors():
        machine = hardware()
    chosen = recommended_cluster()
    if as_json:
        print_json(_document(machine) | {"connect": asdict(chosen)})
        return
    processor, disk = machine.cpu, machine.disk
    vectors = f"; {', '.join(processor.vectors)}" if processor.vectors else ""
    pairs(
        {
            "platform": str(machine.platform),
            "cpu": f"{processor.name} ({processor.architecture}), {processor.cores} cores{vectors}",
            "SHA-256": f"{processor.hashing} ({processor.what}); "
            f"usable: {', '.join(processor.usable)}",
            "memory": _memory(machine.memory),
            "disk": f"{_gib(disk.working_free)} free in {disk.working}, "
            f"{_gib(disk.temporary_free)} in {disk.temporary}, where workers spill",
        }
    )
    _print_gpus(machine)
    pairs({"tpu": str(machine.tpu or f"none ({machine.why_no_tpu})")})
    for backend in machine.backends:
        state = "[green]usable[/]" if backend.usable else "[yellow]not usable[/]"
        out.print(f"[bold]backend {plain(backend.name)}[/]: {state}, {plain(backend.what)}")
        if backend.remedy:
            out.print(f"    [yellow]to fix it:[/] {plain(backend.remedy)}")
    pairs({"connect() starts": str(chosen)})
    if machine.expected:
        pairs({"short texts": str(machine.expected)})


def _memory(memory: Memory) -> str:
    free = f"{_gib(memory.free)} free now"
    if memory.limit is None:
        return f"{_gib(memory.total)}, {free}"
    return (
        f"{_gib(memory.limit)} of the machine's {_gib(memory.total)}, limited by its control "
        f"group; {free}"
    )


def _print_gpus(machine: Hardware) -> None:
    rapids, runtime = machine.packages.rapids, machine.packages.runtime
    for gpu in machine.gpus:
        pairs({f"gpu {gpu.cuda_name}": f"{gpu}; {gpu.advice}"})
        if trouble := _trouble(rapids, gpu):
            out.print(f"[yellow]problem:[/] {plain(trouble)}")
    if machine.why_no_gpu:
        pairs({"gpu": f"none ({machine.why_no_gpu})"})
    if rapids:
        pairs({"RAPIDS": rapids.version + (f" for CUDA {rapids.cuda}" if rapids.cuda else "")})
    if runtime:
        pairs({"CUDA runtime": f"{runtime}, installed by pip"})


def _trouble(rapids: Rapids | None, gpu: Gpu) -> str | None:
    """Explain why the installed RAPIDS does not support a GPU that another version supports."""
    trouble = rapids.trouble_with(gpu) if rapids and gpu.extra else None
    return str(trouble) if trouble else None


def _gib(nbytes: int) -> str:
    return f"{nbytes / 2**30:.1f} GiB"


def _document(machine: Hardware) -> dict[str, Any]:
    """Return everything as JSON, including what to install for each GPU."""
    rapids = machine.packages.rapids
    gpus = [
        asdict(gpu)
        | {
            "extra": gpu.extra,
            "advice": gpu.advice,
            "trouble": _trouble(rapids, gpu),
        }
        for gpu in machine.gpus
    ]
    ends = machine.platform.ends
    platform = asdict(machine.platform) | {"ends": ends and ends.isoformat()}
    return asdict(machine) | {"gpus": gpus, "platform": platform}
