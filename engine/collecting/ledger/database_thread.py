"""`DatabaseThread`: a SQLite database in a thread of its own, for use from asyncio.

Calls that wait at the same time share a transaction. The tables are defined in `database_schema`.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from ....storage.errors import PaniniError, StorageRefused
from .database_schema import give_space_back, prepare

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

_MOST_TOGETHER = 256
"""Maximum number of calls in one transaction."""


class DatabaseDamaged(PaniniError, OSError):
    """The database is damaged and must be rebuilt from the ledger."""


class DatabaseThread:
    """Calls functions with a connection, in the order in which they are given.

    When a call returns, its transaction was handed to the operating system, so it survives a kill
    of the process. A power failure may undo the last transactions; their work is then repeated.

    If a call raises, its transaction is rolled back, including the calls that share it: the
    collector ends.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._queue: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="paninifs-ledger", daemon=True)
        self._thread.start()

    async def call(self, work: Work[T]) -> T:
        """Call a function with the connection, and return its result.

        The function is called even if the caller is cancelled meanwhile.

        Raises
        ------
        DatabaseDamaged
            The database is damaged.
        StorageRefused
            The disk is full, or the file cannot be written.
        """
        call = _Call(work)
        self._queue.put(call)
        result: T = await call.future
        return result

    async def close(self) -> None:
        """Close the connection after the last call."""
        self._queue.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def _work(self) -> None:
        connection: sqlite3.Connection | None = None
        opening: Exception | None = None
        try:
            connection = prepare(self._path)
        except Exception as error:  # noqa: BLE001 (given to the first caller)
            opening = error
        while calls := self._next():
            if connection is None:
                assert opening is not None
                self._settle(calls, self._explained(opening))
            else:
                self._transact(connection, calls)
        if connection is not None:
            with suppress(sqlite3.Error):  # it is large, that is all
                give_space_back(connection)
            connection.close()

    def _next(self) -> list[_Call]:
        """Return the calls that wait; an empty list at the end."""
        first = self._queue.get()
        if first is None:
            return []
        calls = [first]
        with suppress(Empty):
            while len(calls) < _MOST_TOGETHER:
                call = self._queue.get_nowait()
                if call is None:
                    self._queue.put(None)  # for the next time
                    break
                calls.append(call)
        return calls

    def _transact(self, connection: sqlite3.Connection, calls: list[_Call]) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            for call in calls:
                call.result = call.work(connection)
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 (given to the callers)
            with suppress(sqlite3.Error):  # on a failing disk; what failed first is raised
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            self._settle(calls, self._explained(error))
        else:
            self._settle(calls, None)

    def _settle(self, calls: list[_Call], error: Exception | None) -> None:
        """Give the callers their results, or all of them an error."""
        calls[0].loop.call_soon_threadsafe(_settled, calls, error)

    def _explained(self, error: Exception) -> Exception:
        if not isinstance(error, sqlite3.Error):
            return error
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None:
            code &= 0xFF  # the higher bits are details
        refused = {
            sqlite3.SQLITE_FULL: "its disk is full",
            sqlite3.SQLITE_READONLY: "it cannot be written",
            sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
            sqlite3.SQLITE_BUSY: "another process uses it",
            sqlite3.SQLITE_IOERR: "its disk fails",
        }
        if code in refused:
            explained: Exception = StorageRefused(
                f"{self._path}: {refused[code]} ({error}); give another folder as cache="
            )
        elif code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR):
            explained = DatabaseDamaged(f"{self._path} is damaged: {error}")
        else:
            return error
        explained.__cause__ = error
        return explained


class _Call:
    def __init__(self, work: Work[Any]) -> None:
        self.work = work
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.result: Any = None


def _settled(calls: list[_Call], error: Exception | None) -> None:
    for call in calls:
        if call.future.done():  # its caller was cancelled
            continue
        if error is None:
            call.future.set_result(call.result)
        else:
            call.future.set_exception(error)
