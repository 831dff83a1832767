"""Unicode's normal forms: bringing a text into one, and noticing texts that are in none.

``dhātu`` may be written with the letter ā, or with an a and a macron that is set on it. A reader
sees no difference, a hash sees two words.
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

MAX_LOOKED_AT = 256
"""Of a batch at most so many texts, spread over it, are looked at; of a small one all."""

MAX_BYTES = 1_000
"""Of a text that is looked at, its beginning: looking takes several times as long as hashing."""

# All that later versions, up to 15.1, give a decomposition or a combining class. A test pins what
# comes out for every code point, so that a Python with a newer Unicode is not overlooked.
_AFTER_UNICODE_14 = re.compile(
    "([\U00010efd-\U00010eff\U00011f41\U00011f42\U0001e030-\U0001e06d\U0001e08f"
    "\U0001e4ec-\U0001e4ef])"
)


def normalised(text: str, form: Form) -> str:
    r"""Return a text in a normal form of Unicode 14, whatever version this Python knows.

    Characters that came later stay as they are, and nothing is composed or ordered across them.

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
    """Whether texts were met that NFC would change, and such that NFD would: a row of each."""

    not_nfc: int | None = None
    not_nfd: int | None = None

    @classmethod
    def joined(cls, parts: Iterable[NormalForms]) -> NormalForms:
        """Return what parts of a corpus, in order, amount to."""
        every = list(parts)
        return cls(
            next((one.not_nfc for one in every if one.not_nfc is not None), None),
            next((one.not_nfd for one in every if one.not_nfd is not None), None),
        )

    @property
    def warning(self) -> str | None:
        """What to tell of a corpus whose texts are neither all in NFC nor all in NFD."""
        if self.not_nfc is None or self.not_nfd is None:
            return None
        return (
            f"the texts mix Unicode normal forms: row {self.not_nfc:,} is not in NFC, row "
            f"{self.not_nfd:,} not in NFD. A word that is written in both has two digests; "
            "--unicode NFC (clean=Cleaning(unicode='NFC')) into another store makes it one"
        )

    def met(self, text: pa.Array, row: int) -> NormalForms:
        """Return what is known when a batch, whose first row is `row`, was looked at too.

        A form of which a text was met is not looked for again.
        """
        if self.not_nfc is not None and self.not_nfd is not None:
            return self
        packed, step = PackedText.from_arrow(text), -(-len(text) // MAX_LOOKED_AT) or 1
        starts, ends = packed.offsets[:-1:step], packed.offsets[1::step]
        ends = starts + np.minimum(ends - starts, MAX_BYTES)
        view = packed.data.data
        looked_at = [view[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]
        joined = b"".join(looked_at)
        if joined.isascii():  # which is in every form
            return self
        together = _text(_without_idle_ascii(joined))

        def first(known: int | None, form: Form) -> int | None:
            # Whatever is part of a text in a normal form is in it too.
            if known is not None or normalised(together, form) == together:
                return known
            pairs = zip(range(0, len(text), step), map(_text, looked_at), strict=True)
            unlike = (at for at, one in pairs if normalised(one, form) != one and text[at].is_valid)
            at = next(unlike, None)
            return None if at is None else row + at

        return NormalForms(first(self.not_nfc, "NFC"), first(self.not_nfd, "NFD"))


def _without_idle_ascii(texts: bytes) -> bytes:
    """Leave out the ASCII with nothing else behind it: no form changes it, nor what is before."""
    data = np.frombuffer(texts, np.uint8)
    kept = data >= ord("\x80")
    kept[:-1] |= kept[1:]
    return data[kept].tobytes()


def _text(data: bytes | memoryview) -> str:
    """Decode a text that may end within a character, or several such texts."""
    return str(data, "utf-8", "ignore")


NONE_MET = NormalForms()
