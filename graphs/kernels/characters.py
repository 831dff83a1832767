"""Classes and scripts of Unicode characters, as tables that loops over texts read.

A character is a code point of Unicode 14. Python 3.11 knows that version, and later ones know more
characters, which count as unassigned here, so that a text's measures do not depend on the version
of Python. What is measured with the tables is in `cpu.text_measures`.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterator
from functools import cache

import numpy as np
import numpy.typing as npt

from ...storage.errors import BackendUnavailable

LETTER, UPPER, MARK, DIGIT, PUNCTUATION, SPACE, SOLO, CLOSER = (1 << bit for bit in range(8))
"""Bits of a character's class. Upper-case and title-case letters are both LETTER and UPPER. SOLO is
a letter that is a word by itself. CLOSER is punctuation that may follow the end of a sentence."""

ASSIGNED = 0x31350
"""Number of code points in the tables; later ones have no class."""

_LATER = (
    *((0xCF3, 0xCF3), (0xECE, 0xECE), (0x2FFC, 0x2FFF), (0x31EF, 0x31EF), (0x10EFD, 0x10EFF)),
    *((0x1123F, 0x11241), (0x11B00, 0x11B09), (0x11F00, 0x11F59), (0x1342F, 0x1342F)),
    *((0x13439, 0x13455), (0x1B132, 0x1B132), (0x1B155, 0x1B155), (0x1D2C0, 0x1D2D3)),
    *((0x1DF25, 0x1DF2A), (0x1E030, 0x1E08F), (0x1E4D0, 0x1E4F9), (0x1F6DC, 0x1F6DC)),
    *((0x1F774, 0x1F77F), (0x1F7D9, 0x1F7D9), (0x1FA75, 0x1FA77), (0x1FA87, 0x1FA88)),
    *((0x1FAAD, 0x1FAAF), (0x1FABB, 0x1FABF), (0x1FACE, 0x1FACF), (0x1FADA, 0x1FADB)),
    *((0x1FAE8, 0x1FAE8), (0x1FAF7, 0x1FAF8), (0x2B739, 0x2B739), (0x2EBF0, 0x2EE5D)),
)
"""Ranges of characters that Unicode 15.0 and 15.1 added; no other character changed its class."""

_JOINERS = (0xAD, 0x200C, 0x200D)
"""Characters that are invisible and do not end a word: the soft hyphen and the two joiners."""

_CONTROL_SPACES = (*range(0x9, 0xE), 0x85)
"""White space that Unicode counts among the control characters."""

_QUOTES = frozenset(map(ord, "\"'"))
"""Quotation marks that both open and close, so that Unicode classifies them as neither."""

_BITS = {"Lu": UPPER, "Lt": UPPER, "Nd": DIGIT, "Pe": CLOSER, "Pf": CLOSER, "Pi": CLOSER}
_BITS_OF_KIND = {"L": LETTER, "M": MARK, "P": PUNCTUATION, "Z": SPACE}

DIGEST = "aa8bef262c44d83621734214a24ad0c4786671bae8113967842e96b692b51bfe"
"""Digest of the table of classes, the same on every Python."""

SCRIPTS = {
    "Latin": "41-AA BA-2B8 2E0-2E4 1D00-1D25 1D2C-1D5C 1D62-1D65 1D6B-1D77 1D79-1DBE 1E00-1EFF "
    "2071-209C 212A-212B 2132 214E-2184 2C60-2C7F A722-A787 A78B-A7FF AB30-AB64 AB66-AB69 "
    "FB00-FB06 FF21-FF5A 10780-107BA 1DF00-1DF1E",
    "Greek": "370-373 376-3E1 3F0-3FF 1D26-1D2A 1D5D-1D61 1D66-1D6A 1DBF 1F00-1FFC 2126 AB65",
    "Cyrillic": "400-52F 1C80-1C88 1D2B 1D78 A640-A69D",
    "Armenian": "531-588 FB13-FB17",
    "Hebrew": "5D0-5F2 FB1D-FB4F",
    "Arabic": "620-63F 641-6FF 750-77F 870-8C9 FB50-FEFC 1EE00-1EEBB",
    "Syriac": "710-74F 860-86A",
    "Thaana": "780-7B1",
    "Nko": "7CA-7FA",
    "Devanagari": "904-97F A8F2-A8FE",
    "Bengali": "980-9FC",
    "Gurmukhi": "A05-A74",
    "Gujarati": "A85-AF9",
    "Oriya": "B05-B71",
    "Tamil": "B83-BD0",
    "Telugu": "C05-C61",
    "Kannada": "C80-CF2",
    "Malayalam": "D04-D7F",
    "Sinhala": "D85-DC6",
    "Thai": "E01-E46",
    "Lao": "E81-EDF",
    "Tibetan": "F00-F8C",
    "Myanmar": "1000-108E A9E0-A9FE AA60-AA7F",
    "Georgian": "10A0-10FF 1C90-1CBF 2D00-2D2D",
    "Hangul": "1100-11FF 3131-318E A960-A97C AC00-D7FB FFA0-FFDC",
    "Ethiopic": "1200-138F 2D80-2DDE AB01-AB2E 1E7E0-1E7FE",
    "Cherokee": "13A0-13FD AB70-ABBF",
    "Canadian_Aboriginal": "1401-167F 18B0-18F5 11AB0-11ABF",
    "Khmer": "1780-17DC",
    "Mongolian": "1820-18AA",
    "Hiragana": "3041-309F 1B001-1B11F 1B150-1B152",
    "Katakana": "30A1-30FF 31F0-31FF FF66-FF9D 1AFF0-1B000 1B120-1B122 1B164-1B167",
    "Bopomofo": "3105-312F 31A0-31BF",
    "Han": "3005 303B 3400-9FFF F900-FAD9 16FE3 20000-3134A",
    "Yi": "A000-A48C",
    "Javanese": "A984-A9B2",
    "Balinese": "1B05-1B4C",
    "Sundanese": "1B83-1BBF",
    "Tifinagh": "2D30-2D6F",
    "Coptic": "3E2-3EF 2C80-2CF3",
    "Gothic": "10330-10349",
    "Meetei_Mayek": "AAE0-AAF4 ABC0-ABE2",
    "Ol_Chiki": "1C5A-1C7D",
    "Adlam": "1E900-1E94B",
    "Cuneiform": "12000-12543",
    "Egyptian_Hieroglyphs": "13000-1342E",
    "Brahmi": "11003-11075",
    "Grantha": "11305-11361",
    "Sharada": "11183-111DC",
}
"""Ranges of code points (hexadecimal) whose letters belong to a script, by its Unicode name. Other
characters in a range are not letters. The marks for long vowels and repetition that hiragana and
katakana share count as katakana."""

OTHER = "Other"
"""The script of letters outside all ranges of `SCRIPTS`."""

SCRIPT_NAMES = (*SCRIPTS, OTHER)
"""Names of scripts: a character of script number k has the name k - 1; 0 is not a letter."""

_SOLO_SCRIPTS = ("Han", "Hiragana")
"""Scripts without spaces, each of whose letters counts as a word, as in Unicode's Annex 29."""


