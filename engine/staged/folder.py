"""`StagedFolder`: the folder that a corpus is staged into, and which of its parts are done.

=========================== ====================================================================
key                         object
=========================== ====================================================================
``part-NUMBER[_FILE].parquet`` the rows of a part; most have one file, an empty one has none
``_parts/NUMBER.json``      the marker of a part that is done: its rows, and the sizes of its files
``_staging.json``           what is staged here, written before the first part
``_staged.json``            the same, written when every part is done
``_run/lease/NUMBER.json``  the process that may write here
=========================== ====================================================================
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from ...storage.errors import ResultsMismatch
from ...storage.store.keys import is_lease
from ...storage.store.leases.lease import LeaseTicket
from ...storage.store.manifest import differences
from ...storage.targets.local import is_temporary
from ...storage.targets.target import Target
from .identity import Identity

STAGED_KEY = "_staged.json"
"""Key of the object that marks a folder as completely staged."""

BEGUN_KEY = "_staging.json"
_MARKERS = "_parts"
_FILES = "part-"
_FILE = re.compile(rf"{_FILES}\d{{6}}(_\d{{4}})?\.parquet")
_MOST_DIFFERENCES = 3


@dataclass(frozen=True)
class Part:
    """A part that is done."""

    number: int
    rows: int
    files: Mapping[str, int]  # sizes in bytes, by key

    @property
    def key(self) -> str:
        """Key of the marker."""
        return f"{_MARKERS}/{self.number:06d}.json"

    def to_json(self) -> bytes:
        """Return the marker."""
        return json.dumps(asdict(self)).encode()


def file_key(number: int, file: int) -> str:
    """Return the key of a file of a part; in the order of their names, rows have their order.

    >>> file_key(3, 0), file_key(3, 1)
    ('part-000003.parquet', 'part-000003_0001.parquet')
    """
    return f"{_FILES}{number:06d}{f'_{file:04d}' if file else ''}.parquet"


class StagedFolder:
    """The folder of a staged corpus. Only the holder of its lease changes it.

    Parameters
    ----------
    target : Target
    identity : Identity
        Identity of the corpus that is staged.
    what : str
        Name of such a corpus in messages.
    """

    def __init__(self, target: Target, identity: Identity, what: str) -> None:
        self.target = target
        self._identity, self._what = identity, what
        self._token = identity.token

    def done(self, parts: int, *, fresh: bool) -> dict[int, Part]:
        """Return the finished parts of `parts` by number; discard everything else in the folder.

        Parameters
        ----------
        fresh : bool
            Discard what was staged from another corpus.

        Raises
        ------
        ResultsMismatch
            The folder holds something else, or was staged from another corpus.
        """
        sizes = self.target.sizes()
        foreign = [key for key in sizes if not _is_ours(key)]
        if foreign and STAGED_KEY not in sizes:
            raise ResultsMismatch(
                f"{self.target.url} holds {min(foreign)}, which is not part of a staged frame; "
                "choose another folder"
            )
        self._require_same(fresh=fresh)
        if not self._begun_here():
            # What an earlier version staged has no markers, and is complete or worthless.
            self._discard(key for key in sizes if _is_ours(key))
            return {}
        markers = (self._marker(key) for key in sizes if key.startswith(f"{_MARKERS}/"))
        found = [one for one in markers if one is not None and one.number < parts]
        if not found and STAGED_KEY in sizes:  # an earlier version wrote no markers
            return {number: Part(number, 0, {}) for number in range(parts)}
        done = {one.number: one for one in found if one.files.items() <= sizes.items()}
        known = {key for one in done.values() for key in (one.key, *one.files)}
        self._discard(
            key for key in sizes if _is_ours(key) and key not in {*known, BEGUN_KEY, STAGED_KEY}
        )
        if len(done) < parts:
            self.target.delete([STAGED_KEY])
        return done

    @property
    def is_complete(self) -> bool:
        """Whether the folder is marked as completely staged from this corpus."""
        return self._said(STAGED_KEY) == self._token

    def begin(self, ticket: LeaseTicket) -> None:
        """Record what is staged here, before the first part is written."""
        if self._said(BEGUN_KEY) != self._token:
            ticket.check(self.target)
            begun = {"frame": self._token, "facts": self._identity.facts}
            self.target.put(BEGUN_KEY, json.dumps(begun).encode())

    def finish(self, parts: Iterable[Part], ticket: LeaseTicket) -> None:
        """Record that every part is done."""
        done = list(parts)
        files = sum(len(part.files) for part in done)
        staged = {
            "frame": self._token,
            "facts": self._identity.facts,
            "files": files,
            "rows": sum(part.rows for part in done),
        }
        ticket.check(self.target)
        self.target.put(STAGED_KEY, json.dumps(staged).encode())

    def _require_same(self, *, fresh: bool) -> None:
        for key in (STAGED_KEY, BEGUN_KEY):
            said = self._said(key)
            if said in (None, self._token):
                continue
            if not fresh:
                how = "staged" if key == STAGED_KEY else "begun to be staged"
                raise ResultsMismatch(
                    f"{self.target.url} was {how} from another {self._what}{self._how(key)}; open "
                    f"its contents with open_corpus({self.target.url!r}), replace them with "
                    "fresh=True, or write elsewhere"
                )
            self.target.delete([STAGED_KEY, BEGUN_KEY])  # before its parts, then leftovers

    def _how(self, key: str) -> str:
        """Return how the corpus that is staged here differs, as far as that is known."""
        known = self._read(key).get("facts")
        if not known or not self._identity.facts:
            return ""
        found = list(islice(differences(known, self._identity.facts), _MOST_DIFFERENCES))
        return f" ({'; '.join(found)})" if found else ""

    def _begun_here(self) -> bool:
        return self._token in (self._said(BEGUN_KEY), self._said(STAGED_KEY))

    def _said(self, key: str) -> str | None:
        return str(found["frame"]) if "frame" in (found := self._read(key)) else None

    def _read(self, key: str) -> dict[str, Any]:
        """Return the content of an object; empty if it is missing, or was written only in part."""
        try:
            return dict(json.loads(self.target.get(key) or b"{}"))
        except (ValueError, TypeError):
            return {}

    def _marker(self, key: str) -> Part | None:
        try:
            return Part(**self._read(key))
        except TypeError:  # a temporary file of a killed writer
            return None

    def _discard(self, keys: Iterable[str]) -> None:
        leftover = [key for key in keys if not is_lease(key)]
        self.target.delete(key for key in leftover if key.startswith(f"{_MARKERS}/"))
        self.target.delete(leftover)


def _is_ours(key: str) -> bool:
    return (
        key in (STAGED_KEY, BEGUN_KEY)
        or key.startswith(f"{_MARKERS}/")
        or _FILE.fullmatch(key) is not None  # and not those of other programs, such as Spark
        or is_lease(key)
        or is_temporary(key)
    )


def remove_staged(target: Target) -> None:
    """Remove everything that was staged into a folder, the marks first; other files stay."""
    keys = [key for key in target.sizes() if _is_ours(key)]
    target.delete([STAGED_KEY, BEGUN_KEY])
    target.delete(keys)
