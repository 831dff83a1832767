"""`bound_by` and `busy_in_words`: what limited a run, and how busy it kept its machine.

Both are derived from how the run's threads spent their time, as far as they report it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dask.utils import format_bytes

from ...storage.store.history import RunRecord
from .events import AWAITED

NOT_BLOCKS = ("read", "write", AWAITED)
"""Activities timed besides the blocks: waiting for reads, writing, in threads of its own, and
waiting for these."""

BUSY_DEVICE, BUSY_PROCESSOR = 0.5, 0.85
"""Shares of the time that a device computes, and of the workers' threads that the processor works
on, from which it counts as what limits the run."""

DOMINANT = 0.4
"""Share of the threads' time from which an activity counts as what limits the run."""

FIXED_COSTS = "fixed costs (planning, starting, finishing)"


def bound_by(
    seconds: Mapping[str, float],
    thread_seconds: float,
    device_busy: float | None = None,
    cpu_busy: float | None = None,
) -> str | None:
    """Return what limited a run; None if nothing was timed, or nothing stands out.

    Parameters
    ----------
    seconds : mapping
        Seconds by block, and for ``read``, ``write`` and `AWAITED`, summed over threads.
    thread_seconds : float
        Seconds available to the workers' threads: threads times elapsed seconds.
    device_busy : float, optional
        Share of the time in which the devices computed; None without devices.
    cpu_busy : float, optional
        Share of the workers' threads that kept the processor busy. If it was, threads that wait
        for reads or writes wait for the processor too, and not for a disk or a network.

    Examples
    --------
    >>> bound_by({"hash": 7.0, "read": 1.0}, 10.0)
    'computing: the blocks took 70 % of the threads\u2019 time'
    >>> bound_by({"hash": 1.0, "read": 6.0}, 10.0)
    'reading: the threads waited 60 % of the time for texts'
    >>> bound_by({"hash": 3.0, "read": 1.0, AWAITED: 4.8}, 10.0)
    'writing: the threads waited 48 % of the time for the store'
    >>> bound_by({"hash": 1.0, "read": 6.0}, 10.0, cpu_busy=0.97)
    'the processor: it was 97 % busy, and the blocks took 10 % of the threads\u2019 time'
    """
    if thread_seconds <= 0 or not seconds:
        return None
    if device_busy is not None and device_busy >= BUSY_DEVICE:
        return f"the device: it computed {_percent(device_busy)} of the time"
    reading = seconds.get("read", 0.0) / thread_seconds
    writing = seconds.get(AWAITED, 0.0) / thread_seconds
    blocks = sum(spent for name, spent in seconds.items() if name not in NOT_BLOCKS)
    # Several micro-batches of a thread may be on a device at once.
    computing = min(blocks / thread_seconds, max(0.0, 1 - reading - writing))
    took = f"the blocks took {_percent(computing)} of the threads\u2019 time"
    waited = "the threads waited {} of the time for {}"
    by_share = {
        f"reading: {waited.format(_percent(reading), 'texts')}": reading,
        f"writing: {waited.format(_percent(writing), 'the store')}": writing,
        f"{FIXED_COSTS}: {took}": 1 - computing - reading - writing,
        _computing(took, device_busy): computing,
    }
    most = max(by_share, key=lambda words: by_share[words])
    if by_share[most] < DOMINANT:
        return None
    if cpu_busy is not None and cpu_busy >= BUSY_PROCESSOR and by_share[most] > computing:
        return f"the processor: it was {_percent(cpu_busy)} busy, and {took}"
    return most


def _computing(took: str, device_busy: float | None) -> str:
    if device_busy is None:
        return f"computing: {took}"
    # The time of a call on a device includes the copies.
    return f"copying to and from the device: {took}, the device computed {_percent(device_busy)}"


def bottleneck_of(record: RunRecord) -> str | None:
    """Return what limited a run, unless that was the run's own beginning and end."""
    bound = record.bound
    return None if bound is None or bound.startswith(FIXED_COSTS) else bound


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def busy_in_words(record: RunRecord) -> str:
    """Describe how busy processor, memory and device were, and what limited a run.

    Examples
    --------
    >>> record = RunRecord(
    ...     began="",
    ...     seconds=2.0,
    ...     rows=10,
    ...     rows_before=0,
    ...     quarantined=0,
    ...     text_bytes=50,
    ...     backend="cpu",
    ...     cluster="",
    ...     workers=1,
    ...     threads=2,
    ...     machine="",
    ...     platform="",
    ...     versions={},
    ...     block_seconds={},
    ...     retries=0,
    ...     peak_memory=1 << 30,
    ...     memory_limit=4 << 30,
    ...     spilled=0,
    ...     cpu_busy=0.5,
    ...     bound="reading: ...",
    ... )
    >>> print(busy_in_words(record))
    processor 50 % of 2 threads; memory 1.00 GiB of 4.00 GiB at most; bound by reading: ...
    """
    return "; ".join(_parts(record))


def _parts(record: RunRecord) -> Iterator[str]:
    if record.cpu_busy is not None:
        yield f"processor {_percent(record.cpu_busy)} of {record.threads:,} threads"
    if record.peak_memory is not None:
        of = f" of {format_bytes(record.memory_limit)}" if record.memory_limit else ""
        yield f"memory {format_bytes(record.peak_memory)}{of} at most"
    if record.spilled:
        yield f"{format_bytes(record.spilled)} spilled to disk"
    if record.device_busy is not None:
        yield f"device {_percent(record.device_busy)} of the time"
    if record.bound is not None:
        yield f"bound by {record.bound}"