@cache
def classes() -> npt.NDArray[np.uint8]:
    """Return the class of every character, as bits: uint8 [ASSIGNED].

    Raises
    ------
    BackendUnavailable
        This Python's Unicode classifies a character differently.
    """
    table = np.array([_class(code) for code in range(ASSIGNED)], np.uint8)
    for first, last in _LATER:
        table[first : last + 1] = 0
    letters = (table & LETTER) != 0
    for script in _SOLO_SCRIPTS:
        for first, last in _ranges(script):
            table[first : last + 1] |= np.where(letters[first : last + 1], SOLO, 0).astype("u1")
    if hashlib.sha256(table.tobytes()).hexdigest() != DIGEST:
        raise BackendUnavailable(
            f"the Unicode version of this Python ({unicodedata.unidata_version}) classifies "
            "characters differently than this version of paninifs expects; use Python 3.11 to 3.13"
        )
    table.flags.writeable = False
    return table


@cache
def scripts() -> npt.NDArray[np.uint8]:
    """Return the number of every character's script; 0 if it is not a letter: uint8 [ASSIGNED]."""
    letters = (classes() & LETTER) != 0
    table = np.full(ASSIGNED, len(SCRIPT_NAMES), np.uint8)
    for number, script in enumerate(SCRIPTS, 1):
        for first, last in _ranges(script):
            table[first : last + 1] = number
    table[~letters] = 0
    table.flags.writeable = False
    return table


def _class(code: int) -> int:
    category = unicodedata.category(chr(code))
    bits = _BITS_OF_KIND.get(category[0], 0) | _BITS.get(category, 0)
    if code in _JOINERS:
        bits |= MARK
    if code in _CONTROL_SPACES:
        bits |= SPACE
    if code in _QUOTES:
        bits |= CLOSER
    return bits


def _ranges(script: str) -> Iterator[tuple[int, int]]:
    """Yield the first and last code point of every range of a script.

    >>> list(_ranges("Cyrillic"))[:3]
    [(1024, 1327), (7296, 7304), (7467, 7467)]
    """
    for part in SCRIPTS[script].split():
        first, _, last = part.partition("-")
        yield int(first, 16), int(last or first, 16)
