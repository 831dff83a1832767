"""The French word forms by which a sentence counts as having one of seven primitives.

A form is a whole word, in any case, with a straight or a curly apostrophe. Elided forms end in an
apostrophe and stand before a word: "j'" in "j'arrive", "n'" in "n'a pas". The conjugations are
written out, so that "pension" does not count as PENSER.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_REGULAR = "e es ons ez ent er é ée és ées ais ait ions iez aient ant erai eras era erons erez "
_REGULAR += "eront erais erait erions eriez eraient ai as a âmes âtes èrent"


def _forms(stem: str, endings: str) -> str:
    return " ".join(stem + ending for ending in endings.split())


WORD_FORMS = {
    "JE": "je j' me m' moi",
    "PAS": "pas ne n'",
    "VOULOIR": "vouloir veux veut veulent veuille veuilles veuillent veuillez voulant voulu voulue "
    "voulus voulues "
    + _forms("voul", "ons ez ais ait ions iez aient us ut ûmes ûtes urent")
    + " "
    + _forms("voudr", "ai as a ons ez ont ais ait ions iez aient"),
    "SAVOIR": "savoir sais sait sachant su sue sues "
    + _forms("sav", "ons ez ent ais ait ions iez aient")
    + " "
    + _forms("sach", "e es ons ez ent ions iez")
    + " "
    + _forms("saur", "ai as a ons ez ont ais ait ions iez aient"),
    "PENSER": _forms("pens", _REGULAR),
    "BON": "bon bonne bons bonnes bien",
    "MAL": "mal maux mauvais mauvaise mauvaises",
}
"""Primitive to its forms, separated by spaces. PAS is any negation, with or without "pas"."""


def presence(sentences: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Return which sentences have a form of which primitive: bool [n, 7], as in `WORD_FORMS`.

    >>> presence(["J’arrive", "Il n'a rien", "La pension", "Tu penses bien"]).astype(int).tolist()
    [[1, 0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 0]]
    """
    plain = [one.lower().replace("’", "'") for one in sentences]
    found = [[bool(pattern.search(one)) for pattern in _PATTERNS] for one in plain]
    return np.array(found, bool).reshape(len(plain), len(_PATTERNS))


def _pattern(forms: str) -> re.Pattern[str]:
    words = [re.escape(form) + ("" if form.endswith("'") else r"(?!\w)") for form in forms.split()]
    return re.compile(rf"(?<!\w)(?:{'|'.join(words)})")


_PATTERNS = [_pattern(forms) for forms in WORD_FORMS.values()]
