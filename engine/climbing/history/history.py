"""`History`: writes a climb to its folder, and takes it up again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from .... import __version__
from ....storage import RUN_FOLDER
from ....storage.errors import ResultsDamaged, ResultsMismatch
from ....storage.messages.names import listed
from ....storage.store.keys import is_lease
from ....storage.store.leases.lease import LeaseTicket
from ....storage.targets.target import Target
from ..proposers.proposer import Acceptance, Kind, Round
from ..scores import Scored
from ..spaces.space import Space
from .climb_state import STATE_KEY, dumped_state, loaded_state, retired_by
from .table import Column, Table

CLIMB_KEY = f"{RUN_FOLDER}/climb.json"

ACCEPTED, FAILED, CANDIDATES = "accepted", "failed", "candidates"
"""Names of the tables."""

MOST_REASONS = 1000
"""Maximum number of different reasons, and of workers; the last stands for all others."""

OTHERS = "others, beyond the number that is kept"

_WHO = (Column("climber", "int32"), Column("order", "int64"), Column("worker", "int32"))
_WHEN = (Column("seconds", "float64"), Column("at", "float64"))


@dataclass(frozen=True, kw_only=True)
class Resumed:
    """What was written of a climb: the search's state, and the seconds that it has taken."""

    state: Mapping[str, npt.NDArray[Any]]
    seconds: float
    evaluated: int


