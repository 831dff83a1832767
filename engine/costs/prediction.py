"""`predict`: how long a piece of work takes on a machine, and how much memory it needs.

For a calibrated machine, the calibration is used. For any other machine, host times are scaled from
the reference machine by clock, and GPU or TPU times are computed from peak throughput. The cores of
a host read and write for its GPUs while these compute, and whatever allows the fewest texts per
second limits the run (`gpu_limits` has the GPU's part). What the time costs is in `pricing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...storage.formats.registry import FORMATS
from ..hardware.selection import THREADS, threads_per_gpu
from .calibration import Calibration, Rate, reference
from .gpu_limits import gpu_limits, known
from .work import HALF_PARAMETER_BYTES, PARAMETER_BYTES, Work, busy_cores

if TYPE_CHECKING:
    from .catalogue import Machine

MIB = 1 << 20

USUAL_CLOCK_GHZ, USUAL_SHA = 2.2, "avx2"
"""Clock and SHA-256 implementation assumed for an unknown host processor: Colab's usual one."""

CLIENT_BYTES, WORKER_BYTES = 300 * MIB, 380 * MIB
"""Peak bytes of a client and of a worker in a run over large files (`make large-files`)."""

STAGING = Rate(row=1e-8, byte=1.2e-10)
"""Seconds of a core of the reference to join texts and copy them into memory that a GPU reads."""

STORED_BYTES = 133
"""Bytes per text in a store of the default graph."""

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
    bound: str  # the longest part; on a GPU, what limits that part, such as "bus"
    host_bytes: int  # memory needed on the host
    device_bytes: int  # memory needed on the GPU or TPU; 0 without one
    basis: str  # "calibrated", "scaled" from the reference, or "arithmetic"
    limits: Mapping[str, float] = field(default_factory=dict)  # of a GPU run: texts/s that each
    # of the parts that work at the same time allows, by name


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
    measured = calibration or reference()
    slower = 1.0
    if calibration is None:
        assert measured.clock_ghz is not None  # the reference's is measured
        slower = measured.clock_ghz / (machine.clock_ghz or USUAL_CLOCK_GHZ)
    cluster = work.cluster or "cpu"
    gpu = machine.kind == "gpu" and cluster != THREADS
    cores = known(machine, "cores")
    if gpu:  # fewer if they cannot be shared evenly
        cores = min(cores, machine.gpus * threads_per_gpu(cores, machine.gpus))
    busy = busy_cores(work.tasks, cores) / slower
    tasks = work.shards if work.tasks is None else work.tasks
    host = _of_format(measured.host, work.format).seconds(work.texts, work.text_bytes)
    parts = {
        "start": slower * measured.start[cluster] + (CUDA_START if gpu else 0.0),
        # Measured with all cores of that machine at work, each on shards of its own.
        "shards": (work.shards * measured.shard + tasks * measured.task)
        * (slower * measured.cores / cores),
    }
    fixed = sum(parts.values())
    storing = {}
    if machine.store_gb_s is not None:
        storing["store"] = machine.store_gb_s * 1e9 / STORED_BYTES
    limits: dict[str, float] = {}
    if gpu:
        staging = STAGING.seconds(work.texts, work.text_bytes)
        device = gpu_limits(machine, work.mean_bytes, measured.device.get(machine.title))
        parts["reading and writing"] = (host + staging) / busy
        parts["hashing"] = work.texts / min(device.values())
        beside = max(parts["reading and writing"], parts["hashing"])
        limits = {"reading and writing": work.texts / parts["reading and writing"]}
        limits |= device | storing
    else:
        rate = measured.hashing[machine.sha or USUAL_SHA]
        parts["reading and writing"] = host / busy
        parts["hashing"] = rate.seconds(work.texts, work.text_bytes) / busy
        beside = parts["reading and writing"] + parts["hashing"]
    parts |= {name: work.texts / limit for name, limit in storing.items()}
    longest = max(parts, key=lambda name: parts[name])
    if longest in ("reading and writing", "hashing") and gpu:
        longest = min(limits, key=lambda name: limits[name])
    basis = "scaled" if calibration is None else "calibrated"
    workers = machine.gpus if gpu else 1 if cluster == THREADS else cores
    return Prediction(
        seconds=fixed + max(beside, parts.get("store", 0.0)),
        parts=parts,
        bound=longest,
        host_bytes=CLIENT_BYTES + workers * WORKER_BYTES,
        device_bytes=MICRO_BATCH_BYTES if gpu else 0,
        basis="arithmetic" if gpu and "device" not in limits else basis,
        limits=limits,
    )


def _of_format(rates: Mapping[str, Rate], form: str) -> Rate:
    return rates[FORMATS[form].calibrated_as]


def _embedding(machine: Machine, work: Work) -> Prediction:
    if machine.kind == "cpu":
        speed = known(machine, "cores") * CPU_FLOPS
    else:
        speed = known(machine, "fp16_tflops") * 1e12 * PEAK_SHARE
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
