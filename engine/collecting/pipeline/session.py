"""`Session`: the loops of a collector, from their beginning to the last commit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ....storage.store.leases.lease import LeaseTicket
from ....storage.targets.target import Target
from ...monitoring.collect_progress import CollectProgress
from ..collect_limits import Limits
from ..ledger.item_decisions import Decisions
from ..ledger.item_table import ItemTable
from ..ledger.ledger import Ledger
from ..ledger.source_state import SourceState, Spent
from ..parts.part_writer import PartSize
from ..source import Source
from ..web.web import Web
from .counting_web import CountingWeb
from .deciding_loop import MOST_ENTRIES, Decider
from .extracting_loop import Extractor, Pool
from .fetching_loop import AT_ONCE, GRACE_SECONDS, Fetcher
from .item_flow import Flow, explained
from .listing_loop import MOST_HELD, MOST_PENDING, Lister
from .row_columns import Detect

_CLOCK_SECONDS = 0.25
_NOTE_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How much is done at a time, and when commits are made; does not affect rows."""

    size: PartSize = field(default_factory=PartSize)
    flush_seconds: float = 600.0
    """Seconds after which decided items are committed, so that analyses can read them."""
    at_once: int = AT_ONCE
    extracting: int = 4
    """Maximum number of documents in the pool at a time."""
    most_pending: int = MOST_PENDING
    most_held: int = MOST_HELD
    most_entries: int = MOST_ENTRIES
    most_bytes: int | None = None
    """Size of the largest document, in bytes; None for the limit of the web's policy."""
    grace: float = GRACE_SECONDS


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What a session works with. Replaced in tests."""

    web: Web
    pool: Pool
    detect: Detect
    connections: Callable[[str], int]
    """Returns how many items of a host are fetched at a time."""
    hosts: Callable[[], Mapping[str, Any]] | None = None
    """Returns the figures of every host, for displays."""
    received: Callable[[], int] = int
    """Returns the bytes that this session received, including refused answers, if counted."""


class Session:
    """One session of collecting a source.

    Parameters
    ----------
    lease
        The lease's ticket, and the folder that it is in; None if there is none.
    """

    def __init__(
        self,
        *,
        source: Source,
        tools: Tools,
        table: ItemTable,
        ledger: Ledger,
        state: SourceState,
        limits: Limits,
        pace: Pace,
        progress: CollectProgress,
        lease: tuple[LeaseTicket, Target] | None = None,
    ) -> None:
        self._source, self._tools, self._table = source, tools, table
        self._ledger, self._state, self._lease = ledger, state, lease
        self._limits, self._pace, self._progress = limits, pace, progress
        self._decisions = Decisions(table)
        self._before = Spent()
        self._received = 0
        self._began = time.monotonic()
        self._flow: Flow | None = None
        self._interrupted = False

    def interrupt(self) -> None:
        """Ask the session to end; called in the loop's thread."""
        self._interrupted = True
        if self._flow is not None:
            self._flow.stop("stopped", "it was interrupted")

    def spent(self) -> Spent:
        """Return what this and earlier sessions have used."""
        return Spent(
            received_bytes=self._before.received_bytes
            + max(self._received, self._tools.received()),
            seconds=self._before.seconds + time.monotonic() - self._began,
        )

    async def run(self) -> Flow:
        """Collect until everything is decided, a limit is reached or something fails.

        Returns
        -------
        Flow
            How it ended. The caller raises its `error`, once everything is closed.
        """
        flow = self._flow = await self._begin()
        decider = self._decider(flow)
        deciding = asyncio.create_task(decider.run())
        loops = [asyncio.create_task(_guarded(flow, loop)) for loop in self._loops(flow)]
        clock = asyncio.create_task(_guarded(flow, self._watch()))
        stopping = asyncio.create_task(self._stop_listing(flow, loops[0]))
        try:
            await deciding
            await asyncio.gather(*loops, return_exceptions=True)  # listing may be cancelled
            self._report_hosts()
        except Exception as error:  # noqa: BLE001 (raised by the collector, once all is closed)
            flow.fail(str(error) or type(error).__name__, explained(error))
        finally:
            for task in (deciding, *loops, clock, stopping):
                task.cancel()
            await asyncio.gather(deciding, *loops, clock, stopping, return_exceptions=True)
        flow.finish()
        return flow

    async def _begin(self) -> Flow:
        position = await self._table.position()
        held, _ = await self._table.pending()
        self._before = await self._decisions.spent(self._state)
        self._began = time.monotonic()
        flow = Flow(listed=position.number, decided=self._state.finalised, held=held)
        if self._interrupted:
            flow.stop("stopped", "it was interrupted")
        elif reached := self._limits.reached(self._before):
            flow.stop("limited", reached)
        return flow

    def _decider(self, flow: Flow) -> Decider:
        return Decider(
            decisions=self._decisions,
            ledger=self._ledger,
            state=self._state,
            flow=flow,
            progress=self._progress,
            lease=self._lease,
            spent=self.spent,
            size=self._pace.size,
            flush_seconds=self._pace.flush_seconds,
            most_entries=self._pace.most_entries,
        )

    def _loops(self, flow: Flow) -> list[Awaitable[None]]:
        """Return the loops before the decider; listing first."""
        pace, tools, table = self._pace, self._tools, self._table
        web = CountingWeb(tools.web, self._count)
        lister = Lister(
            source=self._source,
            web=web,
            table=table,
            flow=flow,
            progress=self._progress,
            detect=tools.detect,
            most_items=self._limits.items,
            most_pending=pace.most_pending,
            most_held=pace.most_held,
        )
        fetcher = Fetcher(
            web=web,
            table=table,
            flow=flow,
            connections=tools.connections,
            most_bytes=pace.most_bytes,
            most_held=pace.most_held,
            grace=pace.grace,
            at_once=pace.at_once,
        )
        extractor = Extractor(
            pool=tools.pool,
            table=table,
            flow=flow,
            detect=tools.detect,
            licence=self._source.licence,
            own_text=self._source.own_text,
            at_once=pace.extracting,
        )
        return [lister.run(), fetcher.run(), extractor.run()]

    def _count(self, host: str, received: int) -> None:
        self._received += received
        self._progress.received(host, received)
        self._stop_at_limits()

    async def _watch(self) -> None:
        """Check the limits, and note what is spent."""
        noted = time.monotonic()
        while True:
            await asyncio.sleep(_CLOCK_SECONDS)
            self._stop_at_limits()
            self._report_hosts()
            if time.monotonic() - noted >= _NOTE_SECONDS:
                noted = time.monotonic()
                await self._decisions.note_spent(self.spent())

    def _stop_at_limits(self) -> None:
        spent, flow = self.spent(), self._flow
        if flow is not None and (reached := self._limits.reached(spent)):
            flow.stop("limited", reached)
            flow.late = self._limits.is_late(spent)

    def _report_hosts(self) -> None:
        if self._tools.hosts is not None:
            self._progress.hosts(self._tools.hosts())

    async def _stop_listing(self, flow: Flow, listing: asyncio.Task[None]) -> None:
        await flow.stopped.wait()
        listing.cancel()


async def _guarded(flow: Flow, loop: Awaitable[None]) -> None:
    """Run a loop; if it fails, end the session once the other loops have finished their work."""
    try:
        await loop
    except Exception as error:  # noqa: BLE001 (raised by the collector, once all is closed)
        flow.stop("failed", str(error) or type(error).__name__, explained(error))
