"""`shown`: makes texts from outside safe for messages."""

from __future__ import annotations

_LONGEST = 120


def shown(text: str) -> str:
    r"""Return a text from outside, shortened, as printable ASCII on one line.

    Examples
    --------
    >>> shown("a\r\nb é"), len(shown("x" * 999))
    ('a\\r\\nb \\xe9', 120)
    """
    short = text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
    return "".join(
        char if char.isascii() and char.isprintable() else ascii(char)[1:-1] for char in short
    )
