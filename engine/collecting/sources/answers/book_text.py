"""Removes what Project Gutenberg puts before and after a book.

Its files have had several forms of markers: since about 2003 ``*** START OF THE PROJECT GUTENBERG
EBOOK … ***`` and its END, also with THIS for THE and without spaces; before, a "small print" in the
header. https://www.gutenberg.org/policy/license.html asks for its name to be removed from books
that are passed on without its licence.
"""

from __future__ import annotations

import re

_START = re.compile(
    r"\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG E(?:BOOK|TEXT)[^*]{0,1000}\*\*\*",
    re.IGNORECASE,
)
_END = re.compile(r"\*\*\* ?END OF (?:THE|THIS) PROJECT GUTENBERG E(?:BOOK|TEXT)", re.IGNORECASE)
_SMALL_PRINT = re.compile(r"\*END\*? ?THE SMALL PRINT![^\n]{0,200}\*END\*", re.IGNORECASE)
_LAST_LINE = re.compile(
    r"\n[ \t]*End of (?:the )?Project Gutenberg(?:'s|’s)? [^\n]{0,300}(?:\n[^\n]{1,200})?\s*\Z",
    re.IGNORECASE,
)
_TAIL = 1000
"""Characters before the last marker that are searched for a line that announces it."""


def book_text(text: str) -> str:
    r"""Return a book without header, licence and markers; a text without markers unchanged.

    Examples
    --------
    >>> from paninifs.engine.collecting.sources.answers.book_text import book_text
    >>> book_text(
    ...     "About it.\n*** START OF THE PROJECT GUTENBERG EBOOK ODES ***\n\nOne ode.\n\n"
    ...     "*** END OF THE PROJECT GUTENBERG EBOOK ODES ***\nIts licence."
    ... )
    'One ode.'
    """
    text = text.replace("\r\n", "\n")
    start = _START.search(text) or _SMALL_PRINT.search(text)
    first = start.end() if start else 0
    last = len(text)
    for end in _END.finditer(text, first):
        last = end.start()
    if not start and last == len(text):
        return text
    tail = max(first, last - _TAIL)
    return (text[first:tail] + _LAST_LINE.sub("", text[tail:last])).strip()
