"""Reads lists of OAI-PMH 2.0: records, resumption tokens and errors.

https://www.openarchives.org/OAI/openarchivesprotocol.html. Metadata of records are parsed in the
modules of their formats, such as `arxiv_records`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...outcome import NotKept
from .xml_answers import parse_xml, text_of

OAI = "{http://www.openarchives.org/OAI/2.0/}"
_LONGEST_TOKEN = 4096


class OaiError(NotKept):
    """The service answered with an error of the protocol."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__("bad-record", f"{code}: {message}")
        self.code = code


@dataclass(frozen=True, kw_only=True)
class OaiRecord:
    """A record; its metadata are an element of lxml, or None."""

    element: Any
    identifier: str
    datestamp: str
    deleted: bool
    metadata: Any


@dataclass(frozen=True, kw_only=True)
class OaiList:
    """Records that were listed, and the token for the next ones."""

    records: tuple[OaiRecord, ...] = ()
    token: str = ""
    """Empty at the end of the list."""
    total: int | None = None
    """How many records the whole list has, by the service's estimate."""


def read_list(body: bytes) -> OaiList:
    """Read an answer to ListRecords.

    Raises
    ------
    OaiError
        The service answered with an error.
    NotKept
        This is not such an answer.
    """
    root = parse_xml(body, "a list of OAI-PMH")
    if root.tag != f"{OAI}OAI-PMH":
        raise NotKept("bad-record", f"an element <{root.tag[:80]}> instead of OAI-PMH")
    error = root.find(f"{OAI}error")
    if error is not None:
        raise OaiError(error.get("code", "")[:80], text_of(error)[:200])
    listed = root.find(f"{OAI}ListRecords")
    if listed is None:
        raise NotKept("bad-record", "OAI-PMH without ListRecords and without an error")
    token = listed.find(f"{OAI}resumptionToken")
    following = "" if token is None else (token.text or "").strip()
    if len(following) > _LONGEST_TOKEN:
        raise NotKept("bad-record", f"a resumption token of {len(following)} characters")
    return OaiList(
        records=tuple(_record(element) for element in listed.iterfind(f"{OAI}record")),
        token=following,
        total=None if token is None else count_of(token.get("completeListSize", "")),
    )


def count_of(given: str) -> int | None:
    """Return a service's count; None if it is not a plausible number."""
    text = given.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def _record(element: Any) -> OaiRecord:
    header = element.find(f"{OAI}header")
    metadata = element.find(f"{OAI}metadata")
    return OaiRecord(
        element=element,
        identifier="" if header is None else text_of(header.find(f"{OAI}identifier")),
        datestamp="" if header is None else text_of(header.find(f"{OAI}datestamp")),
        deleted=header is not None and header.get("status") == "deleted",
        metadata=None if metadata is None or not len(metadata) else metadata[0],
    )
