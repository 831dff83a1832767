"""Deciding: items are kept or not in the order of listing, and committed part by part."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import pyarrow as pa

from ....storage.errors import RunFailed
from ....storage.store.leases.lease import LeaseTicket
from ....storage.targets.target import Target
from ...monitoring.collect_progress import CollectProgress
from ..ledger.item_decisions import Committed, Decisions
from ..ledger.ledger import Commit, Ledger
from ..ledger.ledger_object import Entry, batch_of
from ..ledger.listed_page import Done
from ..ledger.source_state import Counts, SourceState, Spent
from ..outcome import FAILED, RETRIED, SKIPPED
from ..parts.part_writer import PartSize, PartWriter
from .item_flow import Flow
from .row_columns import Received, row_of

MOST_ENTRIES = 65_536
"""Number of decided items at which there is a commit, even if few were kept."""

_AT_ONCE = 512
_BYTES_AT_ONCE = 4 << 20
_PAUSE_SECONDS = 0.02
"""Shortest interval between polls of the database, in seconds."""

_BATCH = 1024


@dataclass(kw_only=True)
class Decider:
    """Decides the items of a source, and commits them."""

    decisions: Decisions
    ledger: Ledger
    state: SourceState
    """State as of the last commit."""
    flow: Flow
    progress: CollectProgress
    lease: tuple[LeaseTicket, Target] | None
    spent: Callable[[], Spent]
    size: PartSize
    flush_seconds: float
    """Seconds after which decided items are committed, so that they can be read."""
    most_entries: int = MOST_ENTRIES
    _counts: Counts = field(default_factory=Counts)
    _writer: PartWriter = field(init=False)
    _entries: list[Entry] = field(default_factory=list)
    _batches: list[pa.RecordBatch] = field(default_factory=list)
    _entry_count: int = 0
    _since: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._counts = self.state.counts.copy()
        self._writer = PartWriter(self.size)

    @property
    def counts(self) -> Counts:
        """Counts of all decided items, including uncommitted ones."""
        return self._counts

    async def run(self) -> None:
        """Decide until extracting is over and the next item is not done; then commit."""
        flow = self.flow
        while True:
            over = flow.extracting_over
            done = await self.decisions.next(flow.decided, _AT_ONCE, _BYTES_AT_ONCE)
            await self._take(done)
            if over and not done:
                break
            if self._entry_count and time.monotonic() - self._since >= self.flush_seconds:
                await self.commit()
            if not done and not over:
                await flow.to_decide.wait(self._until_flush())
                await asyncio.sleep(_PAUSE_SECONDS)
        if self._entry_count or await self._state() != self.state:
            await self.commit()

    def _until_flush(self) -> float | None:
        if not self._entry_count:
            return None
        return max(0.0, self._since + self.flush_seconds - time.monotonic())

    async def _take(self, done: Sequence[Done]) -> None:
        at = 0
        while at < len(done):
            if self._writer.full or self._entry_count >= self.most_entries:
                await self.commit()
            at = await asyncio.to_thread(self._add, done, at)
        self.flow.decided += len(done)
        self.flow.held -= sum(one.held for one in done)
        if done:
            self.flow.room.set()
            self.flow.to_fetch.set()
        if self._writer.full or self._entry_count >= self.most_entries:
            await self.commit()

    def _add(self, done: Sequence[Done], at: int) -> int:
        """Add decided items to the part until it is full; return the first that is left."""
        while at < len(done):
            if self._writer.full or self._entry_count >= self.most_entries:
                break
            self._add_one(done[at])
            at += 1
        return at

    def _add_one(self, done: Done) -> None:
        row: int | None = None
        if not done.reason:
            row = self._writer.add(row_of(done, self.state.name))
        kind = "kept" if not done.reason else "skipped" if done.reason in SKIPPED else "failed"
        received, retrieved = 0, None
        if done.answer:
            facts = Received.of_json(done.answer)
            received, retrieved = facts.received_bytes, facts.retrieved
        self._counts.add(done.reason, done.former)
        self._remember(done, kind, row, received, retrieved)
        if done.former:
            self.progress.reconsidered("failed", done.former)
        if not done.reason:
            self.progress.decided("kept")
        else:
            self.progress.decided("failed" if done.reason in FAILED else "skipped", done.reason)

    def _remember(
        self, done: Done, kind: str, row: int | None, received: int, retrieved: datetime | None
    ) -> None:
        self._entries.append(
            Entry(
                source=self.state.index,
                seq=done.number,
                key=done.key,
                kind=kind,
                reason=done.reason,
                detail=done.detail,
                url=done.url,
                sha256=done.digest.hex() if done.digest else "",
                etag=done.etag,
                last_modified=done.last_modified,
                received_bytes=received,
                retrieved=retrieved,
                part=None if row is None else self.ledger.state.parts,
                row=row,
                item=(done.item or "{}") if done.host and done.reason in RETRIED else "",
            )
        )
        self._entry_count += 1
        if len(self._entries) >= _BATCH:
            self._batches.append(batch_of(self._entries))
            self._entries = []

    async def _state(self) -> SourceState:
        """Return the state after the commit, except what was spent."""
        number = self.state.finalised + self._entry_count
        position = await self.decisions.resume_point(number)
        flow = self.flow
        return replace(
            self.state,
            finalised=number,
            cursor=position.cursor,
            kind=position.kind,
            first=position.first,
            complete=flow.exhausted and number == flow.listed,
            counts=self._counts.copy(),
        )

    async def commit(self) -> None:
        """Write the part and the ledger; then forget what they hold."""
        state = replace(await self._state(), spent=self.spent())
        commit = await asyncio.to_thread(self._prepared, state)
        committed = Committed(
            number=commit.number,
            digest=commit.digest,
            source=state.index,
            finalised=state.finalised,
        )
        await self.decisions.intend(committed)
        if self.lease is not None:
            ticket, target = self.lease
            await asyncio.to_thread(ticket.check, target)
        await asyncio.to_thread(commit.write)
        listed, pending = await self.decisions.commit(committed, state.spent)
        self.state = state
        _require_exact(state, listed, pending)
        written = self.ledger.state.part
        if written is not None:
            self.progress.committed(written.rows, written.size)
        self._writer = PartWriter(self.size)
        self._entries, self._batches, self._entry_count = [], [], 0
        self._since = time.monotonic()

    def _prepared(self, state: SourceState) -> Commit:
        if self._entries:
            self._batches.append(batch_of(self._entries))
            self._entries = []
        sources = list(self.ledger.state.sources)
        sources[state.index] = state
        rows = self._writer.rows
        part = self._writer.finish() if rows else b""
        return self.ledger.prepared(self._batches, sources, part, rows)


def _require_exact(state: SourceState, listed: int, pending: int) -> None:
    """Raise unless every item that was listed is accounted for."""
    counts = state.counts
    decided = counts.kept + counts.skipped + counts.failed
    if decided + counts.retried + pending != listed or counts.decided != decided:
        raise RunFailed(
            f"items are lost or counted twice: {listed:,} were listed, and {counts.kept:,} kept, "
            f"{counts.skipped:,} skipped, {counts.failed:,} failed, {counts.retried:,} tried again "
            f"and {pending:,} pending; please report this"
        )
