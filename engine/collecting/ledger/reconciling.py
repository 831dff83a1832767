"""Opening the working database of a corpus, consistent with its ledger.

The ledger takes precedence. If the database is new, lost or damaged, or if another machine has
collected since, it is rebuilt from the ledger; uncommitted items are then fetched again.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

from ....storage.errors import ResultsDamaged
from .database_schema import SOURCE_SPAN, is_damaged, remove
from .database_thread import DatabaseDamaged, DatabaseThread
from .item_decisions import APPLIED, INTENT, Committed, apply_own, fact, index, set_fact
from .ledger import Ledger
from .source_state import SourceState

_log = logging.getLogger(__name__)

_DAMAGED = "the working database %s is damaged: rebuilding it from the ledger"

_CORPUS, _CLOSED = "corpus", "closed"

_INDEXED = ("source", "seq", "key", "kind", "sha256", "etag", "last_modified")


async def open_database(
    ledger: Ledger, path: Path, connect: Callable[[Path], DatabaseThread] = DatabaseThread
) -> DatabaseThread:
    """Return the working database of a corpus, consistent with its ledger.

    Parameters
    ----------
    path
        Its file, on a local disk.
    connect
        Opens it; for tests.

    Raises
    ------
    StorageRefused
        The file cannot be written, or another process uses it.
    """
    if path.exists() and is_damaged(path):
        _log.warning(_DAMAGED, path)
        remove(path)
    database = connect(path)
    try:
        if await _agrees(database, ledger):
            return database
        # Nothing is wrong: the corpus was begun again, or another machine has collected since.
        _log.info("rebuilding the working database %s from the ledger", path)
    except DatabaseDamaged:
        _log.warning(_DAMAGED, path)
    except BaseException:
        await database.close()
        raise
    await database.close()
    remove(path)
    database = connect(path)
    try:
        if not await _agrees(database, ledger):
            raise ResultsDamaged(f"{path} cannot be rebuilt from the ledger of {ledger.url}")
    except BaseException:
        await database.close()
        raise
    return database


async def begin_source(database: DatabaseThread, ledger: Ledger, state: SourceState) -> None:
    """Add a source to the ledger before it is listed, so that no other can take its number."""
    await _replace_sources(database, ledger, (*ledger.state.sources, state), state)


async def withdraw_source(database: DatabaseThread, ledger: Ledger, state: SourceState) -> None:
    """Remove the last source from the ledger, if nothing of it was listed.

    It may have a wrong name or option; its number is then for another.
    """
    await _replace_sources(database, ledger, tuple(ledger.state.sources[:-1]), state)


async def _replace_sources(
    database: DatabaseThread, ledger: Ledger, sources: tuple[SourceState, ...], changed: SourceState
) -> None:
    """Commit changed sources. The database keeps the items of those that stay."""
    commit = ledger.prepared([], sources, b"", 0)
    committed = Committed(
        number=commit.number, digest=commit.digest, source=changed.index, finalised=0
    )
    await database.call(partial(set_fact, INTENT, asdict(committed)))
    await asyncio.to_thread(commit.write)
    await database.call(partial(apply_own, committed, changed.identity))
    await database.call(partial(_seed, sources))


async def mark_closed(database: DatabaseThread) -> None:
    """Note that a database is consistent, as the last call before it is closed."""
    await database.call(partial(set_fact, _CLOSED, True))


async def _agrees(database: DatabaseThread, ledger: Ledger) -> bool:
    """Apply the ledger to the database; return whether the database belongs to it."""
    applied = await database.call(partial(_begin, ledger.identity))
    if applied is None or not _is_beginning(applied, ledger):
        return False
    number = applied[0]
    if number < ledger.count:
        intent = await database.call(partial(fact, INTENT))
        own = Committed(**intent) if intent else None
        is_own = own and (own.number, own.digest) == (number, ledger.digest(number))
        if own and is_own and number + 1 == ledger.count:
            source = ledger.state.sources[own.source].identity
            await database.call(partial(apply_own, own, source))
        elif await database.call(_has_pages):
            return False  # what is listed here may have been collected by another machine
    for one in range(number, ledger.count):
        await database.call(partial(_index, ledger, one))
    await database.call(partial(_seed, ledger.state.sources))
    return True


def _begin(identity: str, connection: sqlite3.Connection) -> tuple[int, str] | None:
    """Return how much of the ledger is applied; None if it is that of another corpus."""
    connection.execute("DELETE FROM facts WHERE name = ?", (_CLOSED,))
    known = fact(_CORPUS, connection)
    if known is None:
        set_fact(_CORPUS, identity, connection)
        set_fact(APPLIED, [0, ""], connection)
        return 0, ""
    number, digest = fact(APPLIED, connection)
    return (number, digest) if known == identity else None


def _is_beginning(applied: tuple[int, str], ledger: Ledger) -> bool:
    number, digest = applied
    return number <= ledger.count and (number == 0 or ledger.digest(number - 1) == digest)


def _has_pages(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM pages LIMIT 1").fetchone() is not None


def _index(ledger: Ledger, number: int, connection: sqlite3.Connection) -> None:
    index(ledger.state.sources, ledger.entries(number, _INDEXED), connection)
    set_fact(APPLIED, [number + 1, ledger.digest(number)], connection)


def _seed(sources: tuple[SourceState, ...], connection: sqlite3.Connection) -> None:
    """Note where the listing of each source resumes, unless it is known."""
    for state in sources:
        base = state.index * SOURCE_SPAN
        known = connection.execute(
            "SELECT 1 FROM pages WHERE first >= ? AND first < ?", (base, base + SOURCE_SPAN)
        ).fetchone()
        if not known:
            connection.execute(
                "INSERT INTO pages VALUES (?, ?, ?, ?)",
                (base + state.finalised, state.cursor, state.kind, state.first),
            )
