"""arXiv: OAI-PMH as in its protocol's version 2.0, and the Atom API as in its user's manual."""

from __future__ import annotations

import base64
import binascii
import json
import random
import textwrap
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import unquote
from xml.sax.saxutils import escape, quoteattr

from aiohttp import web

from .config import ServerConfig
from .pdf import pdf_of
from .prose import paragraph, person, sentence

FIRST_DAY = date(2021, 1, 4)
CATEGORIES = ("cs.CL", "math.CO", "hep-th", "physics.hist-ph", "astro-ph.CO", "stat.ML")
GROUPS = {"hep-th": "physics", "physics": "physics", "astro-ph": "physics"}
LICENCES = (
    "http://creativecommons.org/licenses/by/4.0/",
    "http://arxiv.org/licenses/nonexclusive-distrib/1.0/",
    "http://creativecommons.org/publicdomain/zero/1.0/",
    "",
)
PREFIXES = ("oai_dc", "arXiv")
XML = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'


@dataclass(frozen=True, kw_only=True)
class Record:
    """An article, and when its record changed."""

    id: str
    datestamp: str
    deleted: bool
    sets: tuple[str, ...]
    title: str
    abstract: str
    authors: tuple[tuple[str, str], ...]
    """Family name and forenames."""
    categories: tuple[str, ...]
    created: str
    updated: str
    licence: str
    optional: Mapping[str, str]
    """Elements that many records lack: comments, journal-ref, doi, report-no, msc-class."""


def _set_of(category: str) -> str:
    archive, _, subject = category.partition(".")
    group = GROUPS.get(archive, archive)
    return f"{group}:{archive}:{subject}" if subject else f"{group}:{archive}"


def _id(day: date, number: int) -> str:
    """Return an identifier in either form; unique for up to 1,500 records per day."""
    if number % 50 == 49:
        return f"hep-th/{day:%y%m}{number // 50 % 1000:03d}"
    return f"{day:%y%m}.{number % 99_999 + 1:05d}"


@lru_cache(maxsize=4096)
def record(config: ServerConfig, number: int) -> Record:
    """Return the article with that number, from 0, in the order of its datestamps."""
    chance = random.Random(f"arxiv {config.seed} {number}")
    day = FIRST_DAY + timedelta(days=number // config.records_per_day)
    main = CATEGORIES[number % len(CATEGORIES)]
    categories = tuple(dict.fromkeys((main, chance.choice(CATEGORIES))))
    optional = {
        "comments": f"{chance.randint(4, 60)} pages, {chance.randint(1, 9)} figures",
        "journal-ref": f"J. Small Res. {chance.randint(1, 90)} ({day.year}) 1-9",
        "doi": f"10.5555/{number:06d}",
        "report-no": f"REP-{number}",
        "msc-class": "68T50",
    }
    return Record(
        id=_id(day, number),
        datestamp=day.isoformat(),
        deleted=number % 97 == 96,
        sets=tuple(_set_of(category) for category in categories),
        title=sentence(chance, "en", 6, 14).rstrip(".") + " & $x < y$",
        abstract=paragraph(chance, "en", 6) + f" Number {number}.",
        authors=tuple(person(chance) for _ in range(chance.randint(1, 4))),
        categories=categories,
        created=(day - timedelta(days=chance.randint(1, 300))).isoformat(),
        updated=day.isoformat() if number % 3 == 0 else "",
        licence=LICENCES[number % len(LICENCES)],
        optional={key: value for key, value in optional.items() if chance.random() < 0.5},
    )


def oai(config: ServerConfig, request: web.Request) -> web.Response:
    """Answer a request of the protocol."""
    asked = dict(request.query)
    try:
        inner = _verb(config, asked)
    except ProtocolError as error:
        inner = f'<error code="{error.args[0]}">{escape(error.args[1])}</error>'
        asked = {}
    return _oai_answer(inner, asked)


class ProtocolError(Exception):
    """An error that the protocol has a code for: the code, and a sentence."""


def _oai_answer(inner: str, asked: Mapping[str, str]) -> web.Response:
    attributes = "".join(f" {key}={quoteattr(value)}" for key, value in asked.items())
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/" {XML}>\n'
        f"<responseDate>{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}</responseDate>\n"
        f"<request{attributes}>http://127.0.0.1/oai</request>\n{inner}\n</OAI-PMH>\n"
    )
    return web.Response(body=body.encode(), headers={"Content-Type": "text/xml; charset=utf-8"})


def oai_error(code: str, message: str = "") -> str:
    """Return an answer that reports an error, for a fault of kind ``body``."""
    return _oai_answer(f'<error code="{code}">{escape(message)}</error>', {}).body.decode()


