"""HAL: its search as in its documentation, which is Solr's with JSON answers; and documents."""

from __future__ import annotations

import base64
import binascii
import json
import random
import re
from functools import lru_cache
from typing import Any

from aiohttp import web

from .config import ServerConfig
from .pdf import pdf_of
from .prose import paragraph, person, sentence

MOST_ROWS = 10_000
LICENCES = ("http://creativecommons.org/licenses/by/", "http://hal.archives-ouvertes.fr/licences/")
FIRST_ID = 1_000_000


@lru_cache(maxsize=4096)
def deposit(config: ServerConfig, number: int) -> dict[str, Any]:
    """Return all fields of the document with that number, from 0."""
    chance = random.Random(f"hal {config.seed} {number}")
    hal_id = f"hal-{FIRST_ID + number:08d}"
    language = ("fr", "en")[number % 2]
    fields: dict[str, Any] = {
        "docid": str(FIRST_ID + number),
        "halId_s": hal_id,
        "uri_s": f"https://hal.science/{hal_id}",
        "language_s": [language],
        "docType_s": ("ART", "THESE", "COMM")[number % 3],
        "authFullName_s": [f"{first} {family}" for family, first in (person(chance),) * 2],
        "domainAllCode_s": ["shs", "shs.langue"],
        "producedDate_s": f"20{10 + number % 15}-05-04",
        "submittedDate_s": "2024-02-03 10:11:12",
        "modifiedDate_s": "2025-02-03 10:11:12",
        "submitType_s": "file" if number % 4 else "notice",
    }
    both = number % 5 == 0
    for lang in ("fr", "en") if both else (language,):
        fields[f"{lang}_title_s"] = [sentence(chance, lang, 5, 9).rstrip(".")]
        if number % 11 != 10:
            fields[f"{lang}_abstract_s"] = [f"{paragraph(chance, lang, 5)} N° {number}."]
    order = [language, *({"fr", "en"} - {language})]
    for name in ("title", "abstract"):
        values = [fields[f"{lang}_{name}_s"][0] for lang in order if f"{lang}_{name}_s" in fields]
        if values:
            fields[f"{name}_s"] = values
    if number % 3:
        fields["licence_s"] = LICENCES[number % 2]
    if number % 4:
        fields["fileMain_s"] = f"https://hal.science/{hal_id}/document"
    if number % 2:
        fields["doiId_s"] = f"10.5555/hal.{number}"
        fields["journalTitle_s"] = "Cahiers de petites recherches"
    return fields


def search(config: ServerConfig, request: web.Request) -> web.Response:
    """Answer a search: words, ``field:value``, ``field:[* TO *]``, joined by AND."""
    asked = request.query
    try:
        rows = int(asked.get("rows", "30"))
    except ValueError:
        return _error("For input string: rows")
    if "q" not in asked:
        return _error("a query is required")
    if not 0 <= rows <= MOST_ROWS:
        return _error(f"rows must be at most {MOST_ROWS}")
    mark = asked.get("cursorMark")
    if mark is not None and "docid" not in asked.get("sort", ""):
        return _error(
            "Cursor functionality requires a sort containing a uniqueKey field tie breaker"
        )
    try:
        after = -1 if mark in (None, "*") else int(base64.b64decode(mark, validate=True))
    except (ValueError, binascii.Error):
        return _error("Unable to parse 'cursorMark' after totem")
    found = _found(config, asked["q"], asked.get("fq", ""))
    left = [number for number in found if number > after]
    start = int(asked.get("start", "0"))
    page = left[start : start + rows]
    fields = asked.get("fl", "docid,label_s").split(",")
    documents = [_only(_on(request, deposit(config, number)), fields) for number in page]
    answer: dict[str, Any] = {
        "response": {"numFound": len(found), "start": start, "docs": documents}
    }
    if mark is not None:
        answer["nextCursorMark"] = base64.b64encode(b"%d" % page[-1]).decode() if page else mark
    return web.json_response(answer)


def _on(request: web.Request, fields: dict[str, Any]) -> dict[str, Any]:
    """Return a document whose file is on this server."""
    if "fileMain_s" not in fields:
        return fields
    return {**fields, "fileMain_s": f"http://{request.host}/document/{fields['halId_s']}"}


def _only(fields: dict[str, Any], wanted: list[str]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key in wanted or "*" in wanted}


def _error(message: str) -> web.Response:
    return web.json_response({"error": {"msg": message, "code": 400}}, status=400)


@lru_cache(maxsize=64)
def _found(config: ServerConfig, query: str, narrowed: str) -> list[int]:
    clauses = [
        clause.strip().strip("()")
        for part in (query, narrowed)
        for clause in re.split(r"\bAND\b", part)
        if clause.strip()
    ]
    numbers = range(config.deposits)
    return [n for n in numbers if all(_matches(deposit(config, n), c) for c in clauses)]


def _matches(fields: dict[str, Any], clause: str) -> bool:
    name, colon, value = clause.partition(":")
    if clause == "*:*":
        return True
    if not colon:
        return clause.lower() in json.dumps(fields, ensure_ascii=False).lower()
    if value == "[* TO *]":
        return name in fields
    given = fields.get(name, [])
    return value.strip('"') in (given if isinstance(given, list) else [given])


def document(config: ServerConfig, request: web.Request) -> web.Response | None:
    """Return a document's file."""
    number = int(request.path.removeprefix("/document/hal-")) - FIRST_ID
    if not 0 <= number < config.deposits:
        return None
    fields = deposit(config, number)
    body = pdf_of([*fields.get("title_s", []), *fields.get("abstract_s", ["Sans résumé."])])
    return web.Response(body=body, headers={"Content-Type": "application/pdf"})
