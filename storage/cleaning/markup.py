"""`without_markup`: the text of a piece of HTML or XML, found by a small grammar of this project.

Python's own HTML parser changes between versions, and the text of a document must not. So this is
not a full parser: it recognises single tags, ignores nesting, and never fails.

- a comment ``<!-- … -->``: dropped;
- ``<![CDATA[ … ]]>``: replaced by its content unchanged, including entities;
- ``<!name … >`` and ``<?name … >`` without a ``<`` or ``>`` inside (a doctype, an XML
  declaration): dropped;
- ``script`` and ``style``: dropped, with their content;
- any other tag ``<name …>``, ``</name>`` or ``<name … />``: dropped, or replaced by a space if the
  name is in `BLOCKS`, so that no words are joined. Names begin with an ASCII letter; a prefix, as
  in ``jats:p``, is ignored. Attributes are separated by white space. Their values may be quoted; an
  unquoted value contains no white space, quotes, ``<``, ``=``, ``>`` or grave accents;
- character references outside all these: replaced by the rules of HTML (``&eacute;``, ``&#233;``).

As in HTML, an unclosed comment, CDATA section, script or style runs to the end of the text.
Everything else stays: ``a < b and c > d``, ``<anna@example.org>``. Anything that looks like a tag
is one: ``a <b and c> d`` becomes ``a  d``. The result is not idempotent: ``&lt;b&gt;`` becomes
``<b>``, which would be a tag if the result were cleaned again.
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
    """.split()  # noqa: SIM905 (a list of strings would be a page long)
)
"""Elements that HTML displays as blocks of their own, and ``br``."""

# Repetitions are possessive, and only an unclosed part can be long, so the time is linear in the
# text's length. re.ASCII is set because otherwise a long s would match an s, and \s would depend on
# the version of Unicode that Python supports.
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

# int() raises on thousands of decimal digits, and no character's number has that many.
_NO_CHARACTER = re.compile(r"&#[0-9]{32,}+;?")


def without_markup(text: str) -> str:
    r"""Return a text without markup, with its character references replaced.

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
    """Return the text that replaces one piece of markup."""
    if found["name"]:
        return " " if found["name"].lower().rpartition(":")[2] in BLOCKS else ""
    return found["cdata"] or ""


def _unescaped(text: str) -> str:
    return html.unescape(_NO_CHARACTER.sub("\ufffd", text))