def _verb(config: ServerConfig, asked: dict[str, str]) -> str:
    verb = asked.get("verb", "")
    if verb == "Identify":
        return (
            "<Identify><repositoryName>arXiv</repositoryName><baseURL>http://127.0.0.1/oai"
            "</baseURL><protocolVersion>2.0</protocolVersion><adminEmail>help@example.org"
            "</adminEmail><earliestDatestamp>2005-09-16</earliestDatestamp><deletedRecord>"
            "persistent</deletedRecord><granularity>YYYY-MM-DD</granularity></Identify>"
        )
    if verb == "GetRecord":
        wanted = asked.get("identifier", "").removeprefix("oai:arXiv.org:")
        for number in range(config.records):
            if record(config, number).id == wanted:
                xml = _record_xml(record(config, number), asked.get("metadataPrefix", ""))
                return f"<GetRecord>{xml}</GetRecord>"
        raise ProtocolError("idDoesNotExist", f"There is no {wanted}.")
    if verb not in ("ListRecords", "ListIdentifiers"):
        raise ProtocolError("badVerb", f"The verb {verb} is not known.")
    return _list(config, verb, asked)


def _list(config: ServerConfig, verb: str, asked: dict[str, str]) -> str:
    selection, start = _selection(config, verb, asked)
    numbers = _matching(
        config, selection.get("from", ""), selection.get("until", ""), selection.get("set", "")
    )
    if not numbers:
        raise ProtocolError("noRecordsMatch", "No records match.")
    stop = start + config.oai_page
    page = [record(config, number) for number in numbers[start:stop]]
    if verb == "ListRecords":
        inner = "".join(_record_xml(one, selection["metadataPrefix"]) for one in page)
    else:
        inner = "".join(_header_xml(one) for one in page)
    about = f'completeListSize="{len(numbers)}" cursor="{start}"'
    if stop < len(numbers):
        state = json.dumps({**selection, "verb": verb, "start": stop, "issued": time.time()})
        token = base64.urlsafe_b64encode(state.encode()).decode()
        expires = datetime.now(UTC) + timedelta(seconds=config.token_seconds)
        about += f' expirationDate="{expires:%Y-%m-%dT%H:%M:%SZ}"'
        inner += f"<resumptionToken {about}>{token}</resumptionToken>"
    elif start:
        inner += f"<resumptionToken {about}/>"
    return f"<{verb}>{inner}</{verb}>"


def _selection(
    config: ServerConfig, verb: str, asked: dict[str, str]
) -> tuple[dict[str, Any], int]:
    """Return what is listed, and where its page begins."""
    if "resumptionToken" in asked:
        if set(asked) != {"verb", "resumptionToken"}:
            raise ProtocolError("badArgument", "A resumptionToken is exclusive.")
        try:
            state = json.loads(base64.urlsafe_b64decode(asked["resumptionToken"]))
        except (ValueError, binascii.Error):
            raise ProtocolError("badResumptionToken", "The token is not known.") from None
        if state.pop("verb") != verb or time.time() > state.pop("issued") + config.token_seconds:
            raise ProtocolError("badResumptionToken", "The token has expired.")
        return state, state.pop("start")
    prefix = asked.get("metadataPrefix", "")
    if not prefix or set(asked) - {"verb", "metadataPrefix", "from", "until", "set"}:
        raise ProtocolError("badArgument", "metadataPrefix is required.")
    if prefix not in PREFIXES:
        raise ProtocolError("cannotDisseminateFormat", f"The format {prefix} is not known.")
    for key in ("from", "until"):
        try:
            date.fromisoformat(asked.get(key, "2000-01-01"))
        except ValueError:
            raise ProtocolError("badArgument", f"{key} is not a date.") from None
    return {key: value for key, value in asked.items() if key != "verb"}, 0


