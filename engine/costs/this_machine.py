"""`describe_this_machine`: this machine as an entry of a catalogue, for predictions and prices.

Its hardware is detected in `hardware`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from ... import __version__
from ..hardware.backends import why_no_cuda
from ..hardware.cpu import Cpu, processor
from ..hardware.gpu import Gpu
from ..hardware.memory import ram
from ..hardware.nvml import nvidia
from ..hardware.packages import installed_packages
from ..hardware.platform import current_platform
from ..hardware.tpu import sign_of_tpu
from .calibration import Calibration, load
from .catalogue import HERE, Catalogue, Machine, Offer
from .catalogue_files import OWN


def describe_this_machine(catalogue: Catalogue) -> Machine:
    """Return this machine: its own processor and memory, and what a catalogue knows of its GPU.

    Its usable GPUs are taken to be like the first one. A GPU that is not in the catalogue cannot be
    predicted; then the cores alone are, with a note. The price is that of "this machine" in the
    user's own catalogue; else, in Colab, that of the machine with the same GPU; anywhere else the
    machine is free.

    Examples
    --------
    >>> from paninifs.engine.costs.catalogue_files import open_catalogue
    >>> describe_this_machine(open_catalogue()).name
    'this machine'
    """
    own, memory = processor(), ram()
    host = Machine(
        name=HERE,
        title=own.name,
        kind="cpu",
        backend="cpu",
        cores=own.cores,
        sha=own.hashing,
        ram_gb=(memory.limit or memory.total) / 1e9,
    )
    return _with_gpu(_with_price(host, catalogue), catalogue)


def _with_price(host: Machine, catalogue: Catalogue) -> Machine:
    own = catalogued_machine(catalogue)
    if own is not None:
        return replace(
            host,
            store_gb_s=own.store_gb_s,
            units_per_hour=own.units_per_hour,
            usd_per_hour=own.usd_per_hour,
            offers=own.offers,
            sources=own.sources,
            notes=own.notes,
        )
    if current_platform().name == "Colab":
        return replace(host, note="the catalogue has no price for this machine in Colab")
    return replace(host, offers=dict.fromkeys(catalogue.plans, Offer(True, "always", None, OWN)))


def _with_gpu(host: Machine, catalogue: Catalogue) -> Machine:
    gpus = usable_gpus()
    if not gpus:
        return host
    gpu = gpus[0]
    known = machine_with_gpu(gpu, catalogue.machines.values())
    if known is None:
        note = f"its {gpu.name} is not in the catalogue, so only its cores are predicted"
        return replace(host, note=note)
    return replace(
        host,
        title=gpu.name,
        kind="gpu",
        backend="cuda",
        memory_gb=gpu.memory / 1e9 or host.ram_gb,  # a system on a chip shares the host's
        gpus=len(gpus),
        sms=gpu.sms or known.sms,
        capability=gpu.capability,
        device_clock_ghz=known.device_clock_ghz,
        fp16_tflops=known.fp16_tflops,
        pcie_gb_s=known.pcie_gb_s,
    )


def usable_gpus() -> tuple[Gpu, ...]:
    """Return the GPUs of this machine that the engine can use now."""
    found = nvidia()
    if why_no_cuda(found, installed_packages()) is not None:
        return ()
    return tuple(gpu for gpu in found.gpus if not gpu.unusable)


def calibration_of(own: Cpu) -> Calibration | None:
    """Return the calibration by `paninifs bench`; None if it does not apply.

    It applies if it was made on this processor, by this version, and includes the SHA-256
    implementation in use.

    Raises
    ------
    UsageError
        The calibration cannot be read.
    """
    found = load()
    if found is None or found.version != __version__ or own.hashing not in found.hashing:
        return None
    return found if (found.processor, found.cores) == (own.name, own.cores) else None


def machine_with_gpu(gpu: Gpu, machines: Iterable[Machine]) -> Machine | None:
    """Return the machine with the same GPU; None if there is none, or if it is a MIG slice.

    NVIDIA's driver calls a T4 "Tesla T4", and an A100 "NVIDIA A100-SXM4-40GB" or "...-80GB".
    """
    if gpu.uuid.startswith("MIG-"):
        return None
    like = [
        one
        for one in machines
        if any(re.search(rf"\b{re.escape(name)}\b", gpu.name) for name in one.driver_names)
    ]
    return min(like, key=lambda one: abs((one.memory_gb or 0) - gpu.memory / 1e9), default=None)


def catalogued_machine(catalogue: Catalogue) -> Machine | None:
    """Return the priced entry of a catalogue for this machine; None if it has none.

    It is "this machine" in the user's own catalogue; else, in Colab, the machine with the same GPU,
    or the one without a GPU. A Colab runtime with a TPU has no entry, because its kind of TPU
    cannot be determined without occupying it.
    """
    if HERE in catalogue.machines:
        return catalogue.machine(HERE)
    if current_platform().name != "Colab" or sign_of_tpu() is not None:
        return None
    gpus = nvidia().gpus
    return (
        machine_with_gpu(gpus[0], catalogue.machines.values()) if gpus else catalogue.machine("CPU")
    )
