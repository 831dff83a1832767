"""Values made by the functions of blocks' ``setup``, once per process, and kept while in use.

Which arguments a block declares is in `graphs.block`.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import psutil

from ....graphs.kernels import load
from ....graphs.user_functions.setups import identity_of
from ....storage.errors import BlockError
from ..micro_batches.budget import worker_limit
from ..unused_memory import release_unused_memory
from ..user_code import Sources, frames_of, in_words

KEEP_SECONDS = 30.0
"""Time after which a value that no task uses is closed. The next run of a session reuses it if it
begins earlier."""

_Key = tuple[str, str, int]


class HasSetup(Protocol):
    """A block, or an objective, whose arguments are made on workers."""

    @property
    def name(self) -> str:
        """Its name, for messages."""

    @property
    def setup(self) -> Mapping[str, Callable[[], Any]]:
        """Functions that make arguments, by the arguments' names."""

    @property
    def per_thread(self) -> bool:
        """Whether each thread has arguments of its own."""

    @property
    def setup_bytes(self) -> int:
        """Memory that the arguments need, if it is known."""


@dataclass(kw_only=True)
class _Made:
    """What one function returned, and its cost."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    ready: bool = False
    value: Any = None
    seconds: float = 0.0
    nbytes: int = 0  # by which the resident memory of the process grew
    users: int = 0
    used: float = 0.0

    def close(self) -> None:
        close = getattr(self.value, "close", None)
        if callable(close):
            with suppress(Exception):  # no run uses it any more, so its error has no consequence
                close()


_made: dict[_Key, _Made] = {}
_lock = threading.Lock()
_looking = False  # whether a timer is set


@dataclass(frozen=True)
class Arguments:
    """The arguments that were made for blocks, and the cost of those made by this call."""

    by_block: Mapping[str, Mapping[str, Any]]
    seconds: Mapping[str, float]  # by label; empty if all were there already
    nbytes: int  # of all of them, also those made earlier


@contextmanager
def arguments_of(
    blocks: Iterable[HasSetup], backend: str, sources: Sources | None = None
) -> Iterator[Arguments]:
    """Yield the arguments that the blocks' ``setup`` makes, and keep them meanwhile.

    Raises
    ------
    BlockError
        A function raised an exception; the message names the block and the argument.
    ImportError, MemoryError
    """
    used: list[_Made] = []
    by_block: dict[str, dict[str, Any]] = {}
    seconds: dict[str, float] = {}
    try:
        for block in blocks:
            for name in block.setup:
                thread = threading.get_ident() if block.per_thread else 0
                entry = _acquired((identity_of(block, name), backend, thread))
                used.append(entry)
                with entry.lock:  # other threads that need the same wait
                    if not entry.ready:
                        _make(entry, block, name, backend, sources or {})
                        seconds[f"{block.name} setup"] = entry.seconds + seconds.get(
                            f"{block.name} setup", 0.0
                        )
                by_block.setdefault(block.name, {})[name] = entry.value
        yield Arguments(by_block, seconds, sum(entry.nbytes for entry in used))
    finally:
        with _lock:
            for entry in used:
                entry.users -= 1
                entry.used = time.monotonic()
        if used:
            _close_later()


def _acquired(key: _Key) -> _Made:
    with _lock:
        entry = _made.setdefault(key, _Made())
        entry.users += 1
        return entry


def _make(entry: _Made, block: HasSetup, name: str, backend: str, sources: Sources) -> None:
    process = psutil.Process()
    _make_room(block, backend)
    before, began = process.memory_info().rss, time.perf_counter()
    try:
        entry.value = block.setup[name]()
    except (ImportError, MemoryError):
        raise
    except Exception as error:
        frames = "".join(f"\n{frame}" for frame in frames_of(error, sources))
        raise BlockError(
            f"block {block.name!r}: setup of {name!r} raised {in_words(error)}{frames}"
        ) from error
    entry.seconds = time.perf_counter() - began
    entry.nbytes = max(0, process.memory_info().rss - before)
    entry.ready = True


def _make_room(block: HasSetup, backend: str) -> None:
    """Close what no task uses, such as the models of the pass before, if memory may be short."""
    from ...monitoring.projection import (
        USABLE_SHARE,
    )  # it imports dask, which is not needed to peek

    device, limit = load(backend).free_memory(), worker_limit()
    needed = block.setup_bytes or USABLE_SHARE * (limit or 0) / 2
    resident = psutil.Process().memory_info().rss
    short = (device is not None and block.setup_bytes > USABLE_SHARE * device) or (
        limit is not None and resident + needed > USABLE_SHARE * limit
    )
    if short and close_unused():
        release_unused_memory()


def _close_later() -> None:
    """Look for unused entries until there are none, with one timer for all tasks."""
    global _looking  # noqa: PLW0603 (one timer per process)
    with _lock:
        if _looking:
            return
        _looking = True
    timer = threading.Timer(KEEP_SECONDS, _look)
    timer.daemon = True
    timer.start()


def _look() -> None:
    global _looking  # noqa: PLW0603 (as above)
    close_unused(KEEP_SECONDS)
    with _lock:
        _looking = False
        left = bool(_made)
    if left:
        _close_later()


def close_unused(seconds: float = 0.0) -> bool:
    """Close the values that no task has used for that time; return whether there were any."""
    now = time.monotonic()
    with _lock:
        unused = [
            key for key, one in _made.items() if not one.users and now - one.used >= seconds - 1e-3
        ]
        closed = [_made.pop(key) for key in unused]
    for entry in closed:
        entry.close()
    return bool(closed)


atexit.register(close_unused)
