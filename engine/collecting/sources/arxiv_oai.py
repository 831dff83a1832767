"""`ArxivOai`: arXiv's articles by OAI-PMH, the interface that arXiv asks harvesters to use."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from ....storage.errors import UsageError
from ..listed_item import Item, Page
from ..source import Source
from .answers.arxiv_records import item_of_record
from .answers.oai_answers import OaiError, OaiList, OaiRecord, read_list
from .listing_guard import ANSWER_BYTES, ListingGuard

if TYPE_CHECKING:
    from ..web.web import Web

LIMITS = {"oaipmh.arxiv.org": 3.0, "export.arxiv.org": 3.0, "arxiv.org": 3.0}
"""Seconds between requests, over all of arXiv's interfaces and a user's machines together, on one
connection: https://info.arxiv.org/help/api/tou.html."""

SITE = "https://arxiv.org"
"""Where PDFs are; the robots.txt of export.arxiv.org disallows everything."""

_PHYSICS = frozenset(
    {"astro-ph", "cond-mat", "gr-qc", "hep-ex", "hep-lat", "hep-ph", "hep-th", "math-ph"}
    | {"nlin", "nucl-ex", "nucl-th", "physics", "quant-ph"}
)
"""Archives whose group is ``physics``: https://arxiv.org/category_taxonomy."""

_SET = re.compile(r"[A-Za-z-]+(:[A-Za-z-]+)*")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_MOST_KEYS = 10_000
_MOST_RESTARTS = 3


def set_of(category: str) -> str:
    """Return the set of a category; a set or a whole group unchanged.

    Examples
    --------
    >>> from paninifs.engine.collecting.sources.arxiv_oai import set_of
    >>> [set_of(category) for category in ("cs.CL", "hep-th", "cs", "math:math:CO")]
    ['cs:cs:CL', 'physics:hep-th', 'cs', 'math:math:CO']
    """
    archive, _, subject = category.partition(".")
    group = "physics" if archive in _PHYSICS else archive
    if subject:
        return f"{group}:{archive}:{subject}"
    return category if archive in (group, "physics") else f"{group}:{archive}"


class ArxivOai(Source):
    """Articles of arXiv, in the order of their records' last change.

    Parameters
    ----------
    category
        A category (``cs.CL``), an archive (``hep-th``), a group (``cs``) or a set of OAI-PMH; empty
        for all of arXiv.
    since, until
        First and last day on which records were changed (not: articles submitted), as YYYY-MM-DD.
    full_text
        Collect the articles' PDFs; otherwise their titles and abstracts.
    base
        The interface's URL.
    pdfs
        Where PDFs are; the path ``/pdf/ID`` is added.

    Notes
    -----
    The licence is the one that an article's authors chose; many allow arXiv alone to distribute it.
    A finished collection that is repeated lists what was changed from the last day on. Records
    that arXiv changes while they are listed can come again, under the same key.
    """

    name: ClassVar[str] = "arxiv"
    homepage: ClassVar[str] = "https://info.arxiv.org/help/oa/index.html"
    limits: ClassVar[dict[str, float]] = LIMITS

    def __init__(
        self,
        category: str = "",
        *,
        since: str = "",
        until: str = "",
        full_text: bool = False,
        base: str = "https://oaipmh.arxiv.org/oai",
        pdfs: str = SITE,
    ) -> None:
        for name, day in (("since", since), ("until", until)):
            if day and not _DAY.fullmatch(day):
                raise UsageError(f"{name}={day!r}: a day is written YYYY-MM-DD")
        self.set = set_of(category)
        if self.set and not _SET.fullmatch(self.set):
            raise UsageError(f"{category!r} is not a category of arXiv, such as cs.CL")
        self.since = since
        self.until = until
        self.full_text = full_text
        self.base = base
        self.pdfs = pdfs

    async def pages(self, web: Web, cursor: str | None) -> AsyncIterator[Page]:
        """Yield pages as the service cuts them."""
        place = _Place.of(cursor)
        guard = ListingGuard("arXiv")
        restarts = 0
        while True:
            params = self._params(place)
            answer = await web.get(self.base, params=params, most_bytes=ANSWER_BYTES, robots=False)
            try:
                listed = await asyncio.to_thread(read_list, answer.body)
            except OaiError as error:
                if error.code == "noRecordsMatch" and not place.token:
                    return
                restarts += 1
                if error.code != "badResumptionToken" or restarts > _MOST_RESTARTS:
                    raise
                place = place.restarted()
                guard = ListingGuard("arXiv")
                continue
            guard.follows(listed.token)
            new = [record for record in listed.records if not place.has(record)]
            items = tuple(await asyncio.to_thread(self._items, new))
            guard.lists(items)
            restarts = 0 if items else restarts
            total = None if place.partial else listed.total
            place = place.after(listed)
            if items or place.token:
                yield Page(items=items, cursor=place.to_json(), total=total)
            if not place.token:
                return

    def _params(self, place: _Place) -> dict[str, str]:
        if place.token:
            return {"verb": "ListRecords", "resumptionToken": place.token}
        params = {
            "verb": "ListRecords",
            "metadataPrefix": "arXiv",
            "set": self.set,
            "from": place.newest if place.partial else self.since,
            "until": self.until,
        }
        return {name: value for name, value in params.items() if value}

    def _items(self, records: list[OaiRecord]) -> list[Item]:
        return [item_of_record(one, self.pdfs if self.full_text else "") for one in records]


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a list resumes: at a token, or else at the newest day that was listed."""

    token: str = ""
    newest: str = ""
    """The newest datestamp so far, as a day."""
    keys: tuple[str, ...] = ()
    """Identifiers with that datestamp, which a list from that day on repeats; of more than
    `_MOST_KEYS`, the last, so that a cursor stays small."""
    ordered: bool = True
    """Whether datestamps only grew so far, so that nothing older is still to come."""
    partial: bool = False
    """Whether this list begins at `newest`."""

    @classmethod
    def of(cls, cursor: str | None) -> _Place:
        if cursor is None:
            return cls()
        try:
            place = cls(**json.loads(cursor))
            place = replace(place, keys=tuple(place.keys))
        except (ValueError, TypeError):
            raise UsageError(f"not a cursor of arXiv: {cursor[:80]!r}") from None
        return place if place.token else replace(place, partial=bool(place.newest))

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    def restarted(self) -> _Place:
        """Return where to resume without the token, which has expired."""
        return replace(self, token="", partial=self.ordered and bool(self.newest))

    def has(self, record: OaiRecord) -> bool:
        return record.identifier in self.keys and record.datestamp[:10] == self.newest

    def after(self, listed: OaiList) -> _Place:
        newest, keys, ordered = self.newest, list(self.keys), self.ordered
        for record in listed.records:
            day = record.datestamp[:10]
            if not _DAY.fullmatch(day) or day < newest:
                ordered = False
            elif day > newest:
                newest, keys = day, [record.identifier]
            else:
                keys.append(record.identifier)
        return replace(
            self,
            token=listed.token,
            newest=newest,
            keys=tuple(dict.fromkeys(keys))[-_MOST_KEYS:],
            ordered=ordered,
        )
