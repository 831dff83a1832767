"""`text_shares`: a map-block of the shares of kinds of characters, and of repetition, in texts."""

from __future__ import annotations

from typing import Any

from ...storage.errors import UsageError
from ...storage.field import Field
from ...storage.text import PackedText
from ..block import TEXT, MapBlock
from ..kernels.cpu import text_measures

MOST_WORDS = 64
"""Maximum n of n-grams, in words."""

_DESCRIPTIONS = {
    "share_letters": "share of letters, and the marks that combine with them, of the characters",
    "share_digits": "share of decimal digits of the characters",
    "share_upper": "share of upper-case letters of the letters",
    "share_whitespace": "share of white space of the characters",
    "share_punctuation": "share of punctuation of the characters",
    "share_repeated_lines": "share of lines that repeat an earlier one",
    "share_repeated_ngrams": "share of n-grams of words that repeat an earlier one",
}


def text_shares(*, ngram: int = 5, name: str = "text_shares", when: str = "") -> MapBlock:
    """Return a block of the shares of kinds of characters, and of repetition, in every text.

    Its fields are float32 [n], from 0 to 1; a share of nothing is 0:

    - ``share_letters``: letters, and the marks that combine with them, of all characters;
    - ``share_digits``, ``share_whitespace``, ``share_punctuation``: decimal digits, white space,
      and punctuation without symbols such as ``+``, of all characters;
    - ``share_upper``: upper-case and title-case letters of the letters;
    - ``share_repeated_lines``: lines that repeat an earlier line of the text. White space at both
      ends of a line does not count, and neither do empty lines;
    - ``share_repeated_ngrams``: runs of `ngram` words that repeat an earlier run of the text.

    Characters, words and lines are those of `text_counts`. Upper and lower case differ. Of a long
    text, the first 524,288 lines, and as many n-grams, are compared with one another.

    Parameters
    ----------
    ngram : int
        Words of an n-gram, from 1 to 64.
    name : str
        Name of the block.
    when : str, optional
        See `map_block`.

    Raises
    ------
    UsageError
        `ngram` is out of its range.

    Examples
    --------
    >>> made = text_shares(ngram=2)(["Ah bon ? Ah bon ?"])
    >>> [round(float(one[0]), 2) for one in made]
    [0.59, 0.0, 0.2, 0.29, 0.12, 0.0, 0.33]
    """
    if not isinstance(ngram, int) or isinstance(ngram, bool) or not 1 <= ngram <= MOST_WORDS:
        raise UsageError(f"ngram must be a number of words from 1 to {MOST_WORDS}, not {ngram!r}")
    return MapBlock(
        name=name,
        inputs=(TEXT,),
        fields=tuple(Field(one, "float32", description=d) for one, d in _DESCRIPTIONS.items()),
        params={"ngram": ngram},
        function=measure_shares,
        version="1",
        when=when,
    )


def measure_shares(text: PackedText, ngram: int) -> tuple[Any, ...]:
    """Compute the fields of `text_shares`."""
    return *text_measures.shares(text), *text_measures.repetition(text, ngram)
