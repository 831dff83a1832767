"""How work on a device is timed: by events on its stream, and with its clock read meanwhile."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import cupy
from measure import Spread

SAMPLE_SECONDS = 0.02
"""Interval at which a device is looked at."""


def by_events(contenders: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, Spread]:
    """Time every contender once per round, by two events around it on the current stream.

    The host's clock would include the launch and the wait, which are long beside 3 ms of work.
    """
    for contender in contenders.values():
        contender()  # warm
    seen: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            begin, end = cupy.cuda.Event(), cupy.cuda.Event()
            begin.record()
            contender()
            end.record()
            end.synchronize()
            seen[name].append(cupy.cuda.get_elapsed_time(begin, end) / 1e3)
    return {name: Spread(tuple(seconds)) for name, seconds in seen.items()}


def clock_while(work: Callable[[], Any], seconds: float) -> dict[str, float]:
    """Repeat work for a while; return the device's median clock (MHz) and power (W), if known."""
    with sampled() as seen:
        end = time.monotonic() + seconds
        while True:  # once at least
            work()
            cupy.cuda.Device().synchronize()
            if time.monotonic() > end:
                break
    return {name: statistics.median(seen[name]) for name in ("clock", "power") if seen[name]}


@contextmanager
def sampled() -> Iterator[dict[str, list[float]]]:
    """Sample the first device until the block ends: busy in %, clock in MHz, power in W.

    The lists stay empty if NVML is not installed or does not answer.
    """
    seen: dict[str, list[float]] = {"busy": [], "clock": [], "power": []}
    try:
        import pynvml

        pynvml.nvmlInit()
        device = pynvml.nvmlDeviceGetHandleByIndex(0)
    except Exception:  # noqa: BLE001 (the figures are worth having without it)
        yield seen
        return
    reads: dict[str, Callable[[], float]] = {
        "busy": lambda: pynvml.nvmlDeviceGetUtilizationRates(device).gpu,
        "clock": lambda: pynvml.nvmlDeviceGetClockInfo(device, pynvml.NVML_CLOCK_SM),
        "power": lambda: pynvml.nvmlDeviceGetPowerUsage(device) / 1e3,
    }
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(SAMPLE_SECONDS):
            for name, read in reads.items():
                with suppress(pynvml.NVMLError):  # some devices do not report all of them
                    seen[name].append(float(read()))

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    try:
        yield seen
    finally:
        stop.set()
        sampler.join()
        pynvml.nvmlShutdown()
