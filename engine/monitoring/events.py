"""The events of a run, a climb or a collection, as a stream that displays and others subscribe to.

Events are facts in the past tense. A late subscriber receives every event from the start, except
samples of the workers' load, and the progress of shards that are not done.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...storage.store.history import RunRecord
    from ..costs.bill import Bill
    from .climb_progress import ClimbProgress
    from .collecting.collect_figures import CollectFigures
    from .load import Load
    from .projection import Projection


AWAITED = "waiting for writes"
"""Name, beside those of blocks, of the time in which a task's thread waited for its writes. No
block can have this name."""


@dataclass(frozen=True)
class Staged:
    """Parts of a corpus that must be computed first were computed, and written to a folder."""

    parts: int
    done: int  # by this run and earlier ones
    folder: str


@dataclass(frozen=True)
class Indexed:
    """The corpus's rows were counted."""

    files: int
    rows: int
    notes: tuple[str, ...] = ()  # for the user, about how the corpus will be read


@dataclass(frozen=True, kw_only=True)
class Planned:
    """The work was divided into partitions, and compared with what the store already has."""

    rows: int
    shards: int
    shard_rows: int
    partitions: int  # to be done now
    rows_done: int  # by an earlier run
    shards_done: int
    rows_at_risk: int = 0  # most rows that one worker thread has in flight
    seconds_at_risk: float = 0.0  # of work on them, as declared by slow blocks; 0: none declared
    memory: Projection | None = None  # of a worker; None: there is nothing to do


@dataclass(frozen=True)
class BlocksSetUp:
    """A worker has made what the blocks' ``setup`` makes, to try them."""

    seconds: Mapping[str, float]  # by label


@dataclass(frozen=True, kw_only=True)
class StageBegun:
    """A stage after the first one has begun."""

    name: str
    number: int  # counted from 1
    stages: int  # of the run
    is_reduction: bool


@dataclass(frozen=True)
class TaskBegun:
    """A worker started the task of a partition, or of its remaining shards."""

    partition: int


@dataclass(frozen=True, kw_only=True)
class TextsComputed:
    """Some texts of a shard were computed. They are lost if the run stops before it is done."""

    shard: int
    rows: int  # of the shard, so far
    text_bytes: int


@dataclass(frozen=True, kw_only=True)
class ShardDone:
    """A shard was written and marked."""

    shard: int
    rows: int
    quarantined: int
    text_bytes: int
    seconds: Mapping[str, float] = field(default_factory=dict)  # by block, "read" and "write"
    worker: str = ""
    micro_batch: tuple[int, int] | None = None  # most texts and bytes of text per call of a block
    failed: str | None = None  # the first text that a block failed for, and why
    failed_rows: int = 0  # that a block failed for
    undecodable: int = 0  # rows that are not UTF-8


@dataclass(frozen=True)
class WritesAwaited:
    """A task has ended, whose thread waited this many seconds for shards to be written."""

    seconds: float


@dataclass(frozen=True)
class LoadSampled:
    """The load of the workers was sampled."""

    load: Load


@dataclass(frozen=True)
class Climbed:
    """A climb has retired candidates."""

    progress: ClimbProgress  # as it is now


@dataclass(frozen=True)
class Collected:
    """A collection goes on; published about twice per second."""

    figures: CollectFigures  # as they are now


@dataclass(frozen=True)
class Notice:
    """A message for the user, one sentence."""

    text: str


@dataclass(frozen=True)
class Mirrored:
    """A finished shard was copied to the mirror."""

    shard: int


@dataclass(frozen=True)
class Restored:
    """Shards were copied back from the mirror."""

    shards: int
    mirror: str


@dataclass(frozen=True)
class WorkerLost:
    """A worker lost its device, or is unfit for the run; other workers take over its work."""

    worker: str
    reason: str


@dataclass(frozen=True)
class Finished:
    """The run ended, and the store is complete."""

    seconds: float
    bill: Bill | None = None  # None: there was nothing to do, or the catalogue cannot be read
    record: RunRecord | None = None  # None: there was nothing to do


@dataclass(frozen=True)
class Failed:
    """The run ended without finishing."""

    error: BaseException


Event = (
    Staged
    | Restored
    | Indexed
    | Planned
    | BlocksSetUp
    | WritesAwaited
    | StageBegun
    | TaskBegun
    | TextsComputed
    | ShardDone
    | LoadSampled
    | Climbed
    | Collected
    | Notice
    | Mirrored
    | WorkerLost
    | Finished
    | Failed
)
_PASSING = (LoadSampled, TextsComputed, Climbed, Collected)
"""Events that late subscribers do not receive."""

Listener = Callable[[Event], None]

_log = logging.getLogger(__name__)


class EventStream:
    """Publishes events in order, to present and future listeners.

    Examples
    --------
    >>> stream = EventStream()
    >>> stream.publish(Indexed(files=1, rows=129))
    >>> stream.subscribe(print)
    Indexed(files=1, rows=129, notes=())
    """

    def __init__(self) -> None:
        self._past: list[Event] = []
        self._listeners: list[Listener] = []
        self._lock = threading.RLock()

    def publish(self, event: Event) -> None:
        """Pass an event to every listener."""
        with self._lock:
            if not isinstance(event, _PASSING):  # every few seconds, in runs of weeks
                self._past.append(event)
            for listener in self._listeners:
                _notify(listener, event)

    def subscribe(self, listener: Listener) -> None:
        """Pass all past events to a listener, and from now on every new one."""
        with self._lock:
            for event in self._past:
                _notify(listener, event)
            self._listeners.append(listener)


def _notify(listener: Listener, event: Event) -> None:
    try:
        listener(event)
    except Exception:  # noqa: BLE001 (a display that breaks must not break the run)
        _log.exception("a listener failed at %s", type(event).__name__)
