"""Markdown: its text without markup, including code but not HTML."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .....storage.errors import BackendUnavailable
from ..charsets import decoded
from ..extracted import Extracted

if TYPE_CHECKING:
    from markdown_it.token import Token

_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?\n)(?:---|\.\.\.)[ \t]*(?:\n|$)", re.DOTALL)
_FACT = re.compile(r"^(title|lang|language|license|licence):[ \t]*(.*)$", re.MULTILINE)
_NAMES = {"language": "lang", "license": "licence"}
_AFTER = {
    "paragraph_close": "\n\n",
    "heading_close": "\n\n",
    "bullet_list_close": "\n",
    "ordered_list_close": "\n",
    "td_close": "\t",
    "th_close": "\t",
    "tr_close": "\n",
    "table_close": "\n",
    "softbreak": "\n",
    "hardbreak": "\n",
}


def extract_markdown(content: bytes, charset: str) -> Extracted:
    """Return the text of a Markdown document (CommonMark with tables)."""
    try:
        from markdown_it import MarkdownIt
    except ImportError as error:
        raise BackendUnavailable(
            "text of Markdown needs markdown-it-py: pip install 'paninifs[collect]'"
        ) from error
    text = decoded(content, charset).text.replace("\r\n", "\n")
    facts: dict[str, str] = {}
    if front := _FRONT_MATTER.match(text):
        found = _FACT.findall(front[1])
        facts = {_NAMES.get(name, name): value.strip("\"' ") for name, value in found}
        text = text[front.end() :]
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    return Extracted(
        text="".join(_pieces(tokens)),
        title=facts.get("title") or _heading(tokens),
        lang=facts.get("lang", ""),
        licence=facts.get("licence", ""),
        media_type="text/markdown",
    )


def _heading(tokens: list[Token]) -> str:
    """Return the text of the first heading, if there is one."""
    for token, inline in itertools.pairwise(tokens):
        if token.type == "heading_open":
            return "".join(_pieces([inline]))
    return ""


def _pieces(tokens: Iterable[Token]) -> list[str]:
    pieces: list[str] = []
    for token in tokens:
        if token.type in ("inline", "image"):
            pieces += _pieces(token.children or ())
        elif token.type in ("text", "code_inline"):
            pieces.append(token.content)
        elif token.type in ("fence", "code_block"):
            pieces.append(token.content + "\n")
        elif token.type in _AFTER:
            # The paragraphs of a tight list are hidden: a line each.
            pieces.append("\n" if token.hidden else _AFTER[token.type])
    return pieces
