"""The tables of the working database: what is not committed yet, and an index of the rest.

It can be rebuilt from the ledger; items that were not committed are then fetched again.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

LISTED, FETCHED, DONE = 0, 1, 2
"""States of an item: to be fetched; its content is stored; its text or refusal is stored."""

SOURCE_SPAN = 1 << 40
"""Item numbers per source: an item's row is the source's index times this, plus its number."""

_WORTH_MAKING_SMALL = 32 << 20
"""Bytes of free pages with which the file is made small when it is closed."""

_VERSION = 1

_TABLES = f"""
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE pages (first INTEGER PRIMARY KEY, cursor TEXT, kind TEXT NOT NULL, since INTEGER);
CREATE TABLE items (
  number INTEGER PRIMARY KEY,
  state INTEGER NOT NULL,
  host TEXT NOT NULL,
  key TEXT NOT NULL,
  url TEXT NOT NULL,
  item TEXT NOT NULL,
  etag TEXT NOT NULL,
  last_modified TEXT NOT NULL,
  former TEXT NOT NULL,
  held INTEGER NOT NULL,
  answer TEXT NOT NULL DEFAULT '',
  reason TEXT NOT NULL DEFAULT '',
  detail TEXT NOT NULL DEFAULT '',
  columns TEXT NOT NULL DEFAULT '',
  text BLOB
);
CREATE TABLE bodies (number INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE INDEX waiting ON items (number) WHERE state = {LISTED};
CREATE INDEX waiting_by_host ON items (host, number) WHERE state = {LISTED};
CREATE INDEX fetched ON items (number) WHERE state = {FETCHED};
CREATE TABLE keys (
  key BLOB PRIMARY KEY,
  number INTEGER NOT NULL,
  etag TEXT NOT NULL DEFAULT '',
  last_modified TEXT NOT NULL DEFAULT '',
  text BLOB
) WITHOUT ROWID;
CREATE TABLE texts (text BLOB PRIMARY KEY, key TEXT NOT NULL) WITHOUT ROWID;
"""
"""`facts` describe the database. A row of `pages` has the cursor by which items from `first` on are
listed. `items` (with digests of their texts) and `bodies` (contents, later texts) hold uncommitted
items. `keys` has every item by a digest of its source and key, with its latest number, validators
and digest of its text. `texts` has the digests of the texts of committed rows."""


def prepare(path: Path) -> sqlite3.Connection:
    """Return a connection to a database, in autocommit mode; make its tables if it is new.

    Raises
    ------
    sqlite3.Error
        It is damaged, in use, or cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None, timeout=10, cached_statements=256)
    try:
        # Only one process uses it, so WAL needs no shared memory, which network folders lack.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA cache_size = -32768")
        connection.execute("PRAGMA temp_store = FILE")
        connection.execute("PRAGMA wal_autocheckpoint = 4000")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            connection.executescript(
                f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {_VERSION}; COMMIT;"
            )
        elif version != _VERSION:
            raise sqlite3.DatabaseError(f"its layout version is {version}, not {_VERSION}")
        # Texts of uncommitted rows, lost with the connection, as these rows are decided again.
        connection.execute(
            "CREATE TEMP TABLE fresh (text BLOB PRIMARY KEY, key TEXT NOT NULL, number INTEGER) "
            "WITHOUT ROWID"
        )
    except BaseException:
        connection.close()
        raise
    return connection


def give_space_back(connection: sqlite3.Connection) -> None:
    """Make the file small again, if most of it held texts that are in the corpus by now."""
    free, pages, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("freelist_count", "page_count", "page_size")
    )
    if free * size >= _WORTH_MAKING_SMALL and 2 * free > pages:
        connection.execute("VACUUM")


def remove(path: Path) -> None:
    """Remove a database that is not open."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def is_damaged(path: Path) -> bool:
    """Return whether a database is damaged. All of it is read if it was not closed properly."""
    try:
        connection = prepare(path)
    except sqlite3.DatabaseError as error:
        return not isinstance(error, sqlite3.OperationalError)
    try:
        closed = connection.execute("SELECT 1 FROM facts WHERE name = 'closed'").fetchone()
        found = closed or connection.execute("PRAGMA quick_check(1)").fetchone()
        return found[0] not in (1, "ok")
    except sqlite3.DatabaseError:
        return True
    finally:
        connection.close()
