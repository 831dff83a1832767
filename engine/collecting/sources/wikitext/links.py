"""The text that a link, or a template that shows its own argument, displays."""

from __future__ import annotations

import re

from .namespaces import is_shown
from .opaque import REMOVED

_TAIL = re.compile(r"\s*\([^()]*\)$")

_SHOWN_ARGUMENT = {
    "lang": 2,
    "langue": 2,
    "langx": 2,
    "nobr": 1,
    "nowrap": 1,
    "nobreak": 1,
    "abbr": 1,
    "abréviation": 1,
    "abrd": 1,
    "citation": 1,
    "citation étrangère": 1,
    "formatnum": 1,
    "unité": 1,
    "unité/2": 1,
    "page h'": 1,
    "smallcaps": 1,
    "petites capitales": 1,
    "term": 1,
    "transl": 2,
    "transliteration": 2,
    "wikt-lang": 2,
}
"""Templates that display one of their arguments unchanged, with its number: without it, a sentence
would lack a word."""

_CHARACTERS = {"'": "’", "’": "’", "'s": "’s", "-": " ", "spaces": " ", "nbsp": "\u00a0"}
"""Templates that stand for characters."""


def link_text(inner: str) -> str | None:
    r"""Return the displayed text of ``[[inner]]``: empty for a file; None if it is not a link.

    >>> link_text("Pāṇini|the grammarian"), link_text("Fichier:A.png|thumb|a"), link_text("\n")
    ('the grammarian', '\x01', None)
    >>> link_text("Help:Sanskrit (language)|"), link_text(":Category:Vedas")
    ('Sanskrit', 'Category:Vedas')
    """
    target, bar, label = inner.partition("|")
    if "\n" in target or not target.strip():
        # A page's name has no line break. A file's caption may have some, but that is its label.
        return None
    if not is_shown(target):
        return REMOVED
    if bar and not label.strip():  # the "pipe trick": the name without namespace and brackets
        return _TAIL.sub("", target.rpartition(":")[2].strip())
    return label if bar else target.strip().removeprefix(":")


def template_text(inner: str) -> str:
    r"""Return the text kept of ``{{inner}}``: the argument that it displays, if it is known to.

    >>> template_text("infobox|name=a"), template_text("lang|la|veritas"), template_text("!")
    ('\x01', 'veritas', '\x01')
    >>> template_text("formatnum:1200"), template_text("unité|12|km"), template_text("lang|la")
    ('1200', '12 km', '\x01')
    """
    head, colon, value = inner.partition(":")
    if colon and head.strip().lower() == "formatnum":
        return value.partition("|")[0].strip()
    name, *arguments = inner.split("|")
    name = name.strip().lower()
    if name in _CHARACTERS:
        return _CHARACTERS[name]
    position = _SHOWN_ARGUMENT.get(name)
    if position is None:
        return REMOVED
    if name.startswith("unité"):
        return " ".join(one.strip() for one in arguments[:2] if "=" not in one) or REMOVED
    plain = [one for one in arguments if "=" not in one]
    named = f"{position}="
    plain += [one.strip().removeprefix(named) for one in arguments if one.strip().startswith(named)]
    return plain[position - 1].strip() if len(plain) >= position else REMOVED
