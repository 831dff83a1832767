"""A mirror of Wikipedia's dumps: French, in several streams of bz2, with status and checksums."""

from __future__ import annotations

import bz2
import hashlib
import json
import random
from functools import lru_cache
from xml.sax.saxutils import escape

from aiohttp import web

from .config import ServerConfig
from .prose import paragraph, sentence

DATE = "20261101"
PAGES_PER_STREAM = 10


def article(config: ServerConfig, number: int) -> tuple[str, int, str]:
    """Return title, namespace and wikitext of the page with that number, from 0."""
    chance = random.Random(f"dump {config.seed} {number}")
    title = f"{sentence(chance, 'fr', 1, 3).rstrip('.')} {number}"
    if number % 9 == 8:
        return title, 0, "#REDIRECTION [[Accueil]]"
    if number % 9 == 7:
        return f"Discussion:{title}", 1, paragraph(chance, "fr", 2)
    head, tail = paragraph(chance, "fr", 3), paragraph(chance, "fr", 4)
    text = (
        f"{{{{Infobox|nom={title}|image=a.png}}}}\n'''{title}''' : {head}"
        f"<ref>{{{{Ouvrage|titre=Rien}}}}</ref>\n\n== Histoire ==\n[[Lien|Un lien]]. {tail}\n\n"
        f"[[Catégorie:Essai]]\n"
    )
    return title, 0, text


def _page_xml(config: ServerConfig, number: int) -> str:
    title, namespace, text = article(config, number)
    redirect = '<redirect title="Accueil" />' if text.startswith("#REDIRECTION") else ""
    size = len(text.encode())
    return (
        f"  <page><title>{escape(title)}</title><ns>{namespace}</ns><id>{number + 1}</id>{redirect}"
        f"<revision><id>{9000 + number}</id><timestamp>2026-10-01T10:00:00Z</timestamp>"
        f"<contributor><username>Essai</username><id>5</id></contributor>"
        f"<model>wikitext</model><format>text/x-wiki</format>"
        f'<text bytes="{size}" xml:space="preserve">{escape(text)}</text></revision></page>\n'
    )


@lru_cache(maxsize=1)
def _files(config: ServerConfig) -> dict[str, bytes]:
    head = (
        '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" '
        'xml:lang="fr">\n  <siteinfo><sitename>Wikipédia</sitename><dbname>frwiki</dbname>'
        "<base>https://fr.wikipedia.org/wiki/Accueil</base></siteinfo>\n"
    )
    streams, index = [bz2.compress(head.encode())], []
    for first in range(0, config.articles, PAGES_PER_STREAM):
        numbers = range(first, min(first + PAGES_PER_STREAM, config.articles))
        offset = sum(map(len, streams))
        index += [f"{offset}:{n + 1}:{article(config, n)[0]}\n" for n in numbers]
        streams.append(bz2.compress("".join(_page_xml(config, n) for n in numbers).encode()))
    streams.append(bz2.compress(b"</mediawiki>\n"))
    plain = b"".join(bz2.decompress(stream) for stream in streams)
    return {
        "pages-articles-multistream.xml.bz2": b"".join(streams),
        "pages-articles-multistream-index.txt.bz2": bz2.compress("".join(index).encode()),
        "pages-articles.xml.bz2": bz2.compress(plain),
    }


def files(config: ServerConfig, request: web.Request) -> web.Response | None:
    """Return a file of ``/dumps/frwiki/DATE/`` or ``/dumps/frwiki/latest/``."""
    _, _, wiki, day, name = request.path.split("/", 4)
    if wiki != "frwiki" or day not in (DATE, "latest"):
        return None
    dumped = _files(config)
    sums = {key: hashlib.sha1(body).hexdigest() for key, body in dumped.items()}
    if name == "dumpstatus.json":
        return web.json_response(_status(dumped, sums))
    if name == f"frwiki-{day}-sha1sums.txt":
        lines = "".join(f"{digest}  frwiki-{DATE}-{key}\n" for key, digest in sums.items())
        return web.Response(text=lines)
    body = dumped.get(name.removeprefix(f"frwiki-{day}-"))
    if body is None:
        return None
    return web.Response(body=body, headers={"Content-Type": "application/octet-stream"})


def _status(dumped: dict[str, bytes], sums: dict[str, str]) -> dict:
    listed = {
        f"frwiki-{DATE}-{key}": {
            "size": len(body),
            "url": f"/frwiki/{DATE}/frwiki-{DATE}-{key}",
            "sha1": sums[key],
        }
        for key, body in dumped.items()
    }
    job = {"status": "done", "updated": "2026-11-02 01:02:03", "files": listed}
    return json.loads(json.dumps({"version": "0.8", "jobs": {"articlesmultistreamdump": job}}))
