"""`bound_by` and `busy_in_words`: what limited a run, and how busy it kept its machine.

Both are derived from how the run's threads spent their time, as far as they report it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dask.utils import format_bytes

from ...storage.store.history import RunRecord

NOT_BLOCKS = ("read", "write")
"""Activities timed besides the blocks: waiting for reads, and writing, in threads of its own."""

BUSY_DEVICE = 0.5
"""Share of the time that a device has to compute to count as what limits the run."""


def bound_by(
    seconds: Mapping[str, float], thread_seconds: float, device_busy: float | None = None
) -> str | None:
    """Return what limited a run; None if nothing was timed.

    Parameters
    ----------
    seconds : mapping
        Seconds by block, and for ``read`` and ``write``, summed over threads.
    thread_seconds : float
        Seconds available to the workers' threads: threads times elapsed seconds.
    device_busy : float, optional
        Share of the time in which the devices computed.

    Examples
    --------
    >>> bound_by({"hash": 7.0, "read": 1.0, "write": 0.5}, 10.0)
    'computing: the blocks took 70 % of the threads\u2019 time, waiting for reads 10 %'
    >>> bound_by({"hash": 1.0, "read": 6.0, "write": 0.5}, 10.0)
    'reading: waiting for reads took 60 % of the threads\u2019 time, the blocks 10 %'
    >>> bound_by({"hash": 1.0, "read": 1.0, "write": 9.5}, 10.0)
    'writing: the blocks took 10 % of the threads\u2019 time, waiting for reads 10 %'
    """
    if thread_seconds <= 0 or not seconds:
        return None
    if device_busy is not None and device_busy >= BUSY_DEVICE:
        return f"the device: it computed {_percent(device_busy)} of the time"
    blocks = sum(spent for name, spent in seconds.items() if name not in NOT_BLOCKS)
    computing, reading = blocks / thread_seconds, seconds.get("read", 0.0) / thread_seconds
    writing = seconds.get("write", 0.0) / thread_seconds
    rest = 1 - computing - reading
    of_time = "of the threads\u2019 time"
    if reading >= max(computing, rest):
        return (
            f"reading: waiting for reads took {_percent(reading)} {of_time}, the blocks "
            f"{_percent(computing)}"
        )
    shares = (
        f"the blocks took {_percent(computing)} {of_time}, waiting for reads {_percent(reading)}"
    )
    if computing >= rest:
        return f"computing: {shares}"
    if writing >= rest:
        return f"writing: {shares}"
    return f"fixed costs (planning, starting, finishing): {shares}"


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
