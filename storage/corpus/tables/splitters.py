"""`splitter_of`: how `Corpus.split` cuts a text into pieces, as an object that tasks carry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from operator import index
from typing import Any

from ...errors import RunFailed, UsageError
from .sentences import RULES, Span, length_spans, paragraph_spans, sentence_spans

_BY_NAME = {"sentence": sentence_spans, "paragraph": paragraph_spans}

_ADVICE = "split takes 'sentence', 'paragraph', chars=N or a function of a text"


@dataclass(frozen=True, repr=False)
class Splitter:
    """Cuts a text into pieces: by name, by a number of characters, or by the user's function.

    Attributes
    ----------
    name : str
        ``sentence``, ``paragraph``, ``chars``, or the name of the function.
    chars : int
        Most characters of a piece; 0: any number.
    function : callable, optional
    """

    name: str
    chars: int = 0
    function: Callable[[str], Iterable[Any]] | None = None

    def __repr__(self) -> str:
        if self.function is not None:
            return f"pieces by {self.name}()"
        return f"pieces of {self.chars:,} characters" if self.chars else f"{self.name}s"

    def describe(self) -> dict[str, Any]:
        """Return what identifies the pieces, as JSON, except the code of a function."""
        if self.function is not None:
            return {"by": "function", "name": self.name}
        return {"by": self.name, "rules": RULES, **({"chars": self.chars} if self.chars else {})}

    def spans(self, text: str) -> Iterator[Span]:
        """Yield where the pieces of a text are.

        Raises
        ------
        RunFailed
            A function failed, or returned something that is not a piece of the text.
        """
        if self.function is not None:
            return _checked(self.name, self.function, text)
        return length_spans(text, self.chars) if self.chars else _BY_NAME[self.name](text)


def splitter_of(how: Any, chars: Any) -> Splitter:
    """Return the splitter that the arguments of `Corpus.split` describe.

    Raises
    ------
    UsageError
        They do not describe a splitter.

    Examples
    --------
    >>> splitter_of("sentence", None), splitter_of(None, 500), splitter_of(str.split, None)
    (sentences, pieces of 500 characters, pieces by split())
    """
    if (how is None) == (chars is None):
        raise UsageError(f"{_ADVICE}, and exactly one of them")
    if chars is not None:
        if type(chars) is not int or chars < 1:
            raise UsageError(f"chars must be a whole number of at least 1, not {chars!r}")
        return Splitter("chars", chars)
    if isinstance(how, str) and how in _BY_NAME:
        return Splitter(how)
    if not callable(how):
        raise UsageError(f"{_ADVICE}, not {how!r}")
    return Splitter(getattr(how, "__name__", type(how).__name__), function=how)


def _checked(name: str, function: Callable[[str], Iterable[Any]], text: str) -> Iterator[Span]:
    """Yield the spans of what a function returns: spans, or parts of the text in their order."""
    try:
        pieces = list(function(text))
    except Exception as error:
        raise RunFailed(f"{name}() failed ({type(error).__name__}: {error})") from error
    last = 0
    for number, piece in enumerate(pieces):
        if isinstance(piece, str):
            start = text.find(piece, last)
            if start < 0:
                raise RunFailed(
                    f"{name}() returned {_short(piece)} as piece {number}, which is not in the "
                    f"text after character {last}; return parts of the text as they are in it, or "
                    "spans (start, stop)"
                )
            stop = last = start + len(piece)
        else:
            start, stop = _span(name, number, piece, len(text))
        if start < stop:
            yield start, stop


def _span(name: str, number: int, piece: Any, length: int) -> Span:
    try:
        start, stop = map(index, piece)
    except (TypeError, ValueError):
        raise RunFailed(
            f"{name}() returned {_short(piece)} as piece {number}; return strings, or spans "
            "(start, stop) in characters"
        ) from None
    if not 0 <= start <= stop <= length:
        raise RunFailed(
            f"{name}() returned the span {(start, stop)} as piece {number} of a text of {length:,} "
            "characters"
        )
    return start, stop


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
