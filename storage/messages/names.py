"""Names from outside in messages: told apart at sight, abridged, and lists of them bounded.

The names of columns come from headers, keys and schemas, so they may be of any length, hold
characters that cannot be seen (a space at the end, a byte-order mark), or that cannot be stored.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches

MOST_NAMES = 20
"""Names that a list in a message has at most."""

MOST_CHARACTERS = 60
"""Characters of a name that a message shows at most."""

_COMPARED_NAMES = 2000  # difflib takes about 20 µs for each
_LEAST_LIKENESS = 0.7

_LOOK_LATIN = (
    "ARMENIAN",
    "CHEROKEE",
    "COMBINING",
    "CYRILLIC",
    "FULLWIDTH",
    "GREEK",
    "MATHEMATICAL",
)
"""Beginnings of the Unicode names of characters that look like Latin letters, or change one."""


def storable(text: str) -> str:
    r"""Return a text that can be stored as UTF-8, with lone surrogates escaped.

    >>> storable("a\udcff.txt"), storable("ā.txt")
    ('a\\udcff.txt', 'ā.txt')
    """
    return text.encode("utf-8", "backslashreplace").decode()


def quoted(name: str) -> str:
    r"""Return a name in quotes, abridged, with what cannot be seen or told apart escaped.

    >>> print(quoted("text"), quoted("text\xa0"), quoted("t\u0435xt"))
    'text' 'text\xa0' 't\u0435xt'
    """
    short = name if len(name) <= MOST_CHARACTERS else f"{name[: MOST_CHARACTERS - 3]}..."
    return ascii(short) if _misleading(short) else repr(short)


def listed(names: Iterable[str]) -> str:
    r"""Return names separated by commas, in quotes where they need them; "none" if there are none.

    >>> listed(["id", "text "])
    "id, 'text '"
    >>> listed(map(str, range(100_000))).endswith("18, 19, ... and 99,980 more")
    True
    """
    every = list(names)
    shown = [_bare_or_quoted(name) for name in every[:MOST_NAMES]]
    more = len(every) - len(shown)
    return ", ".join([*shown, *([f"... and {more:,} more"] if more else [])]) or "none"


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return a question that offers the name most like another; empty if none is like it.

    >>> did_you_mean("text", ["id", "Text "]), did_you_mean("text", ["id", "body"])
    ("; did you mean 'Text '?", '')
    """
    wanted = _folded(name)
    alike: dict[str, str] = {}
    for one in names:
        if len(one) <= 2 * MOST_CHARACTERS:
            alike.setdefault(_folded(one), one)
    if wanted not in alike:
        some = list(alike)[:_COMPARED_NAMES]
        found = get_close_matches(wanted, some, n=1, cutoff=_LEAST_LIKENESS)
        if not found:
            return ""
        wanted = found[0]
    return f"; did you mean {quoted(alike[wanted])}?"


def _bare_or_quoted(name: str) -> str:
    plain = name.isprintable() and name == name.strip() and not set(name) & set(",;'\"")
    if name and plain and len(name) <= MOST_CHARACTERS and not _misleading(name):
        return name
    return quoted(name)


def _misleading(name: str) -> bool:
    """Return whether characters of other scripts stand among Latin letters, or change them."""
    if name.isascii() or not any("a" <= letter <= "z" for letter in name.lower()):
        return False
    return any(unicodedata.name(one, "").startswith(_LOOK_LATIN) for one in name)


def _folded(name: str) -> str:
    """Return a name without what cannot be seen, for comparison."""
    visible = "".join(
        one for one in unicodedata.normalize("NFKC", name) if unicodedata.category(one) != "Cf"
    )
    return visible.strip(" \t\r\n'\"").casefold()
