"""`croissant`: a data card for machines, as JSON-LD in the vocabulary of Croissant 1.0.

The vocabulary is MLCommons'. Paths are relative to the card's own folder, inside the corpus. Each
part has a record set of its own: one file set would be shorter, but mlcroissant 1.1 finds its files
only below the card's folder, or in an archive.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from .card_facts import CardFacts
from .part_tally import OTHERS, PartTally

CONFORMS_TO = "http://mlcommons.org/croissant/1.0"

PARQUET = "application/x-parquet"
"""Media type of Parquet in Croissant's documentation, the only one that its readers accept."""

COLUMNS: Mapping[str, str] = {
    "id": "Identifies the item in its source.",
    "text": "The text.",
    "title": "The item's title.",
    "lang": "Language of the text, an ISO 639 code; given by the source, or detected.",
    "lang_confidence": "Confidence of the detected language, 0 to 1; null if the source gave it.",
    "source": "Short name of the source.",
    "url": "Where the item is, or was fetched from.",
    "licence": "An SPDX identifier or a licence's URL; empty if unknown.",
    "retrieved": "When it was retrieved, UTC.",
    "sha256": "SHA-256 of the text's UTF-8 bytes, in hexadecimal digits.",
    "media_type": "Type of the document that the text was extracted from.",
    "extra": "Further facts by name, as JSON.",
}
"""Descriptions of the columns of a collected corpus, by name."""

_CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The JSON-LD context that Croissant 1.0 prescribes: terms and their expansions."""


def croissant(facts: CardFacts, schema: pa.Schema) -> dict[str, Any]:
    """Return the card as a JSON-serialisable mapping.

    Parameters
    ----------
    facts : CardFacts
    schema : pyarrow.Schema
        Schema of the parts.
    """
    homepages = [one.homepage for one in facts.sources if one.homepage]
    known = [one for one in facts.licences if one not in ("", OTHERS)]
    return {
        "@context": dict(_CONTEXT),
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": facts.name,
        "description": described(facts),
        **({"license": known} if known else {}),
        **({"url": homepages[0]} if homepages else {}),
        **({"isBasedOn": homepages} if homepages else {}),
        "citeAs": cited(facts),
        "dateCreated": _date(facts.created.isoformat(timespec="seconds")),
        "dateModified": _date(facts.modified.isoformat(timespec="seconds")),
        "datePublished": _date(facts.modified.isoformat(timespec="seconds")),
        "version": f"1.{len(facts.parts)}.0",  # texts are only ever appended
        "isLiveDataset": not facts.complete,
        **({"inLanguage": languages} if (languages := _languages(facts)) else {}),
        "distribution": [_file(one) for one in facts.parts],
        "recordSet": [_records(one, schema) for one in facts.parts],
    }


def described(facts: CardFacts) -> str:
    """Return a description of the corpus: two or three sentences of plain text."""
    names = ", ".join(one.name for one in facts.sources) or "no source"
    first, last = facts.retrieved
    days = sorted({first[:10], last[:10]})
    when = f", retrieved {'on' if len(days) == 1 else 'from'} {' to '.join(days)}" if first else ""
    unlicensed = facts.licences.get("", 0)
    unknown = f" The licence of {_texts(unlicensed)} is not known." if unlicensed else ""
    going = "" if facts.complete else " The collection is not complete."
    return (
        f"{_texts(facts.rows)}, {facts.text_bytes:,} bytes of UTF-8, collected from {names}{when}. "
        f"Texts that are equal byte by byte are there once.{unknown}{going}"
    )


def cited(facts: CardFacts) -> str:
    """Return how to cite this corpus, as a sentence; the sources are to be cited too."""
    names = ", ".join(one.name for one in facts.sources)
    return (
        f"{facts.name}: a corpus of {_texts(facts.rows)} from {names}, collected with PaniniFS "
        f"{facts.version} by {facts.modified:%Y-%m-%d}; SHA-256 {facts.digest}"
    )


def _texts(count: int) -> str:
    return f"{count:,} text{'' if count == 1 else 's'}"


def _date(instant: str) -> str:
    return instant.replace("+00:00", "Z")


def _languages(facts: CardFacts) -> list[str]:
    return [one for one in facts.languages if one not in ("", OTHERS)]


def _file(part: PartTally) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": part.name,
        "name": part.name,
        "contentUrl": f"../{part.name}",
        "contentSize": f"{part.nbytes} B",
        "encodingFormat": PARQUET,
        "sha256": part.sha256,
    }


def _records(part: PartTally, schema: pa.Schema) -> dict[str, Any]:
    name = part.name.removesuffix(".parquet")
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"{part.rows:,} texts.",
        "field": [_field(one, part.name, name) for one in schema],
    }


def _field(column: pa.Field, file: str, records: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{records}/{column.name}",
        "name": column.name,
        "description": COLUMNS.get(column.name, column.name),
        "dataType": _data_type(column),
        "source": {"fileObject": {"@id": file}, "extract": {"column": column.name}},
    }


def _data_type(column: pa.Field) -> str:
    kind = column.type
    if column.name == "url":
        return "sc:URL"
    if pa.types.is_timestamp(kind):
        return "sc:DateTime"
    if pa.types.is_floating(kind):
        return "sc:Float"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    return "sc:Boolean" if pa.types.is_boolean(kind) else "sc:Text"
