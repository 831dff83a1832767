"""`Suspects`: tasks whose workers kept dying, tried again alone, and what follows if that fails.

Such a task may have had a neighbour that used too much memory, so it is tried alone, in small
pieces. A shard that kills its worker even then is quarantined, unless nothing could be computed so
far: then it is not the texts, but a block that kills every worker, and the run ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dask.utils import format_bytes

from ....storage.errors import RunFailed
from ....storage.store.lifecycle import OpenStore
from ...monitoring.events import Event, Notice, ShardDone
from ...worker.micro_batches.micro_batch import MicroBatch
from ...worker.task import Task, TaskMode
from ..tasks import task_of

if TYPE_CHECKING:
    from distributed import Client, KilledWorker

KILLED_FOR_MEMORY = "worker-restart-memory"
"""Topic under which dask's nannies report workers that they killed, with the memory held."""

MAX_SUSPECTS = 3
"""Number of tasks, and then of shards tried alone, that may kill their workers before anything was
computed. More show nothing new."""

SMALL_PIECES = MicroBatch(rows=256, text_bytes=1 << 20)
"""Micro-batch size of a task that is tried alone."""

ALONE = TaskMode(micro_batch=SMALL_PIECES, max_writes=1, announces_blocks=True)

Killed = tuple[Task, "KilledWorker"]
"""A task, and dask's error: its workers died more often than dask allows."""


class Suspects:
    """Tries tasks whose workers kept dying, and decides about their shards.

    Attributes
    ----------
    done : set of int
        Shards that are done, quarantined ones included.
    computed : bool
        Whether any shard of the store was computed, so that the blocks are known to work.
    running : tuple of str, or None
        The block, and its texts, that the task tried alone announced last; None: it began none.

    Parameters
    ----------
    run_tasks : callable
        Runs tasks in a mode; returns those whose workers kept dying.
    publish : callable
        Called with notices.
    at_once : bool
        Whether the first shard that kills its worker is decided at once, as bad rows are errors.
    """

    def __init__(
        self,
        client: Client,
        store: OpenStore,
        run_tasks: Callable[[TaskMode, Iterable[Task]], Sequence[Killed]],
        publish: Callable[[Event], None],
        *,
        at_once: bool,
    ) -> None:
        self._client, self._store, self._at_once = client, store, at_once
        self._run_tasks, self._publish = run_tasks, publish
        self._fatal: list[Killed] = []  # shards that killed their worker alone, undecided yet
        self.done: set[int] = set()
        self.computed = any(marker.quarantined < marker.rows for marker in store.done.values())
        self.running: tuple[str, str] | None = None

    def add_done(self, shard: ShardDone) -> None:
        """Take note of a finished shard."""
        self.done.add(shard.shard)
        self.computed |= shard.quarantined < shard.rows

    def try_alone(self, killed: Iterable[Killed]) -> None:
        """Run each task while nothing else runs; decide about shards that kill their worker."""
        for task, error in killed:
            died = f"{describe_death(self._client, error)} at {task}"
            self._publish(Notice(f"{died}; it is tried again alone, in small pieces"))
            self._run_alone(task)

    def finish(self) -> None:
        """Decide about shards that are still undecided, after all others are done."""
        if self._fatal and not self.computed:
            self._give_up()
        self._quarantine_fatal()

    def _run_alone(self, task: Task) -> None:
        while tried := self._left(task.shards):
            self.running = None
            killed = self._run_tasks(ALONE, [task_of(self._store, task.partition, tried)])
            left = self._left(tried)
            if not killed or not left:
                return
            # Shards are done in order, so the first remaining one killed the worker.
            single = task_of(self._store, task.partition, left[:1])
            if len(tried) > 1:
                self.running = None
                killed = self._run_tasks(ALONE, [single])
            self._fatal.extend(killed)
            decided = self._at_once or self._store.layout.growing in single.shards
            if self.computed or decided:
                self._quarantine_fatal()
            elif len(self._fatal) >= MAX_SUSPECTS:
                self._give_up()

    def _left(self, shards: Iterable[int]) -> tuple[int, ...]:
        undecided = {shard for task, _ in self._fatal for shard in task.shards}
        return tuple(shard for shard in shards if shard not in self.done | undecided)

    def _give_up(self) -> None:
        """End the run: a block kills every worker."""
        task, killed = self._fatal[-1]
        n_shards = len(self._fatal)
        tried = "the only shard" if n_shards == 1 else f"each of {n_shards} shards"
        block, where = self.running or ("", str(task))
        culprit = f"block {block!r}" if block else "reading the corpus"
        raise RunFailed(
            f"{culprit} ends the process of its worker: "
            f"{describe_death(self._client, killed)} at {tried} tried alone, last at {where}, and "
            "nothing could be computed. No text is quarantined for it. If the block needs more "
            "memory, give its workers more (--memory, fewer --workers); if not, try it on these "
            "texts in a Python of its own, where a crash is visible"
        ) from killed

    def _quarantine_fatal(self) -> None:
        for task, killed in self._fatal:
            self._quarantine(task, killed)
        self._fatal = []

    def _quarantine(self, task: Task, killed: KilledWorker) -> None:
        """Quarantine the rows of a shard that killed its worker, until the next run."""
        reason = (
            f"not computed: {describe_death(self._client, killed)}, even alone and in small "
            "pieces; run again with more memory per worker (--memory, fewer --workers) to retry it"
        )
        if self._store.layout.growing in task.shards:
            raise RunFailed(
                f"{task}: {reason}. The shard has rows from before the corpus was extended, so it "
                "is left as it was, and the run ends"
            ) from killed
        self._publish(Notice(f"{task} is quarantined, {reason}"))
        stretches = tuple(
            replace(stretch, problem=stretch.problem or reason) for stretch in task.stretches
        )
        provisional = replace(ALONE, provisional=True, announces_blocks=False)
        for _, last in self._run_tasks(provisional, [replace(task, stretches=stretches)]):
            raise RunFailed(
                f"{describe_death(self._client, last)} at {task}, although it had nothing to "
                "compute; check the workers' logs, then run again to resume"
            ) from last


def describe_death(client: Client, killed: KilledWorker) -> str:
    """Return how often a task's worker died, and the cause if it is known."""
    worker = killed.last_worker
    events = [event for _, event in client.get_events(KILLED_FOR_MEMORY) or ()]
    held = [event["rss"] for event in events if event["worker"] == worker.address]
    cause = "for an unknown reason, such as lack of memory or a crash in a library"
    if held:
        share = f"{format_bytes(held[-1])} of {format_bytes(worker.memory_limit)}"
        cause = f"for lack of memory: it held {share}"
    return f"a worker died {killed.allowed_failures + 1} times ({cause})"
