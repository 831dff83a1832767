"""`wikitext_to_text`: the prose of a wiki page, as readers see it."""

from __future__ import annotations

from .inline import decoded_entities, tidied, without_inline
from .opaque import Kept, without_opaque
from .structure import without_structure


def wikitext_to_text(wikitext: str) -> str:
    """Return the prose of a page in MediaWiki's markup.

    Paragraphs, headings and items of lists are lines of their own, without their marks. Links are
    shown as they read. Templates, tables, references, formulas, galleries, files, categories and
    links to other languages are dropped, with the brackets and spaces that they would leave; of a
    few templates that stand for a word in a sentence (``{{lang|la|veritas}}``), the word is kept.

    Time and memory grow with the length of the text only, whatever it holds.

    Examples
    --------
    >>> print(
    ...     wikitext_to_text(
    ...         '''{{Infobox|born={{date|520|BC}}}}
    ... '''
    ...         "'''Pāṇini''' ({{lang-sa|पाणिनि}}) was a [[grammarian]]<ref>See [1].</ref>."
    ...     )
    ... )
    Pāṇini was a grammarian.
    """
    kept = Kept()
    text = without_opaque(wikitext.replace("\r\n", "\n"), kept)
    text = without_inline(without_structure(text))
    return decoded_entities(kept.restored(tidied(text)))
