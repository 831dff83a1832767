"""The state of hosts that processes share: locked files of a few lines.

A file holds the times of the last requests to the hosts whose names hash to it. It is written in
place under a lock of the kernel, which ends with the process that holds it. Its content is checked:
a file that is damaged, or with times of another clock (before a reboot, in another container), is
read as if every host had been asked up to its limit just now, which costs one window.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from .rate import MOST_REQUESTS, Rate, counted, due

LONGEST_PAUSE = 3600.0
"""Maximum pause of a host, in seconds, whatever it asks for."""

_SHARDS = 16
_LARGEST = 4 << 20  # bytes; a larger file counts as damaged

if hasattr(time, "CLOCK_BOOTTIME"):

    def boot_time() -> float:
        """Return the seconds since the boot: a monotonic clock that all processes share."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:  # macOS: the ticks since the boot

    def boot_time() -> float:
        """Return the seconds since the boot: a monotonic clock that all processes share."""
        return time.monotonic()


def clock_identity() -> str:
    """Identify the clock of `boot_time` by boot and namespace: equal in processes that share it."""
    words = []
    with suppress(OSError):
        words.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with suppress(OSError):
        words.append(str(Path("/proc/self/ns/time").readlink()))
    return " ".join(words)


@dataclass
class Asked:
    """When a host was last asked, and until when it must be left alone."""

    times: list[float] = field(default_factory=list)
    """Seconds of `boot_time`, ascending; as many as the largest limit of its users needs."""
    keep: int = 1
    """Number of times that are kept."""
    window: float = 0.0
    """Seconds after which the times do not matter any more."""
    paused_until: float = -math.inf

    def note(self, now: float, rate: Rate) -> float:
        """Record that a request is sent now; return when it was due."""
        was_due = max(due(self.times, rate), self.paused_until)
        self.keep = min(max(self.keep, rate.requests + 1), MOST_REQUESTS + 1)
        self.window = max(self.window, rate.window)
        self.times = [*self.times, counted(now, was_due, rate)][-self.keep :]
        return was_due

    def correct(self, now: float, was_due: float, rate: Rate) -> None:
        """Record that the last noted request was sent only now."""
        self.times[-1] = counted(now, was_due, rate)

    def matters(self, now: float) -> bool:
        """Return whether it can still make a request wait."""
        recent = bool(self.times) and self.times[-1] + self.window > now
        return recent or self.paused_until > now


@dataclass
class Shard:
    """The content of one file."""

    hosts: dict[str, Asked]
    floor: float = -math.inf
    """A time before which nothing is known: hosts may have been asked to their limit until then."""

    def of(self, host: str, rate: Rate) -> Asked:
        """Return the state of a host; an unknown one counts as asked up to its limit at `floor`."""
        found = self.hosts.get(host)
        if found is None:
            found = self.hosts[host] = Asked()
        if self.floor > -math.inf and len(found.times) < rate.requests:
            before = [min(self.floor, *found.times[:1])] if found.times else [self.floor]
            found.times = before * (rate.requests - len(found.times)) + found.times
        return found


class SharedState:
    """The files of one folder.

    Parameters
    ----------
    folder
        Where the files are; created if necessary.
    clock, identity
        For tests: the clock, and its identity.
    """

    def __init__(
        self,
        folder: Path,
        clock: Callable[[], float] = boot_time,
        identity: str | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._clock = clock
        self._identity = clock_identity() if identity is None else identity
        self._files: dict[int, int] = {}
        self._held: set[int] = set()
        self._foreign: dict[int, tuple[bytes, float]] = {}

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            os.close(file)
        self._files.clear()

    @contextmanager
    def locked(self, host: str) -> Iterator[Locked | None]:
        """Yield the locked file of a host; None if it is locked by another user at the moment."""
        number = hashlib.blake2b(host.encode(), digest_size=1).digest()[0] % _SHARDS
        file = self._open(number)
        if number in self._held:  # the kernel would give one descriptor the lock again
            yield None
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        self._held.add(number)
        try:
            yield Locked(file, self._read(number, file), self)
        finally:
            self._held.discard(number)
            fcntl.flock(file, fcntl.LOCK_UN)

    def now(self) -> float:
        """Return the clock's time."""
        return self._clock()

    def write(self, file: int, shard: Shard) -> None:
        """Write the whole file, without hosts that do not matter any more."""
        now = self._clock()
        longest = max((asked.window for asked in shard.hosts.values()), default=0.0)
        # Unknown hosts may be asked as rarely as once in any time; an hour is the longest pause.
        floor = shard.floor if shard.floor + max(LONGEST_PAUSE, longest) > now else None
        body = json.dumps(
            {
                "clock": self._identity,
                "floor": floor,
                "hosts": {
                    host: [
                        asked.keep,
                        asked.window,
                        asked.paused_until if asked.paused_until > now else None,
                        [round(t, 5) for t in asked.times],
                    ]
                    for host, asked in shard.hosts.items()
                    if asked.matters(now)
                },
            }
        ).encode()
        line = b"%d %s\n" % (zlib.crc32(body), body)
        os.pwrite(file, line, 0)
        os.ftruncate(file, len(line))

    def _open(self, number: int) -> int:
        if number not in self._files:
            path = self._folder / f"{number:02}.hosts"
            self._files[number] = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._files[number]

    def _read(self, number: int, file: int) -> Shard:
        size = os.fstat(file).st_size
        line = os.pread(file, min(size, _LARGEST), 0)
        if not line:
            return Shard({})
        now = self._clock()
        shard = _parsed(line, self._identity, now) if size <= _LARGEST else None
        if shard is not None:
            self._foreign.pop(number, None)
            return shard
        # Not rewritten before a request is sent: else two containers that share the folder would
        # each make the other one wait for ever.
        if self._foreign.get(number, (b"",))[0] != line:
            self._foreign[number] = (line, now)
        return Shard({}, floor=self._foreign[number][1])


@dataclass(frozen=True)
class Locked:
    """A locked file, and its content."""

    file: int
    shard: Shard
    state: SharedState

    def write(self) -> None:
        """Write the changed content."""
        self.state.write(self.file, self.shard)


def _parsed(line: bytes, identity: str, now: float) -> Shard | None:
    """Return the content of a file; None if it is damaged or from another clock."""
    try:
        crc, _, body = line.rstrip(b"\n").partition(b" ")
        if int(crc) != zlib.crc32(body):
            return None
        content = json.loads(body)
        if content["clock"] != identity:
            return None
        hosts = {str(host): _asked(now, *words) for host, words in content["hosts"].items()}
        floor = content["floor"]
        return Shard(hosts, -math.inf if floor is None else _time(floor, now))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _asked(now: float, keep: int, window: float, paused: float | None, times: list[float]) -> Asked:
    if not (isinstance(keep, int) and 1 <= keep <= MOST_REQUESTS + 1 and 0 <= window < 1e6):
        raise ValueError("not a limit")
    checked = sorted(_time(t, now) for t in times[-keep:])
    until = -math.inf if paused is None else float(paused)
    if not until <= now + LONGEST_PAUSE:
        raise ValueError("not a time")
    return Asked(checked, keep, float(window), until)


def _time(seconds: float, now: float) -> float:
    if not -math.inf < seconds <= now + 0.001:
        raise ValueError("not a time in the past")
    return float(seconds)
