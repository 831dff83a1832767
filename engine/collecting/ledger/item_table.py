"""`ItemTable`: the items of one source that are listed and not committed yet.

How they are decided and committed is in `item_decisions`. States are written as numbers, as the
database's partial indices need them: 0 is `LISTED`, 1 `FETCHED`, 2 `DONE`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from .database_schema import SOURCE_SPAN
from .database_thread import DatabaseThread
from .listed_page import Fetched, NewItem, Position, Waiting, key_digest
from .source_state import Pass, SourceState

_SCANNED = 2000
"""Maximum number of items that are scanned for further hosts."""


@dataclass(frozen=True, kw_only=True)
class Added:
    """Result of adding items: how many were new, their bytes, and whether some were left out."""

    items: int
    held: int
    cut: bool


@dataclass(frozen=True, kw_only=True)
class Feed:
    """Items to be fetched, and the number up to which items were scanned for hosts."""

    items: Sequence[Waiting]
    scanned: int


class ItemTable:
    """The items of a source in the working database, by their numbers."""

    def __init__(self, thread: DatabaseThread, state: SourceState) -> None:
        self.thread = thread
        self.source = state.identity
        self.base = state.index * SOURCE_SPAN
        """Row of the source's first item."""

    # --- listing ----------------------------------------------------------------------------------

    async def position(self) -> Position:
        """Return where listing resumes."""
        return await self.thread.call(self._position)

    def _position(self, connection: sqlite3.Connection) -> Position:
        first, cursor, kind, since = connection.execute(
            "SELECT first, cursor, kind, since FROM pages WHERE first >= ? AND first < ? "
            "ORDER BY first DESC LIMIT 1",
            (self.base, self.base + SOURCE_SPAN),
        ).fetchone()
        return Position(number=first - self.base, cursor=cursor, kind=kind, first=since)

    async def add_page(self, items: Sequence[NewItem], cursor: str, most: int | None) -> Added:
        """Store the new items of a page, and the position after it.

        Parameters
        ----------
        most
            Maximum number of items to add; None means unlimited. If some are left out, the page
            will be listed again.
        """
        return await self.thread.call(partial(self._add_page, items, cursor, most))

    def _add_page(
        self,
        items: Sequence[NewItem],
        cursor: str | None,
        most: int | None,
        connection: sqlite3.Connection,
    ) -> Added:
        before = self._position(connection)
        number = before.number
        held, cut = 0, False
        for item in items:
            digest = key_digest(self.source, item.key)
            known = self._known(connection, digest)
            if known and known[0] >= before.first and not item.former:
                continue
            if most is not None and number - before.number >= most:
                cut = True
                break
            validators = known[1:] if known and before.kind == "refreshing" else ("", "")
            self._insert(connection, item, number, validators)
            connection.execute(
                "INSERT INTO keys (key, number) VALUES (?, ?) "
                "ON CONFLICT (key) DO UPDATE SET number = excluded.number",
                (digest, self.base + number),
            )
            held += len(item.body or b"")
            number += 1
        after = replace(before, number=number, cursor=before.cursor if cut else cursor)
        self._set_position(connection, after)
        return Added(items=number - before.number, held=held, cut=cut)

    def _known(self, connection: sqlite3.Connection, digest: bytes) -> tuple[int, str, str] | None:
        """Return the number and the validators with which an item was last listed."""
        found = connection.execute(
            "SELECT number, etag, last_modified FROM keys WHERE key = ?", (digest,)
        ).fetchone()
        return (found[0] - self.base, found[1], found[2]) if found else None

    def _insert(
        self,
        connection: sqlite3.Connection,
        item: NewItem,
        number: int,
        validators: tuple[str, str],
    ) -> None:
        row = self.base + number
        connection.execute(
            "INSERT INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row,
                item.state,
                item.host,
                item.key,
                item.url,
                item.item,
                *validators,
                item.former,
                len(item.body or b""),
                item.answer,
                item.reason,
                item.detail,
                item.columns,
                item.digest,
            ),
        )
        if item.body is not None:
            connection.execute("INSERT INTO bodies VALUES (?, ?)", (row, item.body))

    def _set_position(self, connection: sqlite3.Connection, position: Position) -> None:
        connection.execute(
            "INSERT OR REPLACE INTO pages VALUES (?, ?, ?, ?)",
            (self.base + position.number, position.cursor, position.kind, position.first),
        )

    async def restart(self, kind: Pass) -> None:
        """List from the beginning again."""

        def work(connection: sqlite3.Connection) -> None:
            number = self._position(connection).number
            self._set_position(
                connection, Position(number=number, cursor=None, kind=kind, first=number)
            )

        await self.thread.call(work)

    async def retry(self, items: Mapping[int, NewItem]) -> Added:
        """Add failed items again, by their former numbers, unless they were added since."""

        def work(connection: sqlite3.Connection) -> Added:
            new = []
            for number, item in items.items():
                known = self._known(connection, key_digest(self.source, item.key))
                if known is None or known[0] <= number:
                    new.append(item)
            return self._add_page(new, self._position(connection).cursor, None, connection)

        return await self.thread.call(work)

    async def pending(self) -> tuple[int, int]:
        """Return the bytes stored for uncommitted items, and how many of these are retried."""

        def work(connection: sqlite3.Connection) -> tuple[int, int]:
            held, retried = connection.execute(
                "SELECT COALESCE(SUM(held), 0), COALESCE(SUM(former != ''), 0) FROM items "
                "WHERE number >= ? AND number < ?",
                (self.base, self.base + SOURCE_SPAN),
            ).fetchone()
            return int(held), int(retried)

        return await self.thread.call(work)

    # --- fetching ---------------------------------------------------------------------------------

    async def feed(
        self, wanted: Mapping[str, tuple[int, int]], scan: int, asked: Collection[str], hosts: int
    ) -> Feed:
        """Return items to be fetched, those of each host in order.

        Parameters
        ----------
        wanted
            By host, the number after which its items are wanted, and how many.
        scan
            The number from which items are scanned for further hosts.
        asked
            The hosts that are known already, which include those of all earlier items.
        hosts
            Maximum number of further hosts; the first item of each is returned.
        """
        return await self.thread.call(partial(self._feed, wanted, scan, asked, hosts))

    def _feed(
        self,
        wanted: Mapping[str, tuple[int, int]],
        scan: int,
        asked: Collection[str],
        hosts: int,
        connection: sqlite3.Connection,
    ) -> Feed:
        found: list[Waiting] = []
        for host, (after, most) in wanted.items():
            found += self._waiting(
                connection, "host = ? AND number > ?", (host, self.base + after), most
            )
        known = set(asked)
        rows = connection.execute(
            "SELECT number, host FROM items WHERE state = 0 AND number >= ? "
            "AND number < ? ORDER BY number LIMIT ?",
            (self.base + scan, self.base + SOURCE_SPAN, _SCANNED),
        ).fetchall()
        for number, host in rows:
            if host not in known:
                if hosts <= 0:
                    break
                known.add(host)
                hosts -= 1
                found += self._waiting(connection, "number >= ?", (number,), 1)
            scan = number - self.base + 1
        else:
            if len(rows) < _SCANNED:
                scan = max(scan, self._position(connection).number)
        return Feed(items=found, scanned=scan)

    async def first_waiting(self, most: int) -> list[Waiting]:
        """Return the first items to be fetched, whatever their hosts."""
        work = partial(self._waiting, where="number >= ?", values=(self.base,), most=most)
        return await self.thread.call(work)

    def _waiting(
        self, connection: sqlite3.Connection, where: str, values: tuple[object, ...], most: int
    ) -> list[Waiting]:
        rows = connection.execute(
            "SELECT number, host, url, item, etag, last_modified FROM items "  # noqa: S608
            f"WHERE state = 0 AND {where} AND number < ? ORDER BY number LIMIT ?",
            (*values, self.base + SOURCE_SPAN, most),
        )
        return [
            Waiting(
                number=row[0] - self.base,
                host=row[1],
                url=row[2],
                item=row[3],
                etag=row[4],
                last_modified=row[5],
            )
            for row in rows
        ]

    async def store_content(
        self, number: int, body: bytes, answer: str, etag: str, last_modified: str
    ) -> None:
        """Store what was fetched for an item."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE items SET state = 1, answer = ?, etag = ?, last_modified = ?, "
                "held = ? WHERE number = ?",
                (answer, etag, last_modified, len(body), self.base + number),
            )
            connection.execute(
                "INSERT OR REPLACE INTO bodies VALUES (?, ?)", (self.base + number, body)
            )

        await self.thread.call(work)

    # --- extracting -------------------------------------------------------------------------------

    async def fetched(self, most: int, apart_from: Collection[int]) -> list[int]:
        """Return the first items with a content that is not being extracted."""

        def work(connection: sqlite3.Connection) -> list[int]:
            rows = connection.execute(
                "SELECT number FROM items WHERE state = 1 AND number >= ? "
                "AND number < ? ORDER BY number LIMIT ?",
                (self.base, self.base + SOURCE_SPAN, most + len(apart_from)),
            )
            numbers = [row[0] - self.base for row in rows]
            return [number for number in numbers if number not in apart_from][:most]

        return await self.thread.call(work)

    async def content(self, number: int) -> Fetched:
        """Return an item with its content."""

        def work(connection: sqlite3.Connection) -> Fetched:
            key, url, item, answer, body = connection.execute(
                "SELECT key, url, item, answer, body FROM items JOIN bodies USING (number) "
                "WHERE number = ?",
                (self.base + number,),
            ).fetchone()
            return Fetched(number=number, key=key, url=url, item=item, answer=answer, body=body)

        return await self.thread.call(work)

    async def store_text(self, number: int, text: bytes, digest: bytes, columns: str) -> None:
        """Replace an item's content by its text and columns."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE items SET state = 2, columns = ?, text = ?, held = ? WHERE number = ?",
                (columns, digest, len(text), self.base + number),
            )
            connection.execute(
                "INSERT OR REPLACE INTO bodies VALUES (?, ?)", (self.base + number, text)
            )

        await self.thread.call(work)

    async def store_refusal(self, number: int, reason: str, detail: str) -> None:
        """Replace an item's content by the reason for which it is not kept."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE items SET state = 2, reason = ?, detail = ?, held = 0 WHERE number = ?",
                (reason, detail, self.base + number),
            )
            connection.execute("DELETE FROM bodies WHERE number = ?", (self.base + number,))

        await self.thread.call(work)
