"""`FramePartitions`: the partitions of a frame, computed by dask for the tasks that read them.

They are kept on the cluster if they fit into the workers' memory, or if they share work, as those
of a join do: each would be computed with all that it shares. dask spills what does not fit. Others
are computed when a task needs them, and dropped when no task in flight does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ....storage.corpus.tables.frame_parts import brought, frame_rows, number_of
from ....storage.corpus.tables.frame_source import FrameSource
from ....storage.corpus.tables.parts_together import share_work
from ....storage.rows import SourceFile
from ....storage.rows.frame_rows import FrameRows
from ...worker.task import Task

if TYPE_CHECKING:
    from distributed import Client, Future

MEMORY_SHARE = 0.5
"""Share of the workers' memory that may be taken once the partitions are kept. dask spills from 0.6
on, and tasks need memory too."""

RETRIES = 3
"""Number of times that dask tries to compute a partition again."""


class FramePartitions:
    """The partitions of a frame, on the cluster of a run.

    Futures are released, and never cancelled: they may be those of a frame that the user keeps.

    Attributes
    ----------
    source : FrameSource
    keeps : bool
        Whether partitions are kept until the run ends.
    """

    def __init__(self, client: Client, source: FrameSource, priority: int) -> None:
        self.source = source
        self._client, self._priority = client, priority
        self._kept: dict[int, Any] = {}  # delayed objects, of futures
        self._users: Counter[int] = Counter()  # tasks in flight, by partition
        self.keeps = False
        self._rows = lru_cache(maxsize=1)(self._gathered)

    # --- before any task --------------------------------------------------------------------------

    def first_to_hold(self) -> Sequence[int]:
        """Begin computing the first partitions, by which all are measured; return their numbers.

        These are all if they share work.
        """
        self.keeps = share_work(self.source.parts)
        threads = sum(self._client.nthreads().values())
        numbers = range(len(self.source.parts))
        first = numbers if self.keeps else numbers[: max(1, threads)]
        self._compute(first)
        return first

    def choose(self, nbytes: int, *, of: int) -> None:
        """Decide whether partitions are kept, given the bytes `of` some of them."""
        parts = len(self.source.parts)
        if self.keeps or _fits(self._client, nbytes * parts // max(1, of)):
            self.keeps = True
            self._compute(range(parts))
        else:
            self._kept.clear()

    def expect(self, tasks: Iterable[Task]) -> None:
        """Prepare for tasks: compute the partitions that they read, if these are to be kept."""
        files = {number_of(file): file for task in tasks for file in task.partitions}
        missing = [number for number in sorted(files) if number not in self._kept]
        if not self.keeps and missing:
            nbytes = sum(files[number].size for number in missing)
            self.keeps = share_work(self.source.parts) or _fits(self._client, nbytes)
        if self.keeps:
            self._compute(missing)

    def delayed(self, numbers: Sequence[int]) -> list[Any]:
        """Return partitions as delayed objects, those that are kept as they are."""
        parts = self.source.parts
        return [self._kept.get(number, parts[number]) for number in numbers]

    # --- with the tasks ---------------------------------------------------------------------------

    def futures(self, task: Task) -> list[Future[Any]]:
        """Return the partitions that a task reads, in their order, until it is `done`."""
        numbers = [number_of(file) for file in task.partitions]
        self._compute([number for number in numbers if number not in self._kept])
        self._users.update(numbers)
        found = [self._future(number) for number in numbers]
        for future in found:
            if future.status in ("error", "lost"):  # its workers died: this task may be the last
                future.retry()
        return found

    def done(self, *tasks: Task) -> None:
        """Drop the partitions of tasks that no other task in flight reads, if none are kept."""
        for file in (file for task in tasks for file in task.partitions):
            number = number_of(file)
            self._users[number] -= 1
            if not self._users[number] and not self.keeps:
                self._kept.pop(number, None)

    def release(self) -> None:
        """Let dask forget all partitions."""
        self._kept.clear()
        self._rows.cache_clear()

    def brought(self, files: Iterable[SourceFile]) -> tuple[SourceFile, ...]:
        """Return partitions, as files, that this process fetches from the cluster to read them."""
        return brought(files, self._rows)

    def _gathered(self, number: int) -> FrameRows:
        self._compute([number])
        return frame_rows(self._future(number).result())

    def _compute(self, numbers: Iterable[int]) -> None:
        """Have dask compute partitions, all in one graph, unless they are there."""
        missing = [number for number in numbers if number not in self._kept]
        if not missing:
            return
        parts = [self.source.parts[number] for number in missing]
        # Tasks that have their partitions go first.
        kept = self._client.persist(parts, priority=self._priority - 1, retries=RETRIES)
        for number, one in zip(missing, kept, strict=True):
            self._kept[number] = one

    def _future(self, number: int) -> Future[Any]:
        from distributed import futures_of

        future: Future[Any]
        (future,) = futures_of(self._kept[number])
        return future


def _fits(client: Client, nbytes: int) -> bool:
    """Return whether data fit into the memory of the workers that is free."""
    workers: Mapping[str, Any] = client.scheduler_info(n_workers=-1)["workers"]
    if not all(worker["memory_limit"] for worker in workers.values()):
        return True  # dask neither limits nor spills
    free = (
        max(0.0, MEMORY_SHARE * worker["memory_limit"] - worker["metrics"]["memory"])
        for worker in workers.values()
    )
    return bool(nbytes <= sum(free))
