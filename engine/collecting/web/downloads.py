"""`Download`: downloads a large file, resuming where an earlier attempt stopped, however it ended.

Until the file is complete, two others are beside its path: ``path.part``, the bytes received so
far, and ``path.part.json``, the server's description of the file when it began to send it, which is
written first. A part is continued only if the server confirms that the file is unchanged
(`If-Range`); otherwise the download begins again.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ....storage.errors import StorageRefused
from ..outcome import NotKept
from .answer import Answer, Validators
from .reading.bodies import BodyLimits, check_framing, pieces, validators_of
from .reading.refusals import refusal

if TYPE_CHECKING:
    from aiohttp import ClientResponse

Progress = Callable[[int, int | None], None]

_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)
_COMPRESSED = (".gz", ".tgz")
_CHANGED = {412, 416}


class Download:
    """A file that is being downloaded.

    Parameters
    ----------
    path
        Where to put it. An existing file is replaced at the end.
    url
        Its URL; a part from another URL is not continued.
    limits
        How large and how slow it may be.
    progress
        Called with the number of bytes received and, if it is known, the size of the file.
    """

    def __init__(
        self, path: Path, url: str, limits: BodyLimits, progress: Progress | None = None
    ) -> None:
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._said = path.with_name(path.name + ".part.json")
        self._url = url
        self._limits = limits
        self._progress = progress or _unseen
        self.total: int | None = None
        """Size of the file in bytes, if the server declared it."""
        self.received = 0
        """Bytes received since this object was made."""
        self._validators = Validators()
        self._resumes = self._recall()
        self.size = self._part.stat().st_size if self._resumes else 0
        """Bytes received so far, also by earlier attempts."""

    @property
    def is_complete(self) -> bool:
        """Whether all bytes were received, so that only `finish` is missing."""
        return self._resumes and self.size == self.total

    def headers(self) -> dict[str, str]:
        """Return the headers of the next request."""
        headers = {"Accept-Encoding": "identity"}  # a range counts encoded bytes
        if self._resumes and self.size:
            headers["Range"] = f"bytes={self.size}-"
            headers["If-Range"] = _strong(self._validators)
        return headers

    async def receive(self, response: ClientResponse, received: Callable[[int], None]) -> bool:
        """Receive an answer's body; return whether the file is complete now.

        If it is not, the file has changed on the server since the part was received: ask again.

        Raises
        ------
        NotKept
            The answer cannot be used.
        """
        check_framing(response)
        asked = "Range" in response.request_info.headers
        if asked and response.status in _CHANGED:
            self._forget()
            return False
        if asked and response.status == 206:
            if not self._continues(response):
                self._forget()
                return False
        elif response.status == 200:
            self._begin(response)
        else:
            raise refusal(response.status, response.headers)
        await self._write(response, received)
        return True

    def finish(self) -> None:
        """Put the file in its place."""
        with _on_disk(self._path):
            self._part.replace(self._path)
            self._said.unlink(missing_ok=True)

    def finished(self) -> Answer:
        """Put a file that was already complete in its place, and return its answer."""
        self.finish()
        return Answer(
            url=self._url,
            status=200,
            body=b"",
            validators=self._validators,
            retrieved=datetime.now(UTC),
            received_bytes=0,
        )

    def _recall(self) -> bool:
        """Return whether there is a part that can be continued."""
        with suppress(OSError, ValueError, TypeError, KeyError):
            said = json.loads(self._said.read_text("utf-8"))
            self._validators = Validators(**said["validators"])
            total = said["total"]
            same = said["url"] == self._url and _strong(self._validators) != ""
            if same and self._part.is_file() and isinstance(total, int | None):
                self.total = total
                return total is None or self._part.stat().st_size <= total
        return False

    def _begin(self, response: ClientResponse) -> None:
        """Begin the file, or begin it again."""
        encodings = response.headers.get("Content-Encoding", "identity").strip().lower()
        own = encodings in {"gzip", "x-gzip"} and response.url.path.endswith(_COMPRESSED)
        if encodings != "identity" and not own:
            raise NotKept("bad-compression", "compressed, though asked not to")
        self.total = response.content_length
        self._require_small(self.total or 0)
        self._forget(self.total)
        self._validators = validators_of(response)
        self._resumes = _strong(self._validators) != ""
        said = {"url": self._url, "total": self.total, "validators": asdict(self._validators)}
        temporary = self._said.with_name(self._said.name + ".new")
        with _on_disk(self._said):
            temporary.write_text(json.dumps(said), "utf-8")
            temporary.replace(self._said)

    def _continues(self, response: ClientResponse) -> bool:
        """Return whether an answer is the missing rest of the file."""
        found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        now, then = validators_of(response), self._validators
        if found is None or now.etag not in {"", then.etag}:
            return False
        if now.last_modified not in {"", then.last_modified}:
            return False
        first, last = int(found[1]), int(found[2])
        total = None if found[3] == "*" else int(found[3])
        if first != self.size or last < first or (self.total or total) != total:
            return False
        if total is not None and last + 1 != total:
            return False
        self.total = total
        self._require_small(total or 0)
        return True

    async def _write(self, response: ClientResponse, received: Callable[[int], None]) -> None:
        with _on_disk(self._part):
            file = self._part.open("ab")
        with file:
            if os.fstat(file.fileno()).st_size != self.size:
                raise StorageRefused(f"{self._part} was changed by another process")
            async for piece in pieces(response, self._limits, received):
                self._require_small(self.size + len(piece))
                with _on_disk(self._part):
                    file.write(piece)
                    file.flush()  # flushed data survive a kill of this process
                self.size += len(piece)
                self.received += len(piece)
                self._progress(self.size, self.total)
            with _on_disk(self._part):
                os.fsync(file.fileno())
        if self.total is not None and self.size != self.total:
            raise NotKept("truncated", f"{self.size:,} of {self.total:,} bytes")

    def _forget(self, total: int | None = None) -> None:
        with _on_disk(self._part):
            self._said.unlink(missing_ok=True)
            self._part.unlink(missing_ok=True)
        self.size, self.total, self._resumes = 0, total, False
        self._validators = Validators()

    def _require_small(self, size: int) -> None:
        if size > self._limits.most_bytes:
            raise NotKept("too-large", f"{size:,} of at most {self._limits.most_bytes:,} bytes")


def _unseen(_size: int, _total: int | None) -> None:
    """Ignore progress, if no callback was given."""


@contextmanager
def _on_disk(path: Path) -> Iterator[None]:
    """Turn errors of the disk into `StorageRefused`, as those of connections are also OSErrors."""
    try:
        yield
    except OSError as error:
        raise StorageRefused(f"cannot write {path}: {error.strerror or error}") from error


def _strong(validators: Validators) -> str:
    """Return the validator for `If-Range`; empty without a strong one."""
    if validators.etag.startswith('"'):
        return validators.etag
    return validators.last_modified
