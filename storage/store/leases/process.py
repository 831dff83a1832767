"""A process as others know it, and whether it still runs, by what no clock moves.

A process number is used again once its process has ended, so a process is also known by its start.
Not by the time of its start: `psutil` adds the ticks since the boot, which the kernel counts, to a
time of boot that moves with the clock. So the ticks themselves are compared. They mean something
within one boot and one pair of namespaces only; what runs elsewhere is unknown here, and is judged
by its signs of life (see `store.lease`). Systems without ``/proc`` keep the time of day at which a
process began; a clock that was set since may move it, so there it only proves that a process runs.
"""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import Literal

import psutil

Life = Literal["alive", "dead", "unknown"]

_PROC = Path("/proc")
_TICKS, _TIME = "ticks:", "time:["
_ENDED = ("Z", "X")  # states of a process that has ended but has not been waited for
_SAME_SECONDS = 1.0
"""Most seconds by which two readings of one start differ, if the clock was not set between them."""


def identity() -> str:
    """Return what this process is known by besides its number, in words separated by blanks.

    The name of the host comes first, then its boot, then the namespaces of processes and of time.
    The ticks from the boot to the start of the process are last. What a system lacks is left out.
    """
    ticks = _own_ticks()
    return " ".join([*_surroundings(), *([f"{_TICKS}{ticks}"] if ticks else [])])


def life_of(known: str, pid: int, started: float) -> Life:
    """Return whether a process still runs, as far as this one can tell.

    Parameters
    ----------
    known : str
        Its `identity`. Version 0.1.0 wrote no namespace of time and no ticks.
    pid : int
        Its number.
    started : float
        Its start by its own clock, in seconds since the epoch. Counts only if no ticks are known.
    """
    ticks = [word for word in known.split(" ") if word.startswith(_TICKS)]
    around = [word for word in known.split(" ") if not word.startswith(_TICKS)]
    ours = _surroundings()
    if not any(word.startswith(_TIME) for word in around):
        ours = [word for word in ours if not word.startswith(_TIME)]
    if around != ours or pid < 1:
        return "unknown"
    return _by_ticks(pid, ticks[0].removeprefix(_TICKS)) if ticks else _by_date(pid, started)


def _surroundings() -> list[str]:
    """Return the host, its boot, and the namespaces within which numbers and ticks are unique."""
    words = [platform.node()]
    with suppress(OSError):
        words.append((_PROC / "sys/kernel/random/boot_id").read_text().strip())
    for kind in ("pid", "time"):
        with suppress(OSError):
            words.append(str((_PROC / "self/ns" / kind).readlink()))
    return words


def _by_ticks(pid: int, ticks: str) -> Life:
    try:
        # A container may see the processes of its host there, under other numbers.
        if str((_PROC / "self").readlink()) != str(os.getpid()):
            return _by_signal(pid)
        state, found = _state_and_ticks(str(pid))
    except (FileNotFoundError, ProcessLookupError):
        return _by_signal(pid)
    except OSError:  # the host hides what other users run (hidepid=1)
        return "unknown"
    return "alive" if found == ticks and state not in _ENDED else "dead"


def _by_signal(pid: int) -> Life:
    """Return "dead" if no process has a number. Not for Windows, where 0 is a signal."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return "dead"
    except OSError:  # another user's, which /proc may not show (hidepid=2)
        return "unknown"
    return "unknown"  # it may be a later process


def _by_date(pid: int, started: float) -> Life:
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return "dead"
        same = abs(process.create_time() - started) < _SAME_SECONDS
    except psutil.NoSuchProcess:
        return _by_signal(pid) if _own_ticks() else "dead"  # with /proc, it may only be hidden
    except psutil.Error:
        return "unknown"
    return "alive" if same else "unknown"


def _own_ticks() -> str | None:
    """Return the ticks from the boot to the start of this process; None if the system has none."""
    try:
        _, ticks = _state_and_ticks("self")
    except OSError:
        return None
    return ticks if ticks != "0" else None  # a sandbox that does not count them


def _state_and_ticks(process: str) -> tuple[str, str]:
    stat = (_PROC / process / "stat").read_text("utf-8", "replace")
    # The second field is a name in parentheses, which may contain blanks and parentheses itself.
    fields = stat.rpartition(")")[2].split()
    return fields[0], fields[19]  # fields 3 and 22 in proc(5)
