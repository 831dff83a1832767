"""`text_counts`: a map-block that counts characters, words, sentences and lines of texts."""

from __future__ import annotations

from typing import Any

from ...storage.field import Field
from ...storage.text import PackedText
from ..block import TEXT, MapBlock
from ..kernels.cpu import text_measures

_FIELDS = (
    Field("n_characters", "int32", description="number of code points of the text"),
    Field("n_words", "int32", description="number of words of the text"),
    Field("n_sentences", "int32", description="number of sentences of the text"),
    Field("n_lines", "int32", description="number of lines of the text"),
    Field("mean_word_length", "float32", description="mean letters and digits of a word"),
)


def text_counts(*, name: str = "text_counts", when: str = "") -> MapBlock:
    r"""Return a block that counts the characters, words, sentences and lines of every text.

    Its fields are ``n_characters``, ``n_words``, ``n_sentences`` and ``n_lines``, int32 [n], and
    ``mean_word_length``, float32 [n]:

    - A *character* is a code point. Each invalid sequence of bytes counts as one U+FFFD.
    - A *word* is a run of letters and decimal digits, with the marks that combine with them; an
      apostrophe (``'`` or ``’``) between two of them belongs to it. Han and hiragana are written
      without spaces, so each of their letters is a word. Thai, Lao, Khmer and Myanmar are not
      segmented: a run of their letters is one word.
    - A *sentence* has at least one word. It ends at a full stop, question or exclamation mark, or
      ellipsis, if after any closing quotes and brackets there is white space (Chinese and Japanese
      need none); at an empty line; and at the end of the text. Abbreviations are not recognised.
    - A *line* ends at a line feed, and the last one also at the end of the text.
    - The *length of a word* is the number of its letters and digits, so it is the same for
      composed and decomposed accents. The mean is 0 without words.

    Letters, marks and digits are those of Unicode 14, on every version of Python.

    Parameters
    ----------
    name : str
        Name of the block.
    when : str, optional
        See `map_block`.

    Examples
    --------
    >>> n_characters, n_words, n_sentences, n_lines, mean = text_counts()(["L'été vient.\nOui !"])
    >>> n_characters.tolist(), n_words.tolist(), n_sentences.tolist(), n_lines.tolist()
    ([18], [3], [2], [2])
    >>> mean.tolist()
    [4.0]
    """
    return MapBlock(
        name=name, inputs=(TEXT,), fields=_FIELDS, function=count_texts, version="1", when=when
    )


def count_texts(text: PackedText) -> tuple[Any, ...]:
    """Compute the fields of `text_counts`."""
    counts, mean = text_measures.counts(text)
    return *counts, mean
