"""`predict`: how long a piece of work takes on a machine, and how much memory it needs.

For a calibrated machine, the calibration is used. For any other machine, host times are scaled from
the reference machine by clock, and GPU or TPU times are computed from peak throughput. A worker
with a GPU has one thread, so it reads with one core. What the time costs is in `pricing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...storage.errors import UsageError
from ...storage.formats.registry import FORMATS
from ..hardware.selection import THREADS
from .calibration import Calibration, Rate, reference
from .work import HALF_PARAMETER_BYTES, PARAMETER_BYTES, Work, busy_cores

if TYPE_CHECKING:
    from .catalogue import Machine

MIB = 1 << 20

USUAL_CLOCK_GHZ, USUAL_SHA = 2.2, "avx2"
"""Clock and SHA-256 implementation assumed for an unknown host processor: Colab's usual one."""

CLIENT_BYTES, WORKER_BYTES = 300 * MIB, 380 * MIB
"""Peak bytes of a client and of a worker in a run over large files (`make large-files`)."""

# Counted in the machine code of the GPU kernel (tests/benchmarks/results): integer ALU instructions
# per block, for each of the nine hashes that share schedules and for the tenth (a multiprocessor
# executes 64 per clock); and float64 operations for the statistics of a text.
ALU_LANES = 64
ALU_SHARED, ALU_ALONE = 820, 1_440
DOUBLES_PER_TEXT = 900
DOUBLES_PER_CLOCK = {(7, 0): 32, (8, 0): 32, (9, 0): 64, (10, 0): 64}
FEW_DOUBLES = 2
"""Float64 results per clock and multiprocessor, by compute capability, from the table of arithmetic
throughput in NVIDIA's CUDA C++ Programming Guide. Capabilities that are not listed are those of
graphics cards, which have two."""

RESULT_BYTES = 160  # of a text's fields, copied back to the host
MICRO_BATCH_BYTES = 3 * 80 * MIB  # on the device: three in flight
CUDA_START = 6.0
"""Seconds to import cuDF (2 to 6, FACTS) and to create a CUDA context."""

BYTES_PER_TOKEN = 4.0  # of English, approximately; fewer for other languages
CPU_FLOPS = 16e9
"""FLOPS that a core reaches while a model embeds: 46 short sentences per second with 22.7 M
parameters on two cores of the reference (FACTS), with fifteen tokens each."""

PEAK_SHARE = 0.3  # share of peak FP16 that a model is assumed to reach; not measured
MODEL_START = 20.0  # seconds to download a model and load it; not measured


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The time and memory that a piece of work takes on a machine, for one run."""

    seconds: float  # of `paninifs run`, from start to end
    parts: Mapping[str, float]  # seconds by part: "start", "reading", "hashing", ...
    bound: str  # the longest part
    host_bytes: int  # memory needed on the host
    device_bytes: int  # memory needed on the GPU or TPU; 0 without one
    basis: str  # "calibrated", "scaled" from the reference, or "arithmetic"


def predict(machine: Machine, work: Work, calibration: Calibration | None = None) -> Prediction:
    """Predict the time and memory that a piece of work takes on a machine.

    Parameters
    ----------
    machine : Machine
        From a catalogue, or from `describe_this_machine`.
    work : Work
        What one run does.
    calibration : Calibration, optional
        Measured on exactly this machine.

    Raises
    ------
    UsageError
        Too little is known about the machine; the message names the missing figure.

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
    gpu = machine.kind == "gpu" and cluster != THREADS
    cores = _known(machine, "cores")
    busy = busy_cores(work.tasks, 1 if gpu else cores) / slower
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
    workers = 1 if gpu or cluster == THREADS else cores
    return Prediction(
        seconds=sum(parts.values()) - beside,
        parts=parts,
        bound=max(parts, key=lambda name: parts[name]),
        host_bytes=CLIENT_BYTES + workers * WORKER_BYTES,
        device_bytes=MICRO_BATCH_BYTES if gpu else 0,
        basis="arithmetic" if gpu else basis,
    )


def _known(machine: Machine, figure: str) -> Any:
    """Return a figure of a machine; raise `UsageError` if it is unknown."""
    value = getattr(machine, figure)
    if value is None:
        raise UsageError(f"its {figure} is not known; you can add it in your own catalogue")
    return value


def _of_format(rates: Mapping[str, Rate], form: str) -> Rate:
    return rates[FORMATS[form].calibrated_as]


def _device_seconds(machine: Machine, work: Work) -> float:
    """Return the minimum seconds: for computing on the GPU, or for copying over the bus."""
    sms, clock, bus = (_known(machine, one) for one in ("sms", "device_clock_ghz", "pcie_gb_s"))
    blocks = work.texts * (work.mean_bytes + 8 + 9) / 64 + work.texts / 2  # padding included
    integers = blocks * (9 * ALU_SHARED + ALU_ALONE) / ALU_LANES
    doubles = DOUBLES_PER_CLOCK.get(_known(machine, "capability"), FEW_DOUBLES)
    computing = (integers + work.texts * DOUBLES_PER_TEXT / doubles) / (sms * clock * 1e9)
    copying = (work.text_bytes + work.texts * RESULT_BYTES) / (bus * 1e9)
    return float(max(computing, copying))


def _embedding(machine: Machine, work: Work) -> Prediction:
    if machine.kind == "cpu":
        speed = _known(machine, "cores") * CPU_FLOPS
    else:
        speed = _known(machine, "fp16_tflops") * 1e12 * PEAK_SHARE
    tokens = work.texts * max(1.0, work.mean_bytes / BYTES_PER_TOKEN)
    parts = {"start": MODEL_START * len(work.models)}
    parts |= {one.name: 2 * one.parameters * tokens / speed for one in work.models}
    # A CPU computes in FP32, the others in FP16.
    memory = work.model_bytes(PARAMETER_BYTES if machine.kind == "cpu" else HALF_PARAMETER_BYTES)
    return Prediction(
        seconds=sum(parts.values()),
        parts=parts,
        bound=max(parts, key=lambda name: parts[name]),
        host_bytes=CLIENT_BYTES + (memory if machine.kind == "cpu" else WORKER_BYTES),
        device_bytes=0 if machine.kind == "cpu" else memory,
        basis="arithmetic",
    )
