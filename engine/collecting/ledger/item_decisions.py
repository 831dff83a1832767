"""Deciding items in the order of listing, and moving what is committed to the index.

Whether a text is a duplicate depends on all texts that the corpus kept before it, which are looked
up in the database.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from .database_schema import DONE, SOURCE_SPAN
from .item_table import ItemTable
from .listed_page import Done, Position, key_digest
from .source_state import SourceState, Spent

INTENT = "intent"
"""Name of the fact with the `Committed` that is about to be written to the ledger."""

APPLIED = "applied"
"""Name of the fact with the number of ledger objects in the index, and the last one's digest."""

_SPENT = "spent-"


@dataclass(frozen=True, kw_only=True)
class Committed:
    """A commit: the ledger object, and the number up to which the source is then decided."""

    number: int
    digest: str
    source: int
    finalised: int


class Decisions:
    """Decides the items of a table, and commits them."""

    def __init__(self, table: ItemTable) -> None:
        self._table, self._base = table, table.base

    async def next(self, number: int, most: int, most_bytes: int) -> list[Done]:
        """Decide the items from a number on, up to the first that is not done.

        Parameters
        ----------
        most, most_bytes
            Items, and bytes of their texts, after which to stop.
        """
        return await self._table.thread.call(partial(self._next, number, most, most_bytes))

    def _next(
        self, number: int, most: int, most_bytes: int, connection: sqlite3.Connection
    ) -> list[Done]:
        found: list[Done] = []
        rows = connection.execute(
            "SELECT number, state, key, url, item, answer, former, reason, detail, columns, etag, "  # noqa: S608
            "last_modified, items.text, held, host, "
            # Bodies of items that are not done would be read at every poll.
            f"CASE WHEN state = {DONE} THEN bodies.body END "
            "FROM items LEFT JOIN bodies USING (number) "
            "WHERE number >= ? AND number < ? ORDER BY number LIMIT ?",
            (self._base + number, self._base + SOURCE_SPAN, most),
        )
        for row in rows:
            if row[1] != DONE or row[0] != self._base + number + len(found):
                break
            done = self._decided(connection, row)
            found.append(done)
            most_bytes -= len(done.text)
            if most_bytes <= 0:
                break
        rows.close()
        return found

    def _decided(self, connection: sqlite3.Connection, row: Sequence[Any]) -> Done:
        key, reason, detail, digest = row[2], row[7], row[8], row[12]
        if digest is not None:
            reason, detail = self._repeated(connection, row[0], key, digest)
        return Done(
            number=row[0] - self._base,
            key=key,
            url=row[3],
            item=row[4],
            answer=row[5],
            former=row[6],
            reason=reason,
            detail=detail,
            columns=row[9],
            etag=row[10],
            last_modified=row[11],
            digest=digest,
            text=b"" if reason else row[15],
            held=row[13],
            host=row[14],
        )

    def _repeated(
        self, connection: sqlite3.Connection, number: int, key: str, digest: bytes
    ) -> tuple[str, str]:
        """Return why a text is not kept, if the corpus has it already; else note its digest."""
        known = connection.execute(
            "SELECT text FROM keys WHERE key = ?", (key_digest(self._table.source, key),)
        ).fetchone()
        if known and known[0] == digest:
            return "unchanged", ""
        first = connection.execute(
            "SELECT key FROM texts WHERE text = ? UNION ALL SELECT key FROM fresh WHERE text = ?",
            (digest, digest),
        ).fetchone()
        if first:
            return "duplicate", f"of {first[0]}"
        connection.execute("INSERT INTO fresh VALUES (?, ?, ?)", (digest, key, number))
        return "", ""

    async def resume_point(self, number: int) -> Position:
        """Return where listing resumes if only the ledger up to a number is left."""

        def work(connection: sqlite3.Connection) -> Position:
            first, cursor, kind, since = connection.execute(
                "SELECT first, cursor, kind, since FROM pages WHERE first >= ? AND first <= ? "
                "ORDER BY first DESC LIMIT 1",
                (self._base, self._base + number),
            ).fetchone()
            return Position(number=first - self._base, cursor=cursor, kind=kind, first=since)

        return await self._table.thread.call(work)

    async def intend(self, committed: Committed) -> None:
        """Note what is about to be written to the ledger."""
        await self._table.thread.call(partial(set_fact, INTENT, asdict(committed)))

    async def commit(self, committed: Committed, spent: Spent) -> tuple[int, int]:
        """Move items that the ledger holds from the tables to the index.

        Returns
        -------
        tuple of int
            How many items were listed so far, and how many of them are not committed.
        """

        def work(connection: sqlite3.Connection) -> tuple[int, int]:
            self._set_spent(spent, connection)
            apply_own(committed, self._table.source, connection)
            span = (self._base, self._base + SOURCE_SPAN)
            listed, pending = connection.execute(
                "SELECT (SELECT MAX(first) FROM pages WHERE first >= ? AND first < ?), COUNT(*) "
                "FROM items WHERE number >= ? AND number < ?",
                (*span, *span),
            ).fetchone()
            return listed - self._base, pending

        return await self._table.thread.call(work)

    async def spent(self, state: SourceState) -> Spent:
        """Return what all sessions have used: as last committed or noted, whichever is more."""

        def work(connection: sqlite3.Connection) -> Spent:
            received, seconds = fact(_SPENT + self._table.source, connection) or [0, 0.0]
            return Spent(
                received_bytes=max(received, state.spent.received_bytes),
                seconds=max(seconds, state.spent.seconds),
            )

        return await self._table.thread.call(work)

    async def note_spent(self, spent: Spent) -> None:
        """Note what all sessions have used, including for uncommitted items."""
        await self._table.thread.call(partial(self._set_spent, spent))

    def _set_spent(self, spent: Spent, connection: sqlite3.Connection) -> None:
        set_fact(_SPENT + self._table.source, [spent.received_bytes, spent.seconds], connection)


