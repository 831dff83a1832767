"""Plain hosts: pages in HTML, text and PDF, in English and French, and robots.txt."""

from __future__ import annotations

import random
import re
from html import escape

from aiohttp import web

from .config import ServerConfig
from .pdf import pdf_of
from .prose import paragraph, sentence


def content(config: ServerConfig, host: str, number: int) -> tuple[str, str, list[str]]:
    """Return language, title and paragraphs of a host's page; they differ between hosts."""
    chance = random.Random(f"page {config.seed} {host} {number}")
    lang = ("en", "fr")[number % 2]
    title = sentence(chance, lang, 4, 8).rstrip(".")
    return lang, title, [paragraph(chance, lang, 4) for _ in range(3)]


def page(config: ServerConfig, request: web.Request) -> web.Response | None:
    """Return ``/pages/N.html``, ``.txt`` or ``.pdf``."""
    found = re.fullmatch(r"/(?:pages|private)/(\d+)\.(html|txt|pdf)", request.path)
    if not found or int(found[1]) >= config.pages:
        return None
    host = request.transport.get_extra_info("sockname")[0]
    lang, title, paragraphs = content(config, host, int(found[1]))
    if found[2] == "txt":
        return _answer("\n\n".join((title, *paragraphs)).encode(), "text/plain; charset=utf-8")
    if found[2] == "pdf":
        return _answer(pdf_of([title, *paragraphs]), "application/pdf")
    body = "".join(f"<p>{escape(text)}</p>\n" for text in paragraphs)
    html = (
        f'<!DOCTYPE html>\n<html lang="{lang}"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><script>document.title = 'executed'</script></head><body>"
        f'<nav><a href="/">Home</a> <a href="/pages/0.html">First</a></nav>\n'
        f"<article><h1>{escape(title)}</h1>\n{body}</article>"
        "<footer>All rights and wrongs reserved</footer></body></html>\n"
    )
    return _answer(html.encode(), "text/html; charset=utf-8")


def robots(config: ServerConfig, request: web.Request) -> web.Response:
    """Return the rules, the same for every host."""
    return _answer(config.robots.encode(), "text/plain")


def _answer(body: bytes, kind: str) -> web.Response:
    return web.Response(body=body, headers={"Content-Type": kind})
