"""`Ledger`: the objects beside a corpus that record decisions and which parts are valid.

A part is valid once an object of the ledger names it. How objects are encoded is in
`ledger_object`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from ....storage.errors import ResultsDamaged, UsageError
from ....storage.messages.names import listed
from ....storage.targets.target import Target
from .collection_keys import (
    CORPUS_KEY,
    STATE_KEY,
    foreign_keys,
    ledger_key,
    ledger_numbers,
    part_key,
    part_numbers,
)
from .ledger_object import (
    NAMES,
    LedgerState,
    PartFacts,
    digest,
    encode,
    entries_of,
    state_of,
)

_VERSION = 1


class Ledger:
    """The ledger of a corpus that is open for writing, or for reading.

    Attributes
    ----------
    identity
        Random identity of the corpus: a corpus that is deleted and begun again has another one.
    state
        State as of the newest commit.
    count
        Number of objects of the ledger.
    """

    def __init__(self, target: Target, identity: str, state: LedgerState, count: int) -> None:
        self._target = target
        self.identity, self.state, self.count = identity, state, count

    @property
    def url(self) -> str:
        """URL of the corpus."""
        return self._target.url

    @classmethod
    def open(cls, target: Target) -> Ledger:
        """Return the ledger of a corpus; begin one if the folder is empty.

        Raises
        ------
        UsageError
            The folder holds files that no collection wrote.
        ResultsDamaged
            Objects of the ledger, or parts that it names, are missing or damaged.
        """
        sizes = target.sizes()
        known = require_own(target, sizes)
        ledger = cls._read(target, _identity(target, known), sizes)
        ledger._check_parts(sizes)
        return ledger

    @classmethod
    def read(cls, target: Target) -> Ledger | None:
        """Return the ledger of a corpus for reading; None if there is none."""
        known = target.get(CORPUS_KEY)
        if known is None:
            return None
        return cls._read(target, _identity(target, known), target.sizes())

    @classmethod
    def _read(cls, target: Target, identity: str, sizes: Mapping[str, int]) -> Ledger:
        numbers = ledger_numbers(sizes)
        count = len(numbers)
        if numbers != list(range(count)):
            missing = min(set(range(count)) - set(numbers))
            raise ResultsDamaged(f"{target.url}/{ledger_key(missing)} is missing: restore it")
        ledger = cls(target, identity, LedgerState(), count)
        if count:
            ledger.state = state_of(ledger.data(count - 1), ledger._name(count - 1))
        return ledger

    def _check_parts(self, sizes: Mapping[str, int]) -> None:
        """Raise unless the parts are those that were committed; remove later ones."""
        numbers = part_numbers(sizes)
        missing = sorted(set(range(self.state.parts)) - set(numbers))
        if missing:
            names = listed(map(part_key, missing))
            raise ResultsDamaged(
                f"{self.url}: the ledger names parts that are missing ({names}): restore them"
            )
        found = sum(sizes[part_key(number)] for number in range(self.state.parts))
        if found != self.state.size:
            raise ResultsDamaged(
                f"{self.url}: its parts have {found:,} bytes instead of the {self.state.size:,} "
                "that were written: restore them"
            )
        # A killed collector wrote them and could not commit them: their rows will be written again.
        self._target.delete(part_key(number) for number in numbers if number >= self.state.parts)

    def _name(self, number: int) -> str:
        return f"{self.url}/{ledger_key(number)}"

    def data(self, number: int) -> bytes:
        """Return the bytes of an object."""
        found = self._target.get(ledger_key(number))
        if found is None:
            raise ResultsDamaged(f"{self._name(number)} is missing: restore it")
        return found

    def digest(self, number: int) -> str:
        """Return the SHA-256 of an object."""
        return digest(self.data(number))

    def entries(self, number: int, columns: Sequence[str] = NAMES) -> Iterator[dict[str, Any]]:
        """Yield the entries of an object, in order."""
        yield from entries_of(self.data(number), self._name(number), columns)

    def prepared(
        self, batches: Sequence[pa.RecordBatch], sources: Sequence[Any], part: bytes, rows: int
    ) -> Commit:
        """Return the next commit, which is not written yet.

        Parameters
        ----------
        batches
            Entries, in the order in which they were decided.
        sources
            The `SourceState` of every source.
        part
            The part's file; empty if no row was kept.
        """
        before = self.state
        facts = None
        if part:
            facts = PartFacts(number=before.parts, rows=rows, size=len(part), sha256=digest(part))
        state = LedgerState(
            sources=tuple(sources),
            parts=before.parts + bool(part),
            rows=before.rows + rows,
            size=before.size + len(part),
            part=facts,
        )
        return Commit(self, state, part, encode(batches, state))

    def write_state(self, state: Mapping[str, Any]) -> None:
        """Write the state that `following` reads."""
        self._target.put(STATE_KEY, json.dumps(state, indent=1).encode())


class Commit:
    """A part and the object of the ledger that makes it valid."""

    def __init__(self, ledger: Ledger, state: LedgerState, part: bytes, data: bytes) -> None:
        self._ledger, self._state, self._part, self._data = ledger, state, part, data
        self.number = ledger.count
        """The number of the ledger's object."""
        self.digest = digest(data)
        """Its SHA-256."""

    def write(self) -> None:
        """Write the part; then, once it is durable, the object of the ledger."""
        target = self._ledger._target
        part = {part_key(self._state.parts - 1): self._part} if self._part else {}
        target.put_all(part, {ledger_key(self.number): self._data})
        self._ledger.state, self._ledger.count = self._state, self.number + 1


def require_own(target: Target, sizes: Mapping[str, int] | None = None) -> bytes | None:
    """Return a corpus's identity as it is stored, None if there is none.

    Raises
    ------
    UsageError
        The folder holds files that no collection wrote.
    """
    sizes = target.sizes() if sizes is None else sizes
    known = target.get(CORPUS_KEY)
    others = foreign_keys(sizes)
    if known is None and part_numbers(sizes):
        others = [*map(part_key, part_numbers(sizes)), *others]
    if others:
        more = f" and {len(others) - 3:,} more" if len(others) > 3 else ""
        raise UsageError(
            f"{target.url} holds files that no collection wrote ({listed(others[:3])}{more}), "
            "which would become part of the corpus: collect into an empty folder"
        )
    return known


def _identity(target: Target, known: bytes | None) -> str:
    """Return the identity of a corpus; create one if there is none."""
    if known is None:
        made = json.dumps({"version": _VERSION, "identity": uuid.uuid4().hex}).encode()
        known = made if target.create(CORPUS_KEY, made) else target.get(CORPUS_KEY) or b""
    try:
        found = json.loads(known)
        version, identity = found["version"], str(found["identity"])
    except (ValueError, KeyError, TypeError) as error:
        raise ResultsDamaged(f"{target.url}/{CORPUS_KEY} is damaged: restore it") from error
    if version != _VERSION:
        raise UsageError(
            f"{target.url} was collected by another version of paninifs (its layout is "
            f"{version!r}, this version writes {_VERSION}): upgrade, or collect elsewhere"
        )
    return identity
