"""`try_graph`: runs the blocks of a stage on some texts, before the stage writes anything.

A wrong declaration then costs a second and not a shard. It runs on a worker, in the same way as a
task, so that it also finds what is missing there, and what it loads stays loaded for the tasks of
the run. What the blocks take is read by `run.stages.first_inputs`, and `run.preparing` sends the
trial.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from distributed.worker import get_worker

from ...graphs.fingerprint.changes import Observed
from ...graphs.graph import Graph
from ...graphs.kernels import load
from ...storage.errors import BlockError, DeviceLost, PaniniError
from ...storage.field import Field
from .block_execution import Blocks
from .micro_batches.micro_batch import MicroBatch
from .sent_graph import GraphKey, held_graph
from .task import announce, sendable, settle
from .user_code import Sources, abridged, sources_of
from .values.inputs import Inputs
from .values.stored import StoredReductions
from .values.worker_process import WorkerProcess, this_process

ROWS = 16
"""Most texts that a graph is tried on."""

SECONDS, MOST_SECONDS = 1.0, 30.0
"""Seconds after which no more texts are tried; the second, if none has worked yet."""

CLOSE, CLOSE_INEXACT = 1e-3, 0.1
"""Differences by rounding, as a share of the value, of exact blocks and of others."""

FEW = 2
"""Texts tried first: more than one, because a wrong length may be right for a single text. Of a
graph that declares itself slower than `SECONDS` per text, only one is tried."""


@dataclass(frozen=True)
class FirstInputs:
    """The inputs of a stage's blocks for some texts, and the location of each text."""

    inputs: Inputs
    places: tuple[tuple[str, int], ...]  # file and row

    def after(self, rows: int) -> FirstInputs | None:
        """Return the texts after the first `rows`; None if there are none left."""
        rest = FirstInputs(self.inputs[rows:], self.places[rows:])
        return rest if rest.places else None

    def where(self, start: int, stop: int) -> str:
        """Describe the location of texts ``[start, stop)``, for messages."""
        (file, first), (last_file, last) = self.places[start], self.places[stop - 1]
        if file != last_file:
            return f"{file}, row {first}, to {last_file}, row {last}"
        return f"{file}, row {first}" if first == last else f"{file}, rows {first}-{last}"


@dataclass(frozen=True, kw_only=True)
class GraphTrial:
    """A trial: some texts, and how the run will compute them."""

    blocks: tuple[str, ...]  # names of the blocks of the stage
    backend: str
    texts: FirstInputs
    few: int  # how many texts are tried first
    raise_on_error: bool  # whether a single bad row ends the run
    sources: Sources  # of the user's functions
    reductions: StoredReductions | None = None  # that the blocks take

    @classmethod
    def of(
        cls,
        graph: Graph,
        backend: str,
        texts: FirstInputs,
        *,
        raise_on_error: bool,
        reductions: StoredReductions | None = None,
    ) -> GraphTrial:
        """Return the trial of the graph of a stage."""
        few = FEW if graph.text_seconds <= SECONDS else 1
        return cls(
            blocks=tuple(block.name for block in graph),
            backend=backend,
            texts=texts,
            few=min(few, len(texts.inputs)),
            raise_on_error=raise_on_error,
            sources=sources_of(graph),
            reductions=reductions,
        )

    @property
    def first(self) -> str:
        """The place of the texts that are tried first."""
        return self.texts.where(0, self.few)

    def with_others(self) -> GraphTrial | None:
        """Return the trial without the texts that are tried first; None if there are no others."""
        others = self.texts.after(self.few)
        if others is None:
            return None
        return replace(self, texts=others, few=min(self.few, len(others.inputs)))


@dataclass(frozen=True)
class TrialResult:
    """What a trial found: the error that a run would end with, and notes for the user."""

    problem: PaniniError | None = None
    notes: tuple[str, ...] = ()
    text_seconds: Mapping[str, float] = field(default_factory=dict)  # by block, if measured
    setup_bytes: int = 0  # memory of what the blocks' setup made
    setup_seconds: Mapping[str, float] = field(default_factory=dict)  # that it took, by label


@dataclass(frozen=True)
class DeviceFailed:
    """The end of a trial whose process lost its device."""

    problem: DeviceLost
    process: WorkerProcess


def try_graph(key: GraphKey, trial: GraphTrial, topic: str) -> TrialResult | DeviceFailed:
    """Run a graph on some texts, on this worker.

    Parameters
    ----------
    key : GraphKey
        Where the graph is found.
    topic : str
        Topic under which the worker reports the block that runs, in case it ends the process.
    """
    settle(get_worker())
    try:
        with held_graph(key) as graph:
            stage = graph.only(trial.blocks)
            return _tried(stage, trial, partial(announce, get_worker(), topic))
    except DeviceLost as error:
        return DeviceFailed(DeviceLost(*error.args), this_process())
    except PaniniError as error:
        return TrialResult(sendable(error))


