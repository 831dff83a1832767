"""What is measured of texts, in plain Python with regular expressions: slow, and easy to check."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

import numpy as np

from paninifs.graphs.kernels import characters
from paninifs.graphs.kernels.cpu import text_measures

APOSTROPHES = "'\u2019"
SPACES = "\t\n\v\f\r\x85"
JOINERS = "\xad\u200c\u200d"
TERMINATORS = set(map(chr, text_measures.SENTENCE_ENDS))
FULL_WIDTH = set(map(chr, text_measures.FULL_WIDTH_ENDS))
SOLO = re.compile("CJK (UNIFIED|COMPATIBILITY) IDEOGRAPH|HIRAGANA|HENTAIGANA")
SOLO_MARKS = "\u3005\u303b\u309d\u309e\u309f\u16fe3"


def category(one: str) -> str:
    """Return the general category of a character in Unicode 14."""
    code = ord(one)
    later = any(first <= code <= last for first, last in characters._LATER)
    return "Cn" if later or code >= characters.ASSIGNED else unicodedata.category(one)


def is_space(one: str) -> bool:
    return category(one)[0] == "Z" or one in SPACES


def word_class(one: str) -> str:
    """Return L for a letter or digit, S for one that is a word, M for a mark, else - or '."""
    kind = category(one)
    if kind[0] == "L":
        solo = SOLO.match(unicodedata.name(one, "")) or one in SOLO_MARKS
        return "S" if solo else "L"
    if kind == "Nd":
        return "L"
    if kind[0] == "M" or one in JOINERS:
        return "M"
    return "'" if one in APOSTROPHES else "-"


def sentence_class(one: str) -> str:
    """Return W for a letter or digit, T and F for ends, C for closers, a space, a newline or -."""
    if word_class(one) in "LS":
        return "W"
    if is_space(one):
        return "\n" if one == "\n" else " "
    if one in FULL_WIDTH:
        return "F"
    if one in TERMINATORS:
        return "T"
    return "C" if category(one) in ("Pe", "Pf", "Pi") or one in "\"'" else "-"


def words(text: str) -> list[str]:
    """Return the words of a text."""
    classes = "".join(map(word_class, text))
    return [text[slice(*one.span())] for one in re.finditer("S|L(?:[LM]|'L)*", classes)]


def sentences(text: str) -> int:
    """Return the number of sentences of a text."""
    classes = "".join(map(sentence_class, text))
    marked = re.sub(r"(^|\n) *\n", r"\1|\n|", classes)
    while marked != (marked := re.sub(r"\n\|? *\n", "\n|", marked)):
        pass
    marked = re.sub(r"T[TC]*(?=[ \n|])", "|", marked.replace("F", "|"))
    return sum("W" in part for part in marked.split("|"))


def counts(raw: bytes) -> tuple[list[int], np.float32]:
    """Return characters, words, sentences and lines of a text, and the mean length of its words."""
    text = raw.decode("utf-8", "replace")
    found = words(text)
    lines = text.count("\n") + (not text.endswith("\n") and text != "")
    letters = sum(word_class(one) in "LS" for one in text)
    mean = np.float32(letters / len(found)) if found else np.float32(0)
    return [len(text), len(found), sentences(text), lines], mean


def shares(raw: bytes) -> list[np.float32]:
    """Return the shares of letters, digits, upper case, white space and punctuation of a text."""
    text = raw.decode("utf-8", "replace")
    kinds = Counter(map(category, text))
    letters = sum(kinds[one] for one in ("Lu", "Lt", "Ll", "Lm", "Lo"))
    marks = sum(word_class(one) == "M" for one in text)
    punctuation = sum(count for one, count in kinds.items() if one[0] == "P")
    return [
        share(letters + marks, len(text)),
        share(kinds["Nd"], len(text)),
        share(kinds["Lu"] + kinds["Lt"], letters),
        share(sum(map(is_space, text)), len(text)),
        share(punctuation, len(text)),
    ]


def repetition(raw: bytes, n: int, most: int) -> list[np.float32]:
    """Return the shares of lines, and of n-grams of words, that repeat an earlier one."""
    text = raw.decode("utf-8", "replace")
    found = words(text)
    grams = [tuple(found[at : at + n]) for at in range(len(found) - n + 1)][:most]
    lines = [stripped for line in text.split("\n") if (stripped := trimmed(line))][:most]
    return [share(len(some) - len(set(some)), len(some)) for some in (lines, grams)]


def trimmed(line: str) -> str:
    """Return a line without white space at both ends."""
    inner = [at for at, one in enumerate(line) if not is_space(one)]
    return line[inner[0] : inner[-1] + 1] if inner else ""


def script(raw: bytes) -> tuple[int, np.float32]:
    """Return the number of the script of most letters, and its share."""
    text = raw.decode("utf-8", "replace")
    letters = [one for one in text if category(one)[0] == "L"]
    found = Counter(int(characters.scripts()[ord(one)]) - 1 for one in letters)
    if not found:
        return -1, np.float32(0)
    best = min(found, key=lambda number: (-found[number], number))
    return best, share(found[best], len(letters))


def share(part: int, whole: int) -> np.float32:
    return np.float32(part / whole) if whole else np.float32(0)