@lru_cache(maxsize=64)
def _matching(config: ServerConfig, since: str, until: str, spec: str) -> list[int]:
    numbers = []
    for number in range(config.records):
        day = (FIRST_DAY + timedelta(days=number // config.records_per_day)).isoformat()
        if (since and day < since) or (until and day > until):
            continue
        sets = record(config, number).sets if spec else ()
        if not spec or any(one == spec or one.startswith(f"{spec}:") for one in sets):
            numbers.append(number)
    return numbers


def _header_xml(one: Record) -> str:
    status = ' status="deleted"' if one.deleted else ""
    sets = "".join(f"<setSpec>{spec}</setSpec>" for spec in one.sets)
    return (
        f"<header{status}><identifier>oai:arXiv.org:{one.id}</identifier>"
        f"<datestamp>{one.datestamp}</datestamp>{sets}</header>"
    )


def _record_xml(one: Record, prefix: str) -> str:
    if one.deleted:
        return f"<record>{_header_xml(one)}</record>\n"
    metadata = _arxiv_xml(one) if prefix == "arXiv" else _dc_xml(one)
    return f"<record>{_header_xml(one)}<metadata>{metadata}</metadata></record>\n"


def _wrapped(text: str) -> str:
    return escape(textwrap.fill(text, 76, subsequent_indent="  "))


def _arxiv_xml(one: Record) -> str:
    authors = "".join(
        f"<author><keyname>{escape(family)}</keyname><forenames>{first}</forenames></author>"
        for family, first in one.authors
    )
    optional = "".join(f"<{key}>{escape(value)}</{key}>" for key, value in one.optional.items())
    updated = f"<updated>{one.updated}</updated>" if one.updated else ""
    licence = f"<license>{one.licence}</license>" if one.licence else ""
    return (
        f'<arXiv xmlns="http://arxiv.org/OAI/arXiv/" {XML}><id>{one.id}</id>'
        f"<created>{one.created}</created>{updated}<authors>{authors}</authors>"
        f"<title>{_wrapped(one.title)}</title><categories>{' '.join(one.categories)}</categories>"
        f"{optional}{licence}<abstract>  {_wrapped(one.abstract)}\n</abstract></arXiv>"
    )


def _dc_xml(one: Record) -> str:
    creators = "".join(
        f"<dc:creator>{escape(family)}, {first}</dc:creator>" for family, first in one.authors
    )
    return (
        '<oai_dc:dc xmlns:oai_dc="http://www.openarchives.org/OAI/2.0/oai_dc/" '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{_wrapped(one.title)}</dc:title>'
        f"{creators}<dc:description>{_wrapped(one.abstract)}</dc:description>"
        f"<dc:date>{one.created}</dc:date><dc:identifier>http://arxiv.org/abs/{one.id}"
        "</dc:identifier></oai_dc:dc>"
    )


_asked_pages: Counter[int] = Counter()


def atom(config: ServerConfig, request: web.Request) -> web.Response:
    """Answer a query: ``cat:…``, ``id_list``, or anything else for all articles."""
    query, listed = request.query.get("search_query", ""), request.query.get("id_list", "")
    try:
        start = int(request.query.get("start", "0"))
        most = int(request.query.get("max_results", "10"))
    except ValueError:
        return _feed(config, query, 0, 0, [_error_entry("start must be an integer")], 1)
    if start < 0 or not 0 <= most <= 2000:
        return _feed(config, query, 0, 0, [_error_entry("max_results is out of range")], 1)
    numbers = _found(config, query, listed)
    page = numbers[start : start + most]
    _asked_pages[start] += 1
    if config.empty_pages and (start // max(most, 1)) % 3 == 1 and _asked_pages[start] == 1:
        page = []
    entries = [_entry(record(config, number)) for number in page]
    return _feed(config, query, start, most, entries, len(numbers))


@lru_cache(maxsize=64)
def _found(config: ServerConfig, query: str, listed: str) -> list[int]:
    numbers = [n for n in range(config.records) if not record(config, n).deleted]
    if listed:
        wanted = {one.partition("v")[0] for one in listed.split(",")}
        numbers = [n for n in numbers if record(config, n).id in wanted]
    if query.startswith("cat:"):
        numbers = [n for n in numbers if query[4:] in record(config, n).categories]
    return numbers


def _entry(one: Record) -> str:
    link = f"http://arxiv.org/abs/{one.id}v2"
    authors = "".join(
        f"<author><name>{first} {escape(family)}</name></author>" for family, first in one.authors
    )
    categories = "".join(f'<category term="{term}"/>' for term in one.categories)
    names = {"comments": "comment", "journal-ref": "journal_ref", "doi": "doi"}
    extra = "".join(
        f"<arxiv:{name}>{escape(one.optional[key])}</arxiv:{name}>"
        for key, name in names.items()
        if key in one.optional
    )
    return (
        f"<entry><id>{link}</id><updated>{one.datestamp}T10:00:00Z</updated>"
        f"<published>{one.created}T09:00:00Z</published><title>{_wrapped(one.title)}</title>"
        f"<summary>  {_wrapped(one.abstract)}\n</summary>{authors}{extra}"
        f'<link href="{link}" rel="alternate" type="text/html"/>'
        f'<link title="pdf" href="http://arxiv.org/pdf/{one.id}v2" rel="related" '
        f'type="application/pdf"/><arxiv:primary_category term="{one.categories[0]}"/>'
        f"{categories}</entry>\n"
    )


def _error_entry(message: str) -> str:
    return (
        f"<entry><id>http://arxiv.org/api/errors#bad</id><title>Error</title><summary>{message}"
        "</summary><author><name>arXiv api core</name></author></entry>"
    )


def _feed(
    config: ServerConfig, query: str, start: int, most: int, entries: list[str], total: int
) -> web.Response:
    search = 'xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/"'
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom" '
        f'xmlns:arxiv="http://arxiv.org/schemas/atom" {search}>'
        f"<title>ArXiv Query: {escape(query)}</title><id>http://arxiv.org/api/{config.seed}</id>"
        f"<updated>2026-11-01T00:00:00-04:00</updated>"
        f"<opensearch:totalResults>{total}</opensearch:totalResults>"
        f"<opensearch:startIndex>{start}</opensearch:startIndex>"
        f"<opensearch:itemsPerPage>{most}</opensearch:itemsPerPage>\n{''.join(entries)}</feed>\n"
    )
    kind = {"Content-Type": "application/atom+xml; charset=utf-8"}
    return web.Response(body=body.encode(), headers=kind)


def pdf(config: ServerConfig, request: web.Request) -> web.Response | None:
    """Return an article as PDF."""
    wanted = unquote(request.path).removeprefix("/pdf/")
    for number in range(config.records):
        one = record(config, number)
        if one.id == wanted and not one.deleted:
            body = pdf_of([one.title, one.abstract])
            return web.Response(body=body, headers={"Content-Type": "application/pdf"})
    return None
