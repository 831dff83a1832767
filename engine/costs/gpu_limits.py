"""`gpu_limits`: how many texts per second each part of a machine's GPUs allows, by arithmetic.

What the host allows, and how long a whole run takes, is in `prediction`.

Instructions are counted as they are executed. Earlier versions counted both sides of branches,
which is 11 to 16 % more. No answer of the advisor changed: on every machine of the catalogue whose
cores are known, the host allows less than a thirtieth of what the integer units do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...storage.errors import UsageError

if TYPE_CHECKING:
    from .calibration import Rate
    from .catalogue import Machine

# Counted in the machine code of the GPU kernel, of the branches that are executed
# (tests/benchmarks/on_gpu/bounds.py, whose figures a test counts again).
ALU_FIRST, ALU_MIDDLE, ALU_LAST = 989, 749, 782
"""Instructions of the integer ALU per block that is hashed for a dhātu, the mean of the nine: for
the block in which the text begins, for whole blocks of text, and for the one in which it ends."""

ALU_DIGEST_MIDDLE, ALU_DIGEST_LAST = 966, 1_067
"""The same per block of the digest, for whole blocks and for the last one."""

ALU_LANES = 64
"""Such instructions that a multiprocessor executes per clock."""

DOUBLES_PER_TEXT = 840
"""Float64 instructions for the statistics of a text."""

DOUBLES_PER_CLOCK = {(7, 0): 32, (8, 0): 32, (9, 0): 64, (10, 0): 64}
FEW_DOUBLES = 2
"""Float64 results per clock and multiprocessor, by compute capability, from the table of arithmetic
throughput in NVIDIA's CUDA C++ Programming Guide. Capabilities that are not listed are those of
graphics cards, which have two."""

PREFIX_BYTES, PADDING_BYTES, BLOCK_BYTES = 7, 9, 64
"""Mean bytes of a dhātu's prefix, fewest bytes of SHA-256's padding, and bytes per block."""

OFFSET_BYTES, RESULT_BYTES = 8, 124
"""Bytes per text that are copied to the device besides the text, and that come back."""

BUS_SHARE = 0.77
"""Share of a bus's maximum that copies reach in each direction, both at the same time: 12 of 15.75
GB/s, 24 of 31.5. Assumed, not measured."""


def gpu_limits(machine: Machine, mean_bytes: float, measured: Rate | None) -> dict[str, float]:
    """Return the texts per second of the default graph that each part of the GPUs allows.

    Parameters
    ----------
    machine : Machine
        A machine with GPUs; their speeds are summed.
    mean_bytes : float
        Mean bytes of a text.
    measured : Rate, optional
        Seconds of one GPU per text and per byte, from the host's memory and back. Then this takes
        the place of arithmetic.

    Raises
    ------
    UsageError
        A figure of the machine is not known; the message names it.

    Examples
    --------
    >>> from paninifs.engine.costs.catalogue_files import open_catalogue
    >>> found = gpu_limits(open_catalogue().machine("T4"), 100, None)
    >>> {name: f"{limit / 1e6:.0f} M" for name, limit in found.items()}
    {'integer units': '201 M', 'float64 units': '151 M', 'bus': '98 M'}
    """
    if measured is not None:
        seconds = measured.row + mean_bytes * measured.byte
        return {"device": machine.gpus / seconds if seconds else float("inf")}
    sms, clock, bus = (known(machine, one) for one in ("sms", "device_clock_ghz", "pcie_gb_s"))
    doubles = DOUBLES_PER_CLOCK.get(known(machine, "capability"), FEW_DOUBLES)
    cycles = machine.gpus * sms * clock * 1e9
    copied = max(mean_bytes + OFFSET_BYTES, RESULT_BYTES)  # at the same time
    return {
        "integer units": cycles * ALU_LANES / _integer_instructions(mean_bytes),
        "float64 units": cycles * doubles / DOUBLES_PER_TEXT,
        "bus": machine.gpus * bus * BUS_SHARE * 1e9 / copied,
    }


def _integer_instructions(mean_bytes: float) -> float:
    """Return the instructions of the integer ALU for a text of an average length."""
    behind_first = _blocks(PREFIX_BYTES + mean_bytes) - 1
    last = min(1.0, behind_first)  # a short text begins and ends in the same block
    dhatu = ALU_FIRST + ALU_LAST * last + ALU_MIDDLE * (behind_first - last)
    return 9 * dhatu + ALU_DIGEST_LAST + ALU_DIGEST_MIDDLE * (_blocks(mean_bytes) - 1)


def _blocks(mean_bytes: float) -> float:
    """Return the mean number of SHA-256 blocks of messages whose lengths are spread evenly."""
    return max(1.0, (mean_bytes + PADDING_BYTES) / BLOCK_BYTES + 0.5)


def known(machine: Machine, figure: str) -> Any:
    """Return a figure of a machine; raise `UsageError` if it is unknown."""
    value = getattr(machine, figure)
    if value is None:
        raise UsageError(f"its {figure} is not known; you can add it in your own catalogue")
    return value