def _tried(graph: Graph, trial: GraphTrial, begun: Callable[[str, str], None]) -> TrialResult:
    load(trial.backend).prepare()
    observed = {block.name: Observed(block.function) for block in graph.maps}
    size = MicroBatch(ROWS, max(1, trial.texts.inputs.nbytes))
    reductions = trial.reductions.load() if trial.reductions else {}
    with Blocks(graph, trial.backend, size, begun, trial.sources, reductions=reductions) as blocks:
        attempts = _Attempts(blocks, trial.texts)
        problem = attempts.problem(trial.few, trial.raise_on_error) or attempts.dependence(graph)
        setup = blocks.setup_bytes, blocks.setup_seconds
    notes = tuple(
        f"block {block!r} changes {name!r}: each worker has its own, and the changes stay there; "
        "return as a field what you need"
        for block, one in observed.items()
        for name in one.changed()
    )
    return TrialResult(problem and sendable(problem), notes, attempts.text_seconds, *setup)


class _Attempts:
    """Runs of blocks over some texts, whose errors are returned."""

    def __init__(self, blocks: Blocks, texts: FirstInputs) -> None:
        self._blocks, self._texts = blocks, texts
        self._began = time.monotonic()
        self._seen: tuple[int, dict[str, npt.NDArray[Any]]] = (0, {})  # first row, and the arrays
        self.text_seconds: dict[str, float] = {}  # by block

    def problem(self, few: int, raise_on_error: bool) -> BlockError | None:
        """Return the error of the graph; None if it works, if perhaps not for every text."""
        inputs = self._texts.inputs
        problem = self._error(0, few)
        if problem is None and len(inputs) > few and self._seconds < SECONDS:
            problem = self._error(few, len(inputs))
        if problem is None or raise_on_error:
            return problem
        # One bad row is not the graph's fault, so each is tried on its own.
        good: list[int] = []
        for row in range(len(inputs)):
            if self._error(row, row + 1) is None:
                good.append(row)
            if len(good) == FEW or self._seconds > (SECONDS if good else MOST_SECONDS):
                break
        if len(good) == FEW:  # two texts that work alone must work together
            problem = self._error_of(
                inputs.rows_at(good), lambda *_: self._texts.where(*_ends(good))
            )
        elif good:
            problem = None
        self._seen = 0, {}  # these texts are not consecutive
        return problem

    def dependence(self, graph: Graph) -> BlockError | None:
        """Return an error if values of a text depend on other texts, on earlier calls or on chance.

        A text in the middle and the last one of a micro-batch are computed once more, alone.
        """
        start, together = self._seen
        rows = len(next(iter(together.values()), ()))
        for row in sorted({1, rows - 1}) if rows > 1 else ():
            if self._seconds > SECONDS or self._error(start + row, start + row + 1) is not None:
                return None
            _, alone = self._seen
            for block in graph.maps:
                for one in block.fields if block.function is not None else ():
                    before, now = together[one.name][row : row + 1], alone[one.name][:1]
                    if not _close(one, before, now, CLOSE if block.exact else CLOSE_INEXACT):
                        where = self._texts.where(start + row, start + row + 1)
                        return BlockError(
                            f"block {block.name!r} returns other values for the same text in "
                            f"another micro-batch: {one.name!r} is {_shown(before)} among {rows} "
                            f"texts and {_shown(now)} alone (at {where}). A row's values must "
                            "depend on its own text alone, not on other texts, earlier calls or "
                            "chance"
                        )
        return None

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _error(self, start: int, stop: int) -> BlockError | None:
        error = self._error_of(
            self._texts.inputs[start:stop],
            lambda first, last: self._texts.where(start + first, start + last),
        )
        if error is None:
            self._seen = start, self._seen[1]
        return error

    def _error_of(self, inputs: Inputs, where: Callable[[int, int], str]) -> BlockError | None:
        is_warm = bool(self._seen[1])  # the first call of a block may load a model
        try:
            parts = list(self._blocks.run(inputs, where))
        except BlockError as error:
            return error
        if is_warm:
            spent = [part.seconds for part in parts]
            names = {name for seconds in spent for name in seconds}
            self.text_seconds = {
                name: sum(seconds.get(name, 0.0) for seconds in spent) / len(inputs)
                for name in names
            }
        arrays = {
            name: np.concatenate([part.arrays[name] for part in parts]) for name in parts[0].arrays
        }
        self._seen = 0, arrays
        return None


def _close(field: Field, one: Any, other: Any, tolerance: float) -> bool:
    """Return whether values of a row are equal; floats within a share of the largest of the row."""
    if one.dtype.kind != "f":
        return not field.kind.unequal(one, other).any()
    wide, narrow = one.astype(np.float64), other.astype(np.float64)
    largest = np.abs(np.where(np.isfinite(wide), wide, 0)).max(initial=0)
    return bool(np.allclose(wide, narrow, tolerance, tolerance * largest, equal_nan=True))


def _shown(value: Any) -> str:
    return abridged(str(np.asarray(value).tolist()), 60)


def _ends(rows: list[int]) -> tuple[int, int]:
    return rows[0], rows[-1] + 1