def state_columns(states: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of states: ``state``, or ``state_NAME`` for each component of a product.

    Parameters
    ----------
    states : mapping
        What `Space.columns` returns.
    """
    return {state_column(name): part for name, part in states.items()}


def state_column(name: str) -> str:
    """Return the column of a component; ``state`` is that of a whole state.

    >>> state_column("state"), state_column("weights")
    ('state', 'state_weights')
    """
    return name if name == "state" else f"state_{name}"


def known_neighbours(target: Target) -> int | None:
    """Return the candidates of a round of a climb that was begun; None if none was."""
    try:
        known = json.loads(target.get(CLIMB_KEY) or b"")["facts"]["settings"]["neighbours"]
    except (ValueError, KeyError, TypeError):
        return None  # what is damaged is refused when the climb begins
    return known if isinstance(known, int) and known > 0 else None


class History:
    """The tables of a climb.

    Attributes
    ----------
    workers, reasons : list of str
        What the columns of these names are indexes of.

    Parameters
    ----------
    facts : mapping
        What decides the climb's states, as JSON: the objective, the space, the settings.
    every : bool
        Whether every candidate is kept, and not only those that were accepted or failed.
    """

    def __init__(
        self, target: Target, space: Space, facts: Mapping[str, Any], *, every: bool
    ) -> None:
        self.target, self._space, self.facts = target, space, facts
        none = np.zeros((0, space.dimensions), space.dtype)
        states = [
            Column(name, str(part.dtype), part.shape[1:])
            for name, part in state_columns(space.columns(none)).items()
        ]
        score, parent = Column("score", "float64"), Column("parent", "int64")
        number = Column("candidate", "int64")
        self.accepted = Table(
            ACCEPTED, [*states, score, number, parent, Column("kind", "uint8"), *_WHO, *_WHEN]
        )
        self.failed = Table(FAILED, [*states, number, parent, Column("reason", "int32"), *_WHO])
        self.candidates = (
            Table(CANDIDATES, [*states, score, parent, *_WHO, *_WHEN]) if every else None
        )
        self.workers: list[str] = []
        self.reasons: list[str] = []
        self._writer = ThreadPoolExecutor(1, "paninifs-climb-history")
        self._writing: Future[None] | None = None

    @property
    def tables(self) -> Sequence[Table]:
        """The tables."""
        kept = () if self.candidates is None else (self.candidates,)
        return (self.accepted, self.failed, *kept)

    @property
    def held_bytes(self) -> int:
        """Bytes of rows that are not in complete chunks yet."""
        return sum(table.held_bytes for table in self.tables)

    # --- appending --------------------------------------------------------------------------------

    def add(self, of: Round, scored: Scored, accepted: Sequence[Acceptance], at: float) -> None:
        """Append a retired round.

        Parameters
        ----------
        at : float
            Seconds since the climb began.
        """
        who = {
            "climber": np.full(len(of.states), of.climber),
            "order": scored.order,
            "worker": self._indexes(scored.workers, self.workers),
        }
        when = {"seconds": scored.seconds, "at": np.full(len(of.states), at)}
        numbers = of.first + np.arange(len(of.states))
        states = state_columns(self._space.columns(of.states))
        rows = np.array([one.row for one in accepted], np.int64)
        self.accepted.append(
            {
                **{name: column[rows] for name, column in (states | who | when).items()},
                "score": scored.scores[rows],
                "candidate": numbers[rows],
                "parent": np.array([one.parent for one in accepted], np.int64),
                "kind": np.array([one.kind for one in accepted], np.uint8),
            }
        )
        rows = np.array(sorted(scored.failures), np.int64)
        why = [scored.failures[row] for row in rows.tolist()]
        self.failed.append(
            {
                **{name: column[rows] for name, column in (states | who).items()},
                "candidate": numbers[rows],
                "parent": np.full(len(rows), of.parent),
                "reason": self._indexes(why, self.reasons),
            }
        )
        if self.candidates is not None:
            parents = np.full(len(of.states), of.parent)
            self.candidates.append(
                states | who | when | {"score": scored.scores, "parent": parents}
            )

    def _indexes(self, names: Sequence[str], known: list[str]) -> npt.NDArray[np.int32]:
        for name in dict.fromkeys(names):
            if name not in known and len(known) < MOST_REASONS:
                known.append(name if len(known) < MOST_REASONS - 1 else OTHERS)
        at = {name: index for index, name in enumerate(known)}
        return np.array([at.get(name, len(known) - 1) for name in names], np.int32)

    # --- writing ----------------------------------------------------------------------------------

    def commit(
        self,
        state: Mapping[str, npt.NDArray[Any]],
        summary: Mapping[str, Any],
        ticket: LeaseTicket,
        *,
        wait: bool,
    ) -> None:
        """Write what was appended, then the state that continues after it.

        Parameters
        ----------
        state : mapping of str to ndarray
            See `Search.state`, with ``seconds`` and ``evaluated``.
        summary : mapping
            How far the climb has come, for readers.
        wait : bool
            Wait until it is written, instead of writing in the background.
        """
        self.settle()
        chunks: dict[str, bytes] = {}
        group = {
            "climb": dict(self.facts),
            "kinds": [kind.name.lower() for kind in Kind],
            "workers": self.workers,
            "reasons": self.reasons,
            "rows": {table.name: table.rows for table in self.tables},
        }
        metadata: dict[str, bytes] = {}
        of_group = {
            "zarr.json": json.dumps(
                {
                    "zarr_format": 3,
                    "node_type": "group",
                    "attributes": {**group, **summary},
                },
                indent=1,
            ).encode()
        }
        for table in self.tables:
            changed, described = table.objects()
            chunks |= changed
            metadata |= described
        rows = {table.name: table.rows for table in self.tables}
        kept = dumped_state(state, rows, (self.workers, self.reasons))
        steps = (chunks, metadata, of_group, {STATE_KEY: kept})

        def write() -> None:
            ticket.check(self.target)
            self.target.put_all(*steps)

        self._writing = self._writer.submit(write)
        if wait:
            self.settle()

    def settle(self) -> None:
        """Wait for what is being written; raise its error."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

    def close(self) -> None:
        """Wait for what is being written, and end."""
        with suppress(Exception):  # raised by `settle`, if anybody waits for it
            self.settle()
        self._writer.shutdown()

    def rounds(self, count: int, neighbours: int) -> Iterator[tuple[Any, Any]]:
        """Yield the scores and the states of the first rounds, from the table of all candidates."""
        table = self.candidates
        assert table is not None  # it is kept for a proposer that replays rounds
        names = [column.name for column in table.columns]
        states = list(table.columns[: names.index("score")])
        score = table.columns[names.index("score")]
        held: list[tuple[Any, Any]] = []
        for number in range(-(-table.rows // table.chunk_rows)):
            parts = [table.chunk(self.target, column, number) for column in states]
            joined = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
            held.append((table.chunk(self.target, score, number), joined.astype(self._space.dtype)))
            scores, rows = (np.concatenate(part) for part in zip(*held, strict=True))
            whole = len(scores) - len(scores) % neighbours
            for at in range(0, whole, neighbours):
                if count == 0:
                    return
                count -= 1
                yield scores[at : at + neighbours], rows[at : at + neighbours]
            held = [(scores[whole:], rows[whole:])]

    # --- beginning and resuming -------------------------------------------------------------------

    def begin(self, ticket: LeaseTicket, *, fresh: bool) -> Resumed | None:
        """Begin the climb, or continue one that was begun with the same facts.

        Raises
        ------
        ResultsMismatch
            Another climb was begun there.
        ResultsDamaged
            What was written cannot be read.
        """
        every = self.candidates is not None
        known = None if fresh else self.target.get(CLIMB_KEY)
        if known is not None:
            data = self.target.get(STATE_KEY) or b""
            if retired_by(data, self.target):
                self._require_same(known, every)
                return self._resumed(data)
        self._discard(ticket)  # no candidate was retired that could be lost
        about = {
            "facts": self.facts,
            "every": every,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {"paninifs": __version__, "numpy": np.__version__},
        }
        nothing = {name: np.array(0) for name in ("retired", "seconds", "evaluated")}
        rows = dict.fromkeys((table.name for table in self.tables), 0)
        self.target.put(STATE_KEY, dumped_state(nothing, rows, ([], [])))
        self.target.put(CLIMB_KEY, json.dumps(about, indent=1).encode())
        return None

    def _require_same(self, known: bytes, every: bool) -> None:
        try:
            about = json.loads(known)
            facts, kept = dict(about["facts"]), about["every"]
        except (ValueError, KeyError, TypeError) as error:
            raise ResultsDamaged(
                f"{self.target.url}/{CLIMB_KEY} is damaged; climb with fresh=True to start over"
            ) from error
        ours = json.loads(json.dumps({**self.facts, "every": every}))
        theirs = {**facts, "every": kept}
        differ = [name for name in ours if ours[name] != theirs.get(name)]
        names = {"every": "keep"}  # as the argument is called
        inner = [
            f"{name}.{part}"
            for name in differ
            if _has_parts(ours[name]) and _has_parts(theirs.get(name))
            for part in ours[name]
            if ours[name][part] != theirs[name].get(part)
        ]
        if differ:
            other = [*inner, *(names.get(one, one) for one in differ if not _has_parts(ours[one]))]
            verb = "differs" if len(other) == 1 else "differ"
            raise ResultsMismatch(
                f"{self.target.url} holds another climb: {listed(other or differ)} {verb}; give "
                "another name, or fresh=True to start over"
            )

    def _resumed(self, data: bytes) -> Resumed:
        state, counts, names = loaded_state(data, self.target, [one.name for one in self.tables])
        self.workers, self.reasons = names
        for table in self.tables:
            table.resume(self.target, counts[table.name])
        seconds, evaluated = float(state.pop("seconds")), int(state.pop("evaluated"))
        return Resumed(state=state, seconds=seconds, evaluated=evaluated)

    def _discard(self, ticket: LeaseTicket) -> None:
        ticket.check(self.target)
        keys = [key for key in self.target.sizes() if not is_lease(key)]
        first = [key for key in (STATE_KEY, CLIMB_KEY) if key in keys]
        self.target.delete(first)
        self.target.delete(key for key in keys if key not in first)


def _has_parts(fact: Any) -> bool:
    return isinstance(fact, dict)
