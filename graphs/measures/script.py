"""`script`: a map-block that finds the script in which most letters of a text are written."""

from __future__ import annotations

from typing import Any

from ...storage.field import Field
from ...storage.text import PackedText
from ..block import TEXT, MapBlock
from ..kernels.characters import SCRIPT_NAMES
from ..kernels.cpu import text_measures


def script(*, name: str = "script", when: str = "") -> MapBlock:
    """Return a block that finds the script of every text.

    Its fields are NAME, a nullable category, the Unicode name of the script of most letters, such
    as ``"Latin"`` or ``"Devanagari"``; and NAME_share, float32 [n], the share of the letters that
    are of this script. Of equal scripts, the first one in the list of categories counts. Letters of
    scripts that are not in the list are ``"Other"``. The script of a text without letters is
    missing, and its share 0. Marks, digits and punctuation do not count.

    Japanese is written in several scripts, so most of it is ``"Hiragana"`` or ``"Han"``.

    Parameters
    ----------
    name : str
        Name of the block and of its first field.
    when : str, optional
        See `map_block`.

    Examples
    --------
    >>> block = script()
    >>> codes, known, shares = block(["dhātu धातु ठ", "42"])
    >>> block.fields[0].categories[codes[0]], known.tolist()
    ('Latin', [True, False])
    >>> shares.tolist()
    [0.625, 0.0]
    """
    fields = (
        Field(
            name,
            "category",
            description="script of most letters of the text",
            nullable=True,
            categories=SCRIPT_NAMES,
        ),
        Field(f"{name}_share", "float32", description="share of the letters in this script"),
    )
    return MapBlock(
        name=name, inputs=(TEXT,), fields=fields, function=find_scripts, version="1", when=when
    )


def find_scripts(text: PackedText) -> tuple[Any, ...]:
    """Compute the fields of `script`."""
    return text_measures.dominant_scripts(text)
