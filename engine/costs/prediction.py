"""`predict`: how long a piece of work takes on a machine, and what it needs there.

A machine that was calibrated is predicted from that; the host of any other one by the clock of its
cores against the reference's, its GPU or TPU by arithmetic: what it can do in a second at best. A
worker with a GPU has one thread, so it reads with one core.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...storage.errors import UsageError
from ...storage.formats.registry import FORMATS
from ..hardware.selection import SMALL
from .calibration import Calibration, Rate, reference
from .work import HALF_PARAMETER_BYTES, PARAMETER_BYTES, Work, at_once

if TYPE_CHECKING:
    from .catalogue import Machine

MIB = 1 << 20

USUAL_CLOCK_GHZ, USUAL_SHA = 2.2, "avx2"
"""What a host is taken to be whose processor nobody tells: Colab's usual one, of the catalogue."""

CLIENT_BYTES, WORKER_BYTES = 300 * MIB, 380 * MIB
"""What a client and a worker of a run over large files held at most (`make large-files`)."""

# The kernel for GPUs, counted in its machine code (tests/benchmarks/results): instructions of the
# integer ALU, of which a multiprocessor does 64 a clock, for a block of the nine hashes that share
# schedules, and of the tenth; and operations in float64 for a text's statistics.
ALU_LANES = 64
ALU_SHARED, ALU_ALONE = 820, 1_440
DOUBLES_A_TEXT = 900
DOUBLES_A_CLOCK = {(7, 0): 32, (8, 0): 32, (9, 0): 64, (10, 0): 64}
FEW_DOUBLES = 2
"""Float64 results a clock and multiprocessor, by compute capability: the table of arithmetic
throughput in NVIDIA's CUDA C++ Programming Guide. All others are those for graphics."""

RESULT_BYTES = 160  # that a text's fields take, on their way back
MICRO_BATCH_BYTES = 3 * 80 * MIB  # on the device: three under way
CUDA_START = 6.0
"""Seconds to import cuDF (2 to 6, FACTS) and make a CUDA context."""

BYTES_A_TOKEN = 4.0  # of English, about; of other languages fewer
CPU_FLOPS = 16e9
"""A core's, when a model embeds: 46 short sentences a second of 22.7 M parameters on two cores of
the reference (FACTS), with fifteen tokens each."""

PEAK_SHARE = 0.3  # of FP16 that a model is taken to reach; not measured
MODEL_START = 20.0  # seconds to fetch a model and load it; not measured


@dataclass(frozen=True)
class Prediction:
    """How long a piece of work takes on a machine, once, and the memory it needs there."""

    seconds: float  # of `paninifs run`, from the command to its end
    parts: Mapping[str, float]  # seconds by what takes them: "start", "reading", "hashing", ...
    bound: str  # the part that the rest waits for
    host_bytes: int  # of memory that the machine itself needs
    device_bytes: int  # of memory that its GPU or TPU needs; 0 where it has none
    basis: str  # "calibrated", "scaled" from the reference, or "arithmetic"


def predict(machine: Machine, work: Work, calibration: Calibration | None = None) -> Prediction:
    """Predict how long a machine takes for some work.

    Parameters
    ----------
    machine : Machine
        Of a catalogue, or the one at hand.
    work : Work
        What is to be done, once.
    calibration : Calibration, optional
        Of that very machine; of no other.

    Raises
    ------
    UsageError
        Too little is known of the machine: the message says what.

    Examples
    --------
    >>> from paninifs.engine.costs.catalogue_files import open_catalogue
    >>> found = predict(open_catalogue().machine("T4"), Work(10**8, mean_bytes=100))
    >>> found.bound, found.basis
    ('reading and writing', 'arithmetic')
    """
    if work.kind == "embedding":
        return _embedding(machine, work)
    return _hashing(machine, work, calibration)


def _hashing(machine: Machine, work: Work, calibration: Calibration | None) -> Prediction:
    known = calibration or reference()
    slower = 1.0
    if calibration is None:
        assert known.clock_ghz is not None  # the reference's is measured
        slower = known.clock_ghz / (machine.clock_ghz or USUAL_CLOCK_GHZ)
    cluster = work.cluster or "cpu"
    gpu = machine.kind == "gpu" and cluster != SMALL
    cores = _known(machine, "cores")
    busy = at_once(work.tasks, 1 if gpu else cores) / slower
    tasks = work.shards if work.tasks is None else work.tasks
    host = _of_format(known.host, work.format)
    parts = {
        "start": slower * known.start[cluster] + (CUDA_START if gpu else 0.0),
        "shards": slower * (work.shards * known.shard + tasks * known.task),
        "reading and writing": host.seconds(work.texts, work.text_bytes) / busy,
    }
    if gpu:
        parts["hashing"] = _device_seconds(machine, work)
        beside = min(parts["reading and writing"], parts["hashing"])
    else:
        rate = known.hashing[machine.sha or USUAL_SHA]
        parts["hashing"] = rate.seconds(work.texts, work.text_bytes) / busy
        beside = 0.0
    basis = "scaled" if calibration is None else "calibrated"
    workers = 1 if gpu or cluster == SMALL else cores
    return Prediction(
        sum(parts.values()) - beside,
        parts,
        max(parts, key=lambda name: parts[name]),
        CLIENT_BYTES + workers * WORKER_BYTES,
        MICRO_BATCH_BYTES if gpu else 0,
        "arithmetic" if gpu else basis,
    )


def _known(machine: Machine, figure: str) -> Any:
    """Return a figure of a machine's, which has to be known."""
    value = getattr(machine, figure)
    if value is None:
        raise UsageError(f"no {figure} is known of it; a catalogue of your own may say it")
    return value


def _of_format(rates: Mapping[str, Rate], form: str) -> Rate:
    return rates[FORMATS[form].calibrated_as]


def _device_seconds(machine: Machine, work: Work) -> float:
    """Return the least that a GPU needs for the ten hashes and the statistics, or the bus does."""
    sms, clock, bus = (_known(machine, one) for one in ("sms", "device_clock_ghz", "pcie_gb_s"))
    blocks = work.texts * (work.mean_bytes + 8 + 9) / 64 + work.texts / 2  # padding included
    integers = blocks * (9 * ALU_SHARED + ALU_ALONE) / ALU_LANES
    doubles = DOUBLES_A_CLOCK.get(_known(machine, "capability"), FEW_DOUBLES)
    computing = (integers + work.texts * DOUBLES_A_TEXT / doubles) / (sms * clock * 1e9)
    copying = (work.text_bytes + work.texts * RESULT_BYTES) / (bus * 1e9)
    return float(max(computing, copying))


def _embedding(machine: Machine, work: Work) -> Prediction:
    if machine.kind == "cpu":
        speed = _known(machine, "cores") * CPU_FLOPS
    else:
        speed = _known(machine, "fp16_tflops") * 1e12 * PEAK_SHARE
    tokens = work.texts * max(1.0, work.mean_bytes / BYTES_A_TOKEN)
    parts = {"start": MODEL_START * len(work.models)}
    parts |= {one.name: 2 * one.parameters * tokens / speed for one in work.models}
    # A CPU computes in FP32, the others in FP16.
    room = work.model_bytes(PARAMETER_BYTES if machine.kind == "cpu" else HALF_PARAMETER_BYTES)
    return Prediction(
        sum(parts.values()),
        parts,
        max(parts, key=lambda name: parts[name]),
        CLIENT_BYTES + (room if machine.kind == "cpu" else WORKER_BYTES),
        0 if machine.kind == "cpu" else room,
        "arithmetic",
    )
