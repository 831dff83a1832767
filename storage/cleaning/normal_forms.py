"""Unicode normal forms: converting texts to one, and detecting corpora that mix several.

``dhātu`` may be written with the letter ā, or with an a and a combining macron. They look the same
to a reader, but are two different words to a hash.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args
from unicodedata import is_normalized, normalize

import numpy as np
import pyarrow as pa

from ..text import PackedText

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]
FORMS: tuple[Form, ...] = get_args(Form)

MAX_SAMPLED = 256
"""Maximum number of texts that are checked per batch, evenly spread over it."""

MAX_BYTES = 1_000
"""Bytes that are checked at the beginning of each text: checking takes longer than hashing."""

# Characters that got a decomposition or a combining class after Unicode 14, up to version 15.1. A
# test pins the result for every code point, so that a Python with a newer Unicode is noticed.
_AFTER_UNICODE_14 = re.compile(
    "([\U00010efd-\U00010eff\U00011f41\U00011f42\U0001e030-\U0001e06d\U0001e08f"
    "\U0001e4ec-\U0001e4ef])"
)


def normalised(text: str, form: Form) -> str:
    r"""Return a text in a normal form of Unicode 14, whatever version Python supports.

    Later characters are unchanged, and nothing is composed or reordered across them.

    >>> normalised("dha\u0304tu", "NFC") == "dh\u0101tu"
    True
    """
    if is_normalized(form, text):
        return text
    pieces = _AFTER_UNICODE_14.split(text)  # every other one is such a character
    pieces[::2] = [normalize(form, piece) for piece in pieces[::2]]
    return "".join(pieces)


@dataclass(frozen=True)
class NormalForms:
    """The first row found whose text is not in NFC, and the first not in NFD; None if none was."""

    not_nfc: int | None = None
    not_nfd: int | None = None

    @classmethod
    def joined(cls, parts: Iterable[NormalForms]) -> NormalForms:
        """Combine the findings of consecutive parts of a corpus."""
        every = list(parts)
        return cls(
            next((one.not_nfc for one in every if one.not_nfc is not None), None),
            next((one.not_nfd for one in every if one.not_nfd is not None), None),
        )

    def before(self, row: int) -> NormalForms:
        """Return the findings in rows before a number.

        >>> NormalForms(3, 70).before(64)
        NormalForms(not_nfc=3, not_nfd=None)
        """
        rows = (self.not_nfc, self.not_nfd)
        return NormalForms(*(one if one is not None and one < row else None for one in rows))

    @property
    def warning(self) -> str | None:
        """Warning for a corpus whose texts are neither all in NFC nor all in NFD."""
        if self.not_nfc is None or self.not_nfd is None:
            return None
        return (
            f"the texts mix Unicode normal forms: row {self.not_nfc:,} is not in NFC, row "
            f"{self.not_nfd:,} is not in NFD. A word written in both forms has two digests; to "
            "unify them, use --unicode NFC (clean=Cleaning(unicode='NFC')) with a new store"
        )

    def updated(self, text: pa.Array | PackedText, row: int) -> NormalForms:
        """Return the findings after another batch, whose first row in the corpus is `row`.

        A form for which a row is known is not checked again. A `PackedText` has no nulls.
        """
        if self.not_nfc is not None and self.not_nfd is not None:
            return self
        packed = text if isinstance(text, PackedText) else PackedText.from_arrow(text)
        step = -(-len(text) // MAX_SAMPLED) or 1
        samples = packed.beginnings(slice(None, None, step), MAX_BYTES)
        joined = b"".join(samples)
        if joined.isascii():  # ASCII is in every form
            return self
        together = _text(_without_idle_ascii(joined))

        def known_at(at: int) -> bool:
            return isinstance(text, PackedText) or bool(text[at].is_valid)

        def first(known: int | None, form: Form) -> int | None:
            # Every part of a text in a normal form is in that form too.
            if known is not None or normalised(together, form) == together:
                return known
            pairs = zip(range(0, len(text), step), map(_text, samples), strict=True)
            unlike = (at for at, one in pairs if normalised(one, form) != one and known_at(at))
            at = next(unlike, None)
            return None if at is None else row + at

        return NormalForms(first(self.not_nfc, "NFC"), first(self.not_nfd, "NFD"))


def _without_idle_ascii(texts: bytes) -> bytes:
    """Drop ASCII that is not followed by other characters: normalising does not affect it."""
    data = np.frombuffer(texts, np.uint8)
    kept = data >= ord("\x80")
    kept[:-1] |= kept[1:]
    return data[kept].tobytes()


def _text(data: bytes | memoryview) -> str:
    """Decode one or more texts that may be cut in the middle of a character."""
    return str(data, "utf-8", "ignore")


NO_FORMS = NormalForms()
"""The findings before any text is checked."""