def apply_own(committed: Committed, source: str, connection: sqlite3.Connection) -> None:
    """Drop items that are committed, and add them to the index.

    If the digests of kept texts were lost with the connection, `index` has to add them.
    """
    base = committed.source * SOURCE_SPAN
    span = (base, base + committed.finalised)
    connection.executemany(
        "UPDATE keys SET etag = ?, last_modified = ?, text = COALESCE(?, text) WHERE key = ?",
        _validators(source, span, connection),
    )
    connection.execute("DELETE FROM items WHERE number >= ? AND number < ?", span)
    connection.execute("DELETE FROM bodies WHERE number >= ? AND number < ?", span)
    connection.execute(
        "DELETE FROM pages WHERE first >= ? AND first < "
        "(SELECT MAX(first) FROM pages WHERE first >= ? AND first <= ?)",
        (base, *span),
    )
    # More may be decided than is committed.
    connection.execute(
        "INSERT OR IGNORE INTO texts SELECT text, key FROM fresh WHERE number < ?", span[1:]
    )
    connection.execute("DELETE FROM fresh WHERE number < ?", span[1:])
    set_fact(APPLIED, [committed.number + 1, committed.digest], connection)


def _validators(
    source: str, span: tuple[int, int], connection: sqlite3.Connection
) -> Iterator[tuple[str, str, bytes | None, bytes]]:
    rows = connection.execute(
        "SELECT key, etag, last_modified, text FROM items WHERE number >= ? AND number < ? "
        "AND (text IS NOT NULL OR etag != '' OR last_modified != '')",
        span,
    ).fetchall()
    for key, etag, modified, text in rows:
        yield etag, modified, text, key_digest(source, key)


def index(
    sources: Sequence[SourceState],
    entries: Iterable[Mapping[str, Any]],
    connection: sqlite3.Connection,
) -> None:
    """Add entries of the ledger to the index."""
    identities = [state.identity for state in sources]
    for entry in entries:
        key, source = entry["key"], entry["source"]
        text = bytes.fromhex(entry["sha256"]) or None
        connection.execute(
            "INSERT INTO keys VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET "
            "number = MAX(number, excluded.number), etag = excluded.etag, "
            "last_modified = excluded.last_modified, text = COALESCE(excluded.text, text)",
            (
                key_digest(identities[source], key),
                source * SOURCE_SPAN + entry["seq"],
                entry["etag"],
                entry["last_modified"],
                text,
            ),
        )
        if entry["kind"] == "kept":
            connection.execute("INSERT OR IGNORE INTO texts VALUES (?, ?)", (text, key))


def fact(name: str, connection: sqlite3.Connection) -> Any:
    """Return a fact about the database; None if it is not there."""
    found = connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
    return json.loads(found[0]) if found else None


def set_fact(name: str, value: Any, connection: sqlite3.Connection) -> None:
    """Set a fact about the database."""
    connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(value)))
