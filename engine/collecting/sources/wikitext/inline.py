"""Removes the markup within lines: emphasis, external links, tags, entities, list marks.

Every regular expression stops at the characters that could begin another match of it, so that
matching takes linear time.
"""

from __future__ import annotations

import html
import re

from .opaque import REMOVED

_ELEMENTS = """
abbr b bdi bdo big blockquote br caption center cite code data dd del dfn div dl dt em font h1 h2 h3
h4 h5 h6 hr i ins kbd li mark noinclude nowiki ol onlyinclude p poem pre q rb ref references rp rt
rtc ruby s samp section small span strike strong sub sup table tbody td tfoot th thead time tr tt u
ul var wbr includeonly
"""
_BREAKING = frozenset(
    "blockquote br dd div dt h1 h2 h3 h4 h5 h6 hr li p table tr".split()  # noqa: SIM905
)

_TAG = re.compile(rf"</?({'|'.join(_ELEMENTS.split())})(?:[\s/][^<>]{{0,2000}})?>", re.IGNORECASE)
_OUTER_LINK = re.compile(
    r"\[(?:(?:https?|ftps?|mailto|irc|news):|//)([^\s\[\]<>]*)((?:[ \t\u00a0][^\[\]\n]*)?)\]",
    re.IGNORECASE,
)
_EMPHASIS = re.compile("''+")
_MAGIC_WORD = re.compile(r"__([^\W\d_]{3,40})__")
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_VARIANT = re.compile(r"-\{([^{}\n]*)\}-")
_BEGIN, _END = "(\uff08", ")\uff09"  # also those of full width
_LEFT_IN_BRACKETS = re.compile(rf"[ \u00a0]?[{_BEGIN}]([\s,;:\u00a0{REMOVED}]*)[{_END}]")
_LEFT_AT_BRACKET = re.compile(rf"([{_BEGIN}])([\s,;:\u00a0{REMOVED}]+)")
_REMOVED_LINE = re.compile(rf"^[ \t{REMOVED}]+\n", re.MULTILINE)
_SPACES = re.compile(rf"[ \t{REMOVED}]+")
_BLANK_LINES = re.compile(r"\n{3,}")
_LIST = "*#:;"


def without_inline(text: str) -> str:
    r"""Return a text without the markup within lines; entities are left.

    >>> without_inline("'''Pāṇini''' ([http://a.b/ his ''site'']) wrote<br/>it.__NOTOC__")
    'Pāṇini (his site) wrote\nit.'
    """
    if "<" in text:
        text = _TAG.sub(_tag_text, text)
    if "[" in text:
        text = _OUTER_LINK.sub(_outer_link_text, text)
    if "''" in text:
        text = _EMPHASIS.sub(_apostrophes, text)
    if "__" in text:
        text = _MAGIC_WORD.sub(lambda word: "" if word[1].isupper() else word[0], text)
    if "-{" in text:
        text = _VARIANT.sub(_variant_text, text)
    return text


def _tag_text(tag: re.Match[str]) -> str:
    return "\n" if tag[1].lower() in _BREAKING else ""


def _outer_link_text(link: re.Match[str]) -> str:
    return link[2].strip() or REMOVED


def _apostrophes(run: re.Match[str]) -> str:
    """Return the apostrophes of a run that are not marks: MediaWiki takes 2, 3 or 5 for those."""
    width = len(run[0])
    return "'" if width == 4 else "'" * max(0, width - 5)


def _variant_text(variant: re.Match[str]) -> str:
    """Return the first variant of a word that Chinese pages give in several scripts."""
    flags, bar, forms = variant[1].rpartition("|")
    if bar and flags.strip() in {"H", "A", "T", "-"}:  # rules for the page, not shown
        return ""
    first = forms.partition(";")[0]
    return first.partition(":")[2] or first


def decoded_entities(text: str) -> str:
    """Return a text with its character references decoded, those with a semicolon only.

    >>> decoded_entities("AT&T, &eacute;t&#233; &amp;lt; &copy=1")
    'AT&T, été &lt; &copy=1'
    """
    return _ENTITY.sub(lambda entity: html.unescape(entity[0]), text) if "&" in text else text


def tidied(text: str) -> str:
    r"""Return a text without the remains of removed markup: empty brackets, spaces, blank lines.

    >>> tidied("Rome (\x01, \x01) is\x01 a \x01 city, f().\n\x01\nIt (\x01; b) is.")
    'Rome is a city, f().\nIt (b) is.'
    """
    if REMOVED in text:
        text = _LEFT_IN_BRACKETS.sub(_left, text)
        text = _LEFT_AT_BRACKET.sub(lambda m: m[1] if REMOVED in m[2] else m[0], text)
        text = _REMOVED_LINE.sub(lambda m: "" if REMOVED in m[0] else m[0], text)
    lines = [_line(line) for line in text.split("\n")]
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()


def _left(brackets: re.Match[str]) -> str:
    return "" if REMOVED in brackets[1] else brackets[0]


def _line(line: str) -> str:
    """Return a line without the marks of headings, lists, rules and rows of broken tables."""
    if line[:1] == "=" and line.rstrip().endswith("="):
        stripped = line.strip()
        level = min(6, _leading(stripped), _leading(stripped[::-1]), (len(stripped) - 1) // 2)
        line = stripped[level : len(stripped) - level] if level > 0 else line
    elif line[:1] in _LIST:
        line = line.lstrip(_LIST + " \t")
    elif line.startswith(("{|", "|", "----")):
        line = line.lstrip("-") if line[0] == "-" else ""
    return _SPACES.sub(_space, line).strip(" ")


def _leading(text: str) -> int:
    return len(text) - len(text.lstrip("="))


def _space(run: re.Match[str]) -> str:
    """Return one space for a run of spaces and removed markup, or none if it has no space."""
    return " " if " " in run[0] or "\t" in run[0] else ""
