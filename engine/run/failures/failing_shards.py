"""`FailingShards`: counts the texts that blocks fail for over small shards, and takes shards back.

The worker counts within a shard (`worker.failing_rows`). Of a slow block, a shard may be a single
text, so a service that refuses every request would quarantine one shard after the other.
"""

from __future__ import annotations

from ....storage.corpus.partition import MIN_SHARD_ROWS
from ....storage.errors import BlockError
from ....storage.store.keys import marker_key
from ....storage.store.leases.lease import LeaseTicket
from ....storage.targets.target import Target
from ...monitoring.events import ShardDone
from ...worker.failing_rows import FailureLimit


class FailingShards:
    """The shards of a stage with texts that a block failed for.

    Parameters
    ----------
    stage : str
        Name of a later stage.

    Examples
    --------
    >>> shards = FailingShards(FailureLimit(at_least=1))
    >>> done = {"rows": 1, "quarantined": 1, "text_bytes": 9, "failed": "row 7: ValueError"}
    >>> shards.add(ShardDone(shard=0, failed_rows=1, **done))
    >>> print(shards.add(ShardDone(shard=1, failed_rows=1, **done)))
    row 7: ValueError; 2 of the last 2 texts failed, and at most 1 are quarantined (max_failed_rows)
    """

    def __init__(self, limit: FailureLimit, stage: str = "") -> None:
        self._limit, self._stage = limit, stage
        self._shards: list[int] = []
        self._rows = self._failed = 0  # since as many rows were done as an ordinary shard has

    def add(self, shard: ShardDone) -> BlockError | None:
        """Add a finished shard; return the error that ends the run if too many texts failed."""
        if self._rows >= MIN_SHARD_ROWS:
            self._rows = self._failed = 0
        self._rows += shard.rows
        self._failed += shard.failed_rows
        if not shard.failed_rows:
            return None
        self._shards.append(shard.shard)
        most = self._limit.most(self._rows)
        if self._failed <= most:
            return None
        return BlockError(
            f"{shard.failed}; {self._failed:,} of the last {self._rows:,} texts failed, and at "
            f"most {most:,} are quarantined (max_failed_rows)"
        )

    def take_back(self, target: Target, ticket: LeaseTicket) -> None:
        """Remove the markers of these shards, so that the next run computes them again."""
        if self._shards:
            ticket.check(target)
            target.delete([marker_key(shard, self._stage) for shard in self._shards])
