"""`sentence_spans` and others: where the pieces of a text are.

All spans are in characters (code points), in order, without white space at their ends. The spans of
this module do not overlap, and every character that is not white space is in one of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

Span = tuple[int, int]

RULES = 1
"""Version of the rules below. A change of them changes which texts a corpus has."""

_PARAGRAPH = re.compile(r"(?:\r\n|\r(?!\n)|\n)[^\S\r\n]*[\r\n]\s*|\u2029")
"""Between two paragraphs: at least one empty line, or a paragraph separator."""

# Sentence_Break=STerm of Unicode 15 in the basic plane, except the ASCII ones.
_FULL_STOPS = (
    "\u0589\u061d-\u061f\u06d4\u0700-\u0702\u07f9\u0837\u0839\u083d\u083e\u0964\u0965\u104a\u104b"
    "\u1362\u1367\u1368\u166e\u1735\u1736\u17d4\u17d5\u1803\u1809\u1944\u1945\u1aa8-\u1aab"
    "\u1b5a\u1b5b\u1b5e\u1b5f\u1c3b\u1c3c\u1c7e\u1c7f\u203c\u203d\u2047-\u2049\u2e2e\u2e3c"
    "\u2e53\u2e54\u3002\ua4ff\ua60e\ua60f\ua6f3\ua6f7\ua876\ua877\ua8ce\ua8cf\ua92f\ua9c8\ua9c9"
    "\uaa5d-\uaa5f\uaaf0\uaaf1\uabeb\ufe56\ufe57\uff01\uff1f\uff61"
)
_PERIODS = ".\u2024\u2026\ufe52\uff0e"  # Sentence_Break=ATerm, and the ellipsis
_CLOSING = (
    "\"'\\)\\]}\u00bb\u2019\u201d\u203a\u2046\u3009\u300b\u300d\u300f\u3011\u3015\uff09\uff3d\uff5d"
    "\u00ab\u2039\u201c\u2018"
)
"""Brackets and quotation marks; ``«`` and ``“`` close a quotation in some languages."""

_END = re.compile(
    f"(?P<stop>[!?{_FULL_STOPS}{_PERIODS}]+)"
    f"(?P<close>[{_CLOSING}]*(?:[ \u00a0\u202f]\u00bb(?=\\s|\\Z))?)"  # French: a space before it
    "(?P<space>\\s*)"
)
_HARD = re.compile(f"[{_FULL_STOPS}]")
_ASKING = re.compile("[!?]")
_FIRST_LETTER = re.compile(r"[\w!?" + _FULL_STOPS + _PERIODS + "]")
_CONTINUES = re.compile(r"[,;:\-\u2013\u2014\u3001\uff0c\uff1a\uff1b]")
_LAST_WORD = re.compile(r"[^\W\d_](?:[^\W\d_]|[.'\u2019](?=[^\W\d_]))*\Z")
_ENUMERATOR = re.compile(r"\W*(?:\d{1,3}(?:\.\d{1,3})*|[^\W\d_])\Z")

_LONGEST = 20
"""Characters before a period that are looked at."""


def _words(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


_TITLES = _words(
    "Mr Mrs Ms Dr Prof Rev Hon St Mt Gen Col Lt Sgt Capt Maj Gov Sen Rep Mme Mlle Mgr Hr Fr Frl Sr",
    "Sra Srta Sig Sigg Dott Exmo Exma",
)
"""Words after which a period ends no sentence, as a name follows."""

_BEFORE_NUMBERS = _words(
    "no nos nr num núm fig figs eq vol vols p pp ch sec art pág págs pag pagg str bd s",
    "jan feb mar apr jun jul aug sep sept oct nov dec",
)
"""Words after which a period ends no sentence if a digit follows, in lower case."""

_PHRASES = _words(
    "vs viz e.g i.e cf approx p.ex p.ej d.h z.b u.a bzw bspw evtl ggf inkl sog vgl ca",
)
"""Words after which a period ends no sentence, in lower case. Those that often end one, such as
``etc``, are left out."""


def paragraph_spans(text: str) -> Iterator[Span]:
    r"""Yield the spans of paragraphs, which empty lines separate.

    >>> list(paragraph_spans("One\nline.\n\nTwo.\n"))
    [(0, 9), (11, 15)]
    """
    start = 0
    for between in _PARAGRAPH.finditer(text):
        yield from _stripped(text, start, between.start())
        start = between.end()
    yield from _stripped(text, start, len(text))


def sentence_spans(text: str) -> Iterator[Span]:
    """Yield the spans of sentences, by rules after those of Unicode's annex 29.

    A sentence ends with its paragraph, or with a terminator: a full stop of any script, ``!``,
    ``?``, or a period, with what closes brackets and quotations behind it. ASCII terminators need
    white space behind them, so decimals, versions and addresses stay whole. A period or ellipsis
    ends no sentence before a lower-case letter or a comma, after an initial or an enumerator, or
    after the abbreviations of this module. A question or exclamation in quotation marks ends none
    before a lower-case letter. A single line break is white space like any other.

    >>> text = 'Dr. Who paid 3.50 for it. "Why?" she asked. 猫が寝る。犬も。'
    >>> [text[start:stop] for start, stop in sentence_spans(text)]
    ['Dr. Who paid 3.50 for it.', '"Why?" she asked.', '猫が寝る。', '犬も。']
    """
    for first, last in paragraph_spans(text):
        start = first
        for end in _END.finditer(text, first, last):
            if end.end() < last and _ends(text, start, end, last):
                yield from _stripped(text, start, end.end())
                start = end.end()
        yield from _stripped(text, start, last)


def _ends(text: str, start: int, end: re.Match[str], last: int) -> bool:
    """Return whether a sentence that begins at `start` ends with a terminator."""
    stop = end["stop"]
    if _HARD.search(stop):
        return True
    if not end["space"]:
        return False
    ahead = _FIRST_LETTER.search(text, end.end(), last)
    lower = ahead is not None and ahead[0].islower()
    if _ASKING.search(stop):
        return not (end["close"] and lower)
    if lower or _CONTINUES.match(text, end.end(), last):
        return False
    if end["close"] or len(stop) > 1:
        return True
    return not _is_abbreviated(text, start, end.start(), after=text[end.end()])


def _is_abbreviated(text: str, start: int, at: int, *, after: str) -> bool:
    """Return whether a period at `at` may belong to the word before it.

    Parameters
    ----------
    after : str
        The character behind the white space that follows.
    """
    begun = text[max(start, at - _LONGEST) : at]  # not all of it: a sentence may be long
    if at - start < _LONGEST and _ENUMERATOR.fullmatch(begun):
        return True
    word = _LAST_WORD.search(begun)
    if word is None:
        return False
    own = word[0]
    if own in _TITLES or own.lower() in _PHRASES or (len(own) == 1 and own.isupper()):
        return True
    return own.lower() in _BEFORE_NUMBERS and after.isdigit()


def length_spans(text: str, chars: int) -> Iterator[Span]:
    """Yield the spans of pieces of at most `chars` characters.

    A piece ends at the last white space there is, else in the middle of a word, but not before a
    combining mark unless it has nothing else.

    >>> text = "one two three"
    >>> [text[start:stop] for start, stop in length_spans(text, 8)]
    ['one two', 'three']
    """
    start = _skip(text, 0)
    while len(text) - start > chars:
        end = start + chars
        cut = next((at for at in range(end, start, -1) if text[at].isspace()), 0)
        if not cut:
            whole = (at for at in range(end, start, -1) if not unicodedata.combining(text[at]))
            cut = next(whole, end)
        yield from _stripped(text, start, cut)
        start = _skip(text, cut)
    yield from _stripped(text, start, len(text))


def _skip(text: str, start: int) -> int:
    while start < len(text) and text[start].isspace():
        start += 1
    return start


def _stripped(text: str, start: int, stop: int) -> Iterator[Span]:
    """Yield a span without white space at its ends; nothing if nothing is left."""
    start = _skip(text, start)
    while stop > start and text[stop - 1].isspace():
        stop -= 1
    if start < stop:
        yield start, stop
