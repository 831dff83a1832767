"""`without_markup`: the text of a piece of HTML or XML, by a small grammar of this project's own.

Python's own HTML parser changes between versions, and what a text is must not. So this is no parser
of documents: it knows tags one by one and no nesting, and it never fails.

- a comment ``<!-- … -->``: dropped;
- ``<![CDATA[ … ]]>``: replaced by its content as it stands, entities in it too;
- ``<!name … >`` and ``<?name … >`` without a ``<`` or ``>`` between (a doctype, an XML
  declaration): dropped;
- ``script`` and ``style``: dropped, with all that they hold;
- any other tag ``<name …>``, ``</name>`` or ``<name … />``, its attributes set off by white space,
  their values in quotes or without any (then without white space, quotes, ``<``, ``=``, ``>`` and
  a grave accent): dropped; one of `BLOCKS` becomes a space, so that no words grow together.
  Names begin with an ASCII letter; of a name with a prefix, ``jats:p``, the last part counts;
- between all these character references, by the rules of HTML: ``&eacute;``, ``&#233;``.

As in HTML a comment, CDATA section, script or style that is not closed runs to the end of the text.
Everything else stays: ``a < b and c > d``, ``<anna@example.org>``. What looks like a tag is one:
of ``a <b and c> d`` there remains ``a  d``. Not idempotent: ``&lt;b&gt;`` becomes ``<b>``, which is
text and stays, and would be a tag if the result were read as markup once more.
"""

from __future__ import annotations

import html
import re

BLOCKS = frozenset(
    """
    address article aside blockquote body br caption center col colgroup dd details dialog dir div
    dl dt fieldset figcaption figure footer form frameset h1 h2 h3 h4 h5 h6 head header hgroup hr
    html legend li main menu nav ol optgroup option p pre section summary table tbody td tfoot th
    thead title tr ul
    """.split()  # noqa: SIM905 (a list of them would be a page)
)
"""The elements that HTML sets apart from what stands beside them, and ``br``."""

# Possessive, and nothing but an unclosed part runs far: the time is linear in the text's length.
# ASCII: else a long s in a name would be an s, and \s would be as a Python's Unicode has it.
_NAME = r"[a-z][a-z0-9._:-]*+"
_VALUE = r"""(?:"[^"]*+"|'[^']*+'|[^\s"'<>=`]++)"""
_ATTRIBUTES = rf"""(?:(?:\s++|(?<=["']))[^\s"'<>/=]++(?:\s*+=\s*+{_VALUE})?+)*+"""
_MARKUP = re.compile(
    rf"""
      <!--(?:.*?-->|.*)
    | <!\[cdata\[ (?P<cdata>.*?) (?:\]\]>|\Z)
    | <[!?]{_NAME}[^<>]*+>
    | <(?P<dropped>script|style)(?![a-z0-9._:-]) {_ATTRIBUTES}\s*+>
      (?:.*?</(?P=dropped)\s*+>|.*)
    | </?+(?P<name>{_NAME}) {_ATTRIBUTES}\s*+/?+>
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE | re.ASCII,
)

# Python refuses to read a decimal number of thousands of digits; no character has one of these.
_NO_CHARACTER = re.compile(r"&#[0-9]{32,}+;?")


def without_markup(text: str) -> str:
    r"""Return a text without tags, and with its character references replaced.

    >>> without_markup("<p>Le <b class='x'>mot</b>&nbsp;&amp; la chose</p>a < b")
    ' Le mot\xa0& la chose a < b'
    """
    pieces = []
    at = 0
    for found in _MARKUP.finditer(text):
        pieces += [_unescaped(text[at : found.start()]), _kept(found)]
        at = found.end()
    return "".join([*pieces, _unescaped(text[at:])])


def _kept(found: re.Match[str]) -> str:
    """Return what is left of one piece of markup."""
    if found["name"]:
        return " " if found["name"].lower().rpartition(":")[2] in BLOCKS else ""
    return found["cdata"] or ""


def _unescaped(text: str) -> str:
    return html.unescape(_NO_CHARACTER.sub("\ufffd", text))
