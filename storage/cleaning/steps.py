"""`Cleaning`: the steps applied to a text before anything is computed from it; by default none.

The steps are declared, and recorded in the store. They are applied where rows are read from a file
(`corpus.reading.read_stretch`), so a run, a frame, `verify` and `show` see the same text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..errors import UsageError
from .markup import without_markup
from .normal_forms import FORMS, Form, normalised

# The 25 characters with the property White_Space, which has not changed since Unicode 6.3.
_SPACE = "\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_SPACES = re.compile(f"[{_SPACE}]+")
# For RE2, which finds the texts that `_one_space` would change faster than Python does.
_UNEVEN = f"[{_SPACE}]{{2}}|[{_SPACE.replace(' ', '')}]|^ | $"

_LONGEST_STRING = 2**31 - 1  # bytes of all texts of an Arrow `string` array


@dataclass(frozen=True, kw_only=True)
class Cleaning:
    """The steps between a file and the first block, in the order in which they are applied.

    Parameters
    ----------
    markup : bool
        Remove the tags and comments of HTML or XML, and replace character references. The grammar
        is in `storage.cleaning.markup`.
    unicode : str, optional
        Convert texts to a normal form of Unicode 14: NFC, NFD, NFKC or NFKD.
    whitespace : bool
        Replace every run of white space with one space, and strip both ends. White space consists
        of the characters with Unicode's property White_Space: U+0009 to U+000D, space, U+0085,
        U+00A0, U+1680, U+2000 to U+200A, U+2028, U+2029, U+202F, U+205F and U+3000.
    min_chars, max_chars : int, optional
        Quarantine texts that have fewer, or more, characters (code points) after these steps.
    duplicates : bool
        Mark texts whose digest occurred before, in an array ``duplicate``. All texts are kept.

    Raises
    ------
    UsageError
        The form is unknown, or no length is within the limits.

    Examples
    --------
    >>> cleaning = Cleaning(markup=True, whitespace=True)
    >>> cleaning.text(pa.array(["<p>le  mot</p>", None, "la chose"])).to_pylist()
    ['le mot', None, 'la chose']
    """

    markup: bool = False
    unicode: Form | None = None
    whitespace: bool = False
    min_chars: int | None = None
    max_chars: int | None = None
    duplicates: bool = False

    def __post_init__(self) -> None:
        if self.unicode not in (None, *FORMS):
            raise UsageError(f"unicode must be one of {', '.join(FORMS)}, not {self.unicode!r}")
        for name in ("markup", "whitespace", "duplicates"):
            if not isinstance(getattr(self, name), bool):
                raise UsageError(f"{name} must be True or False, not {getattr(self, name)!r}")
        for name in ("min_chars", "max_chars"):
            limit = getattr(self, name)
            if limit is not None and (type(limit) is not int or limit < 1):
                raise UsageError(
                    f"{name} must be a number of characters, at least 1, not {limit!r}"
                )
        if self.min_chars and self.max_chars and self.min_chars > self.max_chars:
            raise UsageError(
                f"no text has at least {self.min_chars} characters (min_chars) and at most "
                f"{self.max_chars} (max_chars)"
            )

    @property
    def reads_texts(self) -> bool:
        """Whether texts are read, to be changed or measured.

        >>> Cleaning(min_chars=3).reads_texts, Cleaning(duplicates=True).reads_texts
        (True, False)
        """
        return self != Cleaning(duplicates=self.duplicates)

    def describe(self) -> dict[str, Any]:
        """Return the steps that are applied, as JSON; ``Cleaning(**described)`` is equal to this.

        >>> Cleaning(unicode="NFC", min_chars=3).describe()
        {'unicode': 'NFC', 'min_chars': 3}
        """
        return {name: value for name, value in asdict(self).items() if value}

    def text(self, text: pa.Array) -> pa.Array:
        """Clean the texts of an Arrow ``string`` or ``large_string`` array, whatever their length.

        Null texts stay null. If no text changes, the given array is returned.
        """
        if self.markup:
            text = _edited(text, pc.match_substring_regex(text, "[<&]"), without_markup)
        if self.unicode:  # ASCII is in every form
            to_form = partial(normalised, form=self.unicode)
            text = _edited(text, pc.invert(pc.string_is_ascii(text)), to_form)
        if self.whitespace:
            text = _edited(text, pc.match_substring_regex(text, _UNEVEN), _one_space)
        return text

    def misfits(self, text: pa.Array) -> Iterator[tuple[int, str]]:
        """Yield ``(position, reason)`` of each text that is too short or too long."""
        if not self.min_chars and not self.max_chars:
            return
        lengths = pc.utf8_length(text)
        if self.min_chars:
            few = f"fewer than the {self.min_chars:,} asked for"
            yield from _with_reason(lengths, pc.less(lengths, self.min_chars), few)
        if self.max_chars:
            many = f"more than the {self.max_chars:,} asked for"
            yield from _with_reason(lengths, pc.greater(lengths, self.max_chars), many)


NO_CLEANING = Cleaning()
"""Texts unchanged."""


def _with_reason(lengths: pa.Array, misfit: pa.Array, why: str) -> Iterator[tuple[int, str]]:
    for row in pc.indices_nonzero(misfit).to_pylist():
        count = lengths[row].as_py()
        yield row, f"{count:,} character{'s' if count != 1 else ''}, {why}"


def _one_space(text: str) -> str:
    return _SPACES.sub(" ", text).strip(" ")


def _edited(text: pa.Array, suspects: pa.Array, edit: Callable[[str], str]) -> pa.Array:
    """Return the texts with `edit` applied where `suspects`, bool [n] or null, is true."""
    rows = pc.indices_nonzero(suspects)
    before = text.take(rows).to_pylist()
    after = [edit(one) for one in before]
    if after == before:
        return text
    # A character has at most four bytes. Kernels are faster on 32-bit offsets, so keep them.
    if text.nbytes + 4 * sum(map(len, after)) > _LONGEST_STRING:
        text = text.cast(pa.large_string())
    return pc.replace_with_mask(text, suspects, pa.array(after, text.type))
