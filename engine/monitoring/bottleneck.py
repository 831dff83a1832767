"""How busy a run kept its machine, and what the rest waited for, in words.

By what its threads did, as far as they tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dask.utils import format_bytes

from ...storage.store.history import RunRecord

BESIDE = ("read", "write")
"""Among what is timed beside the blocks: waiting for what is read, and writing, which goes on in
threads of its own."""

MOST = 0.5
"""Of the threads' time: what takes as much is what the rest waits for."""


def bound_by(
    seconds: Mapping[str, float], thread_seconds: float, device_busy: float | None = None
) -> str | None:
    """Return what bounded a run; None where nothing was timed.

    Parameters
    ----------
    seconds : mapping
        By block, and ``read`` and ``write``, of all threads together.
    thread_seconds : float
        That the workers' threads had: threads times seconds.
    device_busy : float, optional
        The share of the time in which the devices computed.

    Examples
    --------
    >>> bound_by({"hash": 7.0, "read": 1.0, "write": 0.5}, 10.0)
    'computing: the blocks took 70 % of the threads\u2019 time, waiting for what is read 10 %'
    >>> bound_by({"hash": 1.0, "read": 6.0, "write": 0.5}, 10.0)
    'reading: it was waited for 60 % of the threads\u2019 time, the blocks took 10 %'
    >>> bound_by({"hash": 1.0, "read": 1.0, "write": 9.5}, 10.0)
    'writing: the blocks took 10 % of the threads\u2019 time, waiting for what is read 10 %'
    """
    if thread_seconds <= 0 or not seconds:
        return None
    blocks = sum(spent for name, spent in seconds.items() if name not in BESIDE)
    computing, reading = blocks / thread_seconds, seconds.get("read", 0.0) / thread_seconds
    writing = seconds.get("write", 0.0) / thread_seconds
    rest = 1 - computing - reading
    of_time = "of the threads\u2019 time"
    if device_busy is not None and device_busy >= MOST:
        return f"the device: it computed {device_busy:.0%} of the time".replace("%", " %")
    if reading >= max(computing, rest):
        told = (
            f"reading: it was waited for {reading:.0%} {of_time}, the blocks took {computing:.0%}"
        )
    else:
        shares = (
            f"the blocks took {computing:.0%} {of_time}, waiting for what is read {reading:.0%}"
        )
        if computing >= rest:
            told = f"computing: {shares}"
        elif writing >= rest:
            told = f"writing: {shares}"
        else:
            told = f"what is done once, not for every text (planning, beginning, ending): {shares}"
    return told.replace("%", " %")


def busy_in_words(record: RunRecord) -> str:
    """Return how busy processor, memory and device were, and what bound a run.

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
        yield f"processor {100 * record.cpu_busy:.0f} % of {record.threads:,} threads"
    if record.peak_memory is not None:
        of = f" of {format_bytes(record.memory_limit)}" if record.memory_limit else ""
        yield f"memory {format_bytes(record.peak_memory)}{of} at most"
    if record.spilled:
        yield f"{format_bytes(record.spilled)} spilled to disk"
    if record.device_busy is not None:
        yield f"device {100 * record.device_busy:.0f} % of the time"
    if record.bound is not None:
        yield f"bound by {record.bound}"
