"""Fits names into a picture: makes them printable, measures their columns, and cuts long ones."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable


def printable(text: str) -> str:
    r"""Return a text on one line, with invisible and control characters escaped.

    >>> printable("a\nb\x1b")
    'a\\nb\\x1b'
    """
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape", "surrogatepass").decode()
        for one in text
    )


def columns(text: str) -> int:
    """Return the columns that a text takes in a fixed-width font.

    >>> columns("dhatu"), columns("語"), columns("a\u0304")
    (5, 2, 1)
    """
    return sum(
        0 if unicodedata.combining(one) else 1 + (unicodedata.east_asian_width(one) in "WF")
        for one in text
    )


def cut(text: str, most: int) -> str:
    """Return a printable text of at most that many columns; a long one loses its middle.

    >>> cut("ambiguity", 20), cut("mean_ambiguity_of_the_corpus", 16)
    ('ambiguity', 'mean_ambi…corpus')
    """
    text = printable(text)
    if columns(text) <= most:
        return text
    head, tail = math.ceil((most - 1) * 0.6), math.floor((most - 1) * 0.4)
    return f"{_beginning(text, head)}…{_beginning(text[::-1], tail)[::-1]}"


def _beginning(text: str, most: int) -> str:
    kept = text[:most]
    while columns(kept) > most:
        kept = kept[:-1]
    return kept


def wrapped(words: Iterable[str], most: int, separator: str = ", ") -> list[str]:
    """Return words on as few lines as hold them, of at most that many columns; long ones are cut.

    >>> wrapped(["text", "dhatu", "entropy"], 12)
    ['text, dhatu,', 'entropy']
    """
    end = separator.rstrip()
    lines: list[str] = []
    every = list(words)
    for at, word in enumerate(every):
        last = at == len(every) - 1
        shown = cut(word, most - (0 if last else columns(end))) + ("" if last else end)
        gap = separator[len(end) :]
        if lines and columns(lines[-1] + gap + shown) <= most:
            lines[-1] += gap + shown
        else:
            lines.append(shown)
    return lines


def per_text(seconds: float) -> str:
    """Return a cost per text.

    >>> per_text(0.02), per_text(3.24e-6), per_text(90), per_text(0)
    ('20 ms per text', '3.2 µs per text', '90 s per text', '0 s per text')
    """
    for unit, length in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9)):
        if seconds >= length or (unit == "ns" and seconds):
            figure = seconds / length
            return (
                f"{figure:,.0f} {unit} per text"
                if figure >= 10
                else f"{figure:.2g} {unit} per text"
            )
    return "0 s per text"
