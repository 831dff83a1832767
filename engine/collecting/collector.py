"""`Collector`: opens a corpus, runs a session of its collection, and closes it.

What a session does is in `pipeline`; arguments and displays are in `collect`.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...storage.errors import LeaseLost, StorageRefused, UsageError
from ...storage.store.leases.lease import LeaseTicket
from ...storage.targets.target import Target
from ..monitoring.collect_progress import CollectProgress
from .collect_limits import Limits
from .extraction.documents.html_pages.html_extractors import TRAFILATURA
from .ledger.database_schema import remove
from .ledger.database_thread import DatabaseDamaged, DatabaseThread
from .ledger.item_decisions import Decisions
from .ledger.item_table import ItemTable
from .ledger.ledger import Ledger
from .ledger.listed_page import Position
from .ledger.reconciling import begin_source, mark_closed, open_database, withdraw_source
from .ledger.retrying import retry_failures
from .ledger.source_state import SourceState, begun, settings_of
from .outcome import FAILED
from .pipeline.item_flow import Flow
from .pipeline.session import Pace, Session, Tools
from .source import Source

_log = logging.getLogger(__name__)

_DATABASE = "items.sqlite"

ToolBox = Callable[[Path], AbstractAsyncContextManager[Tools]]
"""Makes the tools of a session, given a folder for downloads."""


@dataclass(frozen=True, kw_only=True)
class CollectSpec:
    """What to collect, and where to.

    Attributes
    ----------
    target
        The corpus.
    folder
        For the working database and downloads, on a local disk.
    html
        The extractor for pages, of the tools too.
    retry_failed, refresh, append
        See `collect`.
    """

    source: Source
    target: Target
    folder: Path
    html: str = TRAFILATURA
    limits: Limits = field(default_factory=Limits)
    pace: Pace = field(default_factory=Pace)
    retry_failed: bool = False
    refresh: bool = False
    append: bool = False


class Collector:
    """Collects a source into a corpus.

    Parameters
    ----------
    toolbox
        Makes what sessions work with.
    lease
        The corpus's lease; None in tests.
    connect
        Opens the working database; for tests.
    """

    def __init__(
        self,
        spec: CollectSpec,
        toolbox: ToolBox,
        progress: CollectProgress,
        lease: tuple[LeaseTicket, Target] | None = None,
        connect: Callable[[Path], DatabaseThread] = DatabaseThread,
    ) -> None:
        self._spec, self._toolbox, self._progress = spec, toolbox, progress
        self._lease, self._connect = lease, connect
        self._session: Session | None = None
        self._interrupted = False

    def interrupt(self) -> None:
        """Ask the session to end in an orderly way; called in the loop's thread."""
        self._interrupted = True
        if self._session is not None:
            self._session.interrupt()

    async def run(self) -> Flow:
        """Collect until the session ends.

        Returns
        -------
        Flow
            How it ended.

        Raises
        ------
        UsageError
            The folder does not fit: see `Ledger.open` and `_own_state`.
        PaniniError
            Collecting has failed. What was decided is committed where possible.
        """
        settings = settings_of(self._spec.source)
        ledger = Ledger.open(self._spec.target)
        self._own_state(ledger, settings)
        try:
            flow = await self._collect(ledger, settings)
        except DatabaseDamaged as error:  # rebuilt from the ledger, and tried once more
            _log.warning("%s; rebuilding it from the ledger", error)
            remove(self._path)
            ledger = Ledger.open(self._spec.target)
            flow = await self._collect(ledger, settings)
        if flow.error is None:
            self._write_state(ledger, flow)
            return flow
        if not isinstance(flow.error, LeaseLost):
            try:
                self._write_state(ledger, flow)
            except Exception:  # noqa: BLE001 (what has failed before is what the user needs to know)
                _log.warning("could not write the state of %s", ledger.url, exc_info=True)
        raise flow.error

    async def _collect(self, ledger: Ledger, settings: dict[str, Any]) -> Flow:
        spec = self._spec
        state = self._own_state(ledger, settings)
        async with self._database(ledger) as database:
            if state.index == len(ledger.state.sources):
                await begin_source(database, ledger, state)
            table = ItemTable(database, state)
            if spec.retry_failed:
                await retry_failures(ledger, table, state)
            if spec.refresh and not _is_refreshing(state, await table.position()):
                await table.restart("refreshing")
            await self._report(ledger, table, state)
            async with self._toolbox(spec.folder) as tools:
                self._session = Session(
                    source=spec.source,
                    tools=tools,
                    table=table,
                    ledger=ledger,
                    state=state,
                    limits=spec.limits,
                    pace=spec.pace,
                    progress=self._progress,
                    lease=self._lease,
                )
                if self._interrupted:
                    self._session.interrupt()
                flow = await self._session.run()
            if isinstance(flow.error, DatabaseDamaged):
                raise flow.error
            begun_for_nothing = not flow.listed and not flow.exhausted
            is_last = state.index == len(ledger.state.sources) - 1
            if begun_for_nothing and is_last and not isinstance(flow.error, OSError):
                await withdraw_source(database, ledger, state)
            return flow

    @asynccontextmanager
    async def _database(self, ledger: Ledger) -> AsyncIterator[DatabaseThread]:
        database = await open_database(ledger, self._path, self._connect)
        try:
            yield database
            with suppress(
                StorageRefused, DatabaseDamaged
            ):  # the session has failed for that, or will
                await mark_closed(database)
        finally:
            await database.close()

    @property
    def _path(self) -> Path:
        return self._spec.folder / _DATABASE

    def _own_state(self, ledger: Ledger, settings: dict[str, Any]) -> SourceState:
        """Return the state of the source; a new one if it is new to the corpus.

        Raises
        ------
        UsageError
            The corpus was collected from this source with other settings.
        """
        name = self._spec.source.name
        sources = ledger.state.sources
        new = begun(len(sources), name, settings, self._spec.html)
        for state in sources:
            if state.identity == new.identity:
                return state
        same = [state for state in sources if state.name == name]
        if same and not self._spec.append:
            raise UsageError(
                f"{ledger.url} was collected from {name} with other settings: "
                f"{_differences(same[-1], new)}. Collect into another folder, or add to what "
                "is there (--append, append=True)"
            )
        return new

    async def _report(self, ledger: Ledger, table: ItemTable, state: SourceState) -> None:
        """Report what earlier sessions did, and that this one has begun."""
        counts = state.counts
        listed = (await table.position()).number
        spent = await Decisions(table).spent(state)
        _, retried = await table.pending()  # which still count as failed
        self._progress.resumed(
            listed=listed - counts.retried - retried,
            kept=counts.kept,
            not_kept={
                ("failed" if reason in FAILED else "skipped", reason): count
                for reason, count in counts.reasons.items()
            },
            rows=ledger.state.rows,
            nbytes=ledger.state.size,
            received=spent.received_bytes,
            seconds=spent.seconds,
        )
        ledger.write_state({"complete": False, "ended": None, **_totals(ledger)})

    def _write_state(self, ledger: Ledger, flow: Flow) -> None:
        complete = all(state.complete for state in ledger.state.sources)
        facts = {"complete": complete, "ended": flow.ending, "why": flow.why, **_totals(ledger)}
        ledger.write_state(facts)


def _is_refreshing(state: SourceState, position: Position) -> bool:
    """Return whether a refresh of a source has not listed everything yet."""
    at_the_end = state.complete and position.first == state.first
    return position.kind == "refreshing" and not at_the_end


def _differences(state: SourceState, new: SourceState) -> str:
    """Return the settings that differ, with their old and new values."""
    if state.html != new.html:
        return f"html={state.html!r:.60}, now {new.html!r:.60}"
    before, now = state.settings, new.settings
    names = [n for n in sorted({*before, *now}) if before.get(n) != now.get(n)]
    return ", ".join(f"{n}={before.get(n)!r:.60}, now {now.get(n)!r:.60}" for n in names[:4])


def _totals(ledger: Ledger) -> dict[str, Any]:
    return {
        "parts": ledger.state.parts,
        "rows": ledger.state.rows,
        "bytes": ledger.state.size,
        "sources": [state.to_json() for state in ledger.state.sources],
    }
