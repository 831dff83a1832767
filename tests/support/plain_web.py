"""`PlainWeb`: a `Web` without manners, for tests of sources against loopback."""

from __future__ import annotations

import asyncio
import gzip
from datetime import UTC, datetime
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from paninifs.engine.collecting.outcome import NotKept
from paninifs.engine.collecting.web.answer import Answer, Validators

REASONS = {304: "unchanged", 403: "forbidden", 404: "not-found", 429: "busy", 503: "busy"}


class PlainWeb:
    """Asks once, at once. `asked` lists the addresses; `canned` answers some without a server.

    `bounds` lists the largest bodies that were allowed.
    """

    def __init__(self, canned=None) -> None:
        self.asked: list[str] = []
        self.bounds: list[int | None] = []
        self.canned = dict(canned or {})

    async def get(self, url, *, params=None, validators=None, most_bytes=None, robots=True):
        if params:
            url += f"?{urlencode(params)}"
        self.asked.append(url)
        self.bounds.append(most_bytes)
        return await asyncio.to_thread(self._get, url, most_bytes)

    async def save(self, url, path, *, most_bytes=None):
        answer = await self.get(url, most_bytes=most_bytes)
        path.write_bytes(answer.body)
        return Answer(
            url=url,
            status=200,
            body=b"",
            retrieved=answer.retrieved,
            received_bytes=len(answer.body),
        )

    def _get(self, url, most_bytes):
        for start, body in self.canned.items():
            if url.startswith(start):
                return _answer(url, body.pop(0) if isinstance(body, list) else body, {})
        try:
            with urlopen(Request(url, headers={"Accept-Encoding": "gzip"}), timeout=20) as answer:
                body = answer.read()
                headers = answer.headers
        except HTTPError as error:
            error.close()
            raise NotKept(REASONS.get(error.code, "bad-status"), str(error.code)) from None
        except (URLError, ConnectionError) as error:
            raise NotKept("unreachable", str(error)) from None
        if headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if most_bytes is not None and len(body) > most_bytes:
            raise NotKept("too-large", f"{len(body)} bytes")
        return _answer(url, body, headers)


def _answer(url, body, headers):
    return Answer(
        url=url,
        status=200,
        body=body,
        media_type=headers.get("Content-Type", "").partition(";")[0],
        validators=Validators(etag=headers.get("ETag", "")),
        retrieved=datetime.now(UTC),
        received_bytes=len(body),
    )
