"""`ShardNews`: publishes each finished shard of a stage once, with advice if there is any."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ....storage.corpus.partition import MAX_SHARD_SECONDS
from ....storage.errors import PaniniError
from ....storage.store.shards import StoreLayout
from ...monitoring.events import EventStream, Notice, ShardDone, TextsComputed
from ..failures.failing_shards import FailingShards
from ..spec import RunSpec
from ..target_leases import Leases

MISREAD_SHARE = 0.01
"""Share of a shard's texts that are not UTF-8 from which another encoding is suspected."""

_NOT_BLOCKS = ("read", "write")


class ShardNews:
    """The finished shards of a run's stages.

    Parameters
    ----------
    stop : callable
        Called with the error that ends the run.
    mirror : callable
        Called with the number and the layout of every finished shard.
    """

    def __init__(
        self,
        spec: RunSpec,
        events: EventStream,
        *,
        stop: Callable[[PaniniError], object],
        mirror: Callable[[int, StoreLayout], object],
    ) -> None:
        self._spec, self._events, self._stop, self._mirror = spec, events, stop, mirror
        self.advised_seconds = False  # whether `text_seconds` was advised already
        self._warned_of_failed = self._warned_of_encoding = False
        self._announcing = threading.Lock()
        self._announced: set[int] = set()
        self._failing = FailingShards(spec.failure_limit)
        self._layout: StoreLayout | None = None

    def begin(self, layout: StoreLayout) -> None:
        """Begin a stage."""
        with self._announcing:
            self._announced = set()
            self._failing = FailingShards(self._spec.failure_limit, layout.stage)
            self._layout = layout

    def announce(self, shard: ShardDone | TextsComputed) -> None:
        """Publish a finished shard once, although both its worker and its task report it.

        A worker's progress reports may arrive later.
        """
        with self._announcing:
            if shard.shard in self._announced:
                return
            if isinstance(shard, TextsComputed):
                self._events.publish(shard)
                return
            self._announced.add(shard.shard)
        self._events.publish(shard)
        self._warn_of_slow(shard)
        self._warn_of_failed(shard)
        if error := self._failing.add(shard):
            self._stop(error)
        self._warn_of_encoding(shard)
        assert self._layout is not None  # shards are announced once a stage has begun
        self._mirror(shard.shard, self._layout)

    def take_back(self, leases: Leases) -> None:
        """Remove the markers of failed shards, because the texts did not cause the failure."""
        for target, lease in leases:
            self._failing.take_back(target, lease.ticket)

    def _warn_of_slow(self, shard: ShardDone) -> None:
        """Warn once, with a remedy, if a shard takes longer than `MAX_SHARD_SECONDS`."""
        spent = {
            name: seconds
            for name, seconds in shard.seconds.items()
            if name not in _NOT_BLOCKS and not name.endswith(" setup")
        }
        if self.advised_seconds or sum(spent.values()) <= MAX_SHARD_SECONDS:
            return
        self.advised_seconds = True
        slowest = max(spent, key=lambda name: spent[name])
        self._events.publish(
            Notice(
                f"a shard took {sum(spent.values()):.0f} s, most of it in {slowest!r}, and a stop "
                f"loses as much: give that block text_seconds={spent[slowest] / shard.rows:.2g}, "
                "or the next run fewer rows per shard (--shard-rows, shard_rows=)"
            )
        )

    def _warn_of_encoding(self, shard: ShardDone) -> None:
        """Report once, and early, that files do not seem to be UTF-8."""
        many = shard.undecodable >= max(1, MISREAD_SHARE * shard.rows)
        if not many or self._warned_of_encoding or not self._spec.corpus.may_need_encoding:
            return
        self._warned_of_encoding = True
        self._events.publish(
            Notice(
                f"{shard.undecodable:,} of {shard.rows:,} texts are not UTF-8 and quarantined. If "
                "the files have another encoding, such as cp1252 of Excel, give it (--encoding "
                "cp1252, encoding='cp1252'; 'auto' detects it), and start over (--fresh, "
                "fresh=True)"
            )
        )

    def _warn_of_failed(self, shard: ShardDone) -> None:
        """Report once, and early, that a block fails for some texts."""
        if shard.failed is None or self._warned_of_failed:
            return
        self._warned_of_failed = True
        self._events.publish(
            Notice(f"a block failed for a text, which is quarantined: {shard.failed}")
        )
