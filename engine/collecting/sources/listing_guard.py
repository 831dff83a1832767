"""Bounds on what services list: `ListingGuard` against endless lists, and `ANSWER_BYTES`."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from ....storage.errors import UsageError
from ..listed_item import Item
from ..outcome import NotKept

ANSWER_BYTES = 32 << 20
"""Size of the largest answer to parse, in bytes. arXiv's pages, of at most 3,500 records, have a
quarter of it; XML of nothing but empty elements takes thirty times its size once it is parsed."""

MOST_EMPTY_PAGES = 10
"""Number of consecutive pages without items after which a list counts as endless."""


class ListingGuard:
    """Detects lists that go in circles, with eight bytes per page.

    Parameters
    ----------
    service
        Its name, for messages.
    """

    def __init__(self, service: str) -> None:
        self._service = service
        self._tokens: set[bytes] = set()
        self._pages: set[bytes] = set()
        self._empty = 0

    def follows(self, token: str) -> None:
        """Note the token with which the next page is requested; empty at the end of the list.

        Raises
        ------
        NotKept
            The token was used before.
        """
        if token:
            self._note(self._tokens, token, "sent the same resumption token twice")

    def lists(self, items: Sequence[Item]) -> None:
        """Note the items of a page.

        Raises
        ------
        NotKept
            The same page was listed before, or pages stay empty.
        """
        self._empty = 0 if items else self._empty + 1
        if self._empty > MOST_EMPTY_PAGES:
            raise NotKept("bad-record", f"{self._service} sent {self._empty} pages without items")
        if items:
            self._note(self._pages, "\n".join(one.key for one in items), "sent a page twice")

    def _note(self, seen: set[bytes], what: str, message: str) -> None:
        digest = blake2b(what.encode(errors="replace"), digest_size=8).digest()
        if digest in seen:
            raise NotKept("bad-record", f"{self._service} {message}: its list has no end")
        seen.add(digest)


def number_of(cursor: str, service: str) -> int:
    """Parse a cursor that counts items.

    Raises
    ------
    UsageError
        It is not a number.
    """
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 16):
        raise UsageError(f"not a cursor of {service}: {cursor[:80]!r}")
    return int(cursor)
