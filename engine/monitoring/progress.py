"""`Progress`: how far a run has come, computed from its events.

The load of the workers is in `load`; how each number is shown is declared in `figures`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field

from ...storage.errors import PaniniError, RunCancelled
from .events import (
    AWAITED,
    BlocksSetUp,
    Event,
    Failed,
    Finished,
    Indexed,
    LoadSampled,
    Planned,
    ShardDone,
    StageBegun,
    Staged,
    TaskBegun,
    TextsComputed,
    WritesAwaited,
)
from .load import Load

_MOST_CHARACTERS = 400
"""Most characters of the reason for which a run ended."""


@dataclass(kw_only=True, repr=False)
class Progress:
    """Counts of a run. Rates and times exclude the work of earlier runs.

    Attributes
    ----------
    state : str
        ``staging`` (of a frame), ``indexing``, ``running``, ``finished``, ``stopped`` (by
        `Run.cancel`) or ``failed``.
    reason : str, optional
        Why the run has failed, or was stopped.
    parts, parts_staged : int
        Partitions of a frame that is staged first, and how many of them are; else 0.
    rows, shards : int
        Of the whole corpus.
    rows_done, shards_done : int
        Done by this run and earlier ones.
    rows_before : int
        Done by earlier runs.
    quarantined : int
        Rows quarantined by this run.
    text_bytes : int
        Bytes of text that this run read.
    seconds : dict
        Seconds by block, and for ``read``, ``write`` and `AWAITED`, summed over threads.
    elapsed : float
        Seconds since the stage was planned; at the end, since the run was.
    retries : int
        Tasks that were restarted.
    micro_batch : tuple of int, optional
        Most texts, and most bytes of text, per call of a block.
    load : Load, optional
        Load of the workers, by the latest sample.
    stage : str, optional
        The stage that is being computed, if it is not the first one. Counts refer to this stage.
    later : tuple of str
        Names of the later stages that have begun.
    """

    state: str = "indexing"
    reason: str | None = None
    parts: int = 0
    parts_staged: int = 0
    rows: int = 0
    shards: int = 0
    rows_done: int = 0
    shards_done: int = 0
    rows_before: int = 0
    quarantined: int = 0
    text_bytes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    elapsed: float = 0.0
    retries: int = 0
    micro_batch: tuple[int, int] | None = None
    load: Load | None = None
    stage: str | None = None
    later: tuple[str, ...] = ()
    _first: tuple[int, int] | None = field(default=None, repr=False)
    _rows_of_stages: int = field(default=0, repr=False)  # by this run: the most of earlier stages
    _planned_at: float | None = field(default=None, repr=False)  # the stage
    _began_at: float | None = field(default=None, repr=False)
    _tried: set[int] = field(default_factory=set, repr=False)  # partitions
    # Keyed by shard; replaced, never changed, because snapshots share it.
    _unwritten: dict[int, TextsComputed] = field(default_factory=dict, repr=False)

    def listen(self, event: Event) -> None:
        """Take an event into account."""
        match event:
            case Staged() | Indexed():
                self._listen_before_plan(event)
            case Planned():
                self.state = "running"
                self.shards, self.rows = event.shards, event.rows
                self.rows_before = self.rows_done = event.rows_done
                self.shards_done = event.shards_done
                self._planned_at = time.perf_counter()
                self._began_at = self._began_at or self._planned_at
                self.load = None  # earlier samples were taken while the workers were idle
            case BlocksSetUp() | WritesAwaited():
                self._spent(_by_activity(event))
            case StageBegun():
                self._begin_stage(event)
            case TaskBegun():
                self.retries += event.partition in self._tried
                self._tried.add(event.partition)
            case LoadSampled():
                self.load = event.load
            case TextsComputed():
                self._unwritten = {**self._unwritten, event.shard: event}
            case ShardDone():
                self._add(event)
            case Finished() | Failed():
                self._end(event)

    def _add(self, shard: ShardDone) -> None:
        self._unwritten = {n: one for n, one in self._unwritten.items() if n != shard.shard}
        self.micro_batch = shard.micro_batch or self.micro_batch
        self.shards_done += 1
        self.rows_done += shard.rows
        self.quarantined += shard.quarantined
        self.text_bytes += shard.text_bytes
        self._spent(shard.seconds)

    def _spent(self, seconds: Mapping[str, float]) -> None:
        for name, more in seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + more

    def _end(self, event: Finished | Failed) -> None:
        self._unwritten = {}
        self.elapsed = time.perf_counter() - self._began_at if self._began_at else 0.0
        self.state = "finished"
        if isinstance(event, Failed):
            self.state = "stopped" if isinstance(event.error, RunCancelled) else "failed"
            self.reason = reason_of(event.error)

    def _begin_stage(self, event: StageBegun) -> None:
        if self.stage is None:
            self._first = self.rows_before, self.rows_done - self.rows_before
        self._rows_of_stages = self.rows_by_run
        self.stage = f"stage {event.number} of {event.stages}, {event.name}"
        self.later = (*self.later, event.name)
        self.rows_before = self.rows_done
        self._tried, self._unwritten = set(), {}

    def _listen_before_plan(self, event: Staged | Indexed) -> None:
        if isinstance(event, Indexed):
            self.rows = event.rows
            return
        self.parts, self.parts_staged = event.parts, event.done
        self.state = "staging" if event.done < event.parts else "indexing"

    def snapshot(self) -> Progress:
        """Return a copy that no longer changes."""
        now = copy(self)
        now.seconds = dict(self.seconds)
        if self.state == "running":
            now.elapsed = self._since_plan()
        return now

    def _since_plan(self) -> float:
        return 0.0 if self._planned_at is None else time.perf_counter() - self._planned_at

    @property
    def rows_by_run(self) -> int:
        """Texts done by this run: of several stages, those of the one that did most."""
        return max(self._rows_of_stages, self.rows_done - self.rows_before)

    @property
    def of_first_stage(self) -> tuple[int, int]:
        """Rows of the first stage that were done earlier, and that this run has done."""
        return self._first or (self.rows_before, self.rows_done - self.rows_before)

    @property
    def rows_unwritten(self) -> int:
        """Texts computed in shards that are not done yet."""
        return sum(one.rows for one in self._unwritten.values())

    @property
    def rows_computed(self) -> int:
        """Texts that are done or unwritten."""
        return self.rows_done + self.rows_unwritten

    @property
    def texts_per_second(self) -> float:
        """Texts computed per second: in this stage, or by the whole run if it has ended."""
        ended = self.state in ("finished", "stopped", "failed")
        rows = self.rows_by_run if ended else self.rows_computed - self.rows_before
        return rows / self.elapsed if self.elapsed else 0.0

    @property
    def bytes_per_second(self) -> float:
        """Bytes of text computed by this run, per second."""
        computed = self.text_bytes + sum(one.text_bytes for one in self._unwritten.values())
        return computed / self.elapsed if self.elapsed else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Seconds until every text is computed, at the rate so far; None before the first."""
        rate = self.texts_per_second
        return (self.rows - self.rows_computed) / rate if rate else None

    @property
    def staging(self) -> str:
        """How many partitions of a frame are staged, in words."""
        return f"staging, {self.parts_staged:,} of {self.parts:,} partitions"

    def __repr__(self) -> str:
        return f"<Progress {self.line()}>"

    def line(self) -> str:
        """Return the progress in one line."""
        if self.state == "staging":
            return self.staging
        if self.state == "indexing":
            return "counting rows"
        why = f": {self.reason}" if self.reason else ""
        quarantined = f", {self.quarantined:,} quarantined" if self.quarantined else ""
        rate = f", {self.texts_per_second:,.0f} texts/s" if self.elapsed and not why else ""
        done = f", {self.rows_computed:,} of {self.rows:,} texts" if self.rows else ""
        stage = f" {self.stage}" if self.stage and self.state == "running" else ""
        return f"{self.state}{stage}{done}{quarantined}{rate}{why}"


def _by_activity(event: BlocksSetUp | WritesAwaited) -> Mapping[str, float]:
    return {AWAITED: event.seconds} if isinstance(event, WritesAwaited) else event.seconds


def reason_of(error: BaseException) -> str:
    """Return why a run or a climb ended, on one line."""
    known = isinstance(error, PaniniError)
    text = str(error) if known else f"{type(error).__name__}: {error}"
    line = text.strip().partition("\n")[0] or type(error).__name__
    return line if len(line) <= _MOST_CHARACTERS else f"{line[: _MOST_CHARACTERS - 3]}..."
