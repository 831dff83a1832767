"""`TaskReports`: what workers report of a run's tasks while these run."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..monitoring.events import Event, ShardDone, TaskBegun, TextsComputed
from ..worker.task import BEGUN, COMPUTED, RUNNING
from .failures.killed import Suspects

if TYPE_CHECKING:
    from distributed import Client

Handle = Callable[[tuple[float, dict[str, Any]]], None]


class TaskReports:
    """Passes on what workers report under a run's topic, while its context is active.

    Parameters
    ----------
    suspects : Suspects
        Takes note of finished shards, and of the block that a task tried alone announces.
    announce : callable
        Called with every finished shard, and with the progress of others, possibly late.
    publish : callable
        Called with every other event.
    """

    def __init__(
        self,
        client: Client,
        topic: str,
        suspects: Suspects,
        *,
        announce: Callable[[ShardDone | TextsComputed], None],
        publish: Callable[[Event], None],
    ) -> None:
        self._client, self._topic, self._suspects = client, topic, suspects
        self._announce, self._publish = announce, publish
        self._listener = _Listener(self._on_message)

    def __enter__(self) -> TaskReports:
        self._client.subscribe_topic(self._topic, self._listener)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.unsubscribe_topic(self._topic)
        self._listener.handle = None

    def _on_message(self, event: tuple[float, dict[str, Any]]) -> None:
        """Handle a message and the time of its arrival."""
        _, message = event
        if BEGUN in message:
            self._publish(TaskBegun(message[BEGUN]))
        elif RUNNING in message:
            self._suspects.running = tuple(message[RUNNING])
        elif COMPUTED in message:
            self._announce(TextsComputed(**message[COMPUTED]))
        else:
            shard = ShardDone(**message)
            self._suspects.add_done(shard)
            self._announce(shard)


class _Listener:
    """Handles messages until `handle` is None.

    dask's client keeps the handler of a topic that it has unsubscribed from, and with it would keep
    the run, its corpus and the texts that lie in memory.
    """

    def __init__(self, handle: Handle) -> None:
        self.handle: Handle | None = handle

    def __call__(self, event: tuple[float, dict[str, Any]]) -> None:
        if handle := self.handle:
            handle(event)
