"""The language of a text, by a model that works offline."""

from __future__ import annotations

from collections import defaultdict

_PIECE = 500
"""Characters of a piece that is classified."""

_PIECES = 5
"""Number of pieces of a long text that are classified."""

_LEAST_LETTERS = 12
_LEAST_CONFIDENCE = 0.3


def language_of(text: str) -> tuple[str, float]:
    """Return the code of a text's language and the confidence in it, from 0 to 1.

    Five pieces of a long text, spread over it, are classified; the confidence is the share of the
    language in them. The code is empty and the confidence 0 for a text of a few letters, and for
    one in which no language prevails.

    Raises
    ------
    BackendUnavailable
        The package with the model is not installed.

    Examples
    --------
    >>> language_of("le chat dort sur le canapé du salon")[0], language_of("OK")
    ('fr', ('', 0.0))
    """
    from ....graphs.measures.language_model import detect

    pieces = _pieces(text)
    if sum(map(str.isalpha, "".join(pieces))) < _LEAST_LETTERS:
        return "", 0.0
    shares: defaultdict[str, float] = defaultdict(float)
    for piece in pieces:
        code, confidence = detect(piece)
        shares[code] += confidence / len(pieces)
    # Ties are broken by the code, so that the answer is always the same.
    code, share = min(shares.items(), key=lambda found: (-found[1], found[0]))
    return (code, share) if share >= _LEAST_CONFIDENCE else ("", 0.0)


def _pieces(text: str) -> list[str]:
    if len(text) <= _PIECES * _PIECE:
        return [text]
    step = (len(text) - _PIECE) // (_PIECES - 1)
    return [text[start * step : start * step + _PIECE] for start in range(_PIECES)]
