"""`try_graph`: runs a graph on the first texts of a corpus, before a run writes anything.

A wrong declaration then costs a second and not a shard. It runs on a worker, in the same way as a
task, so that it also finds what is missing there, and what it loads stays loaded for the tasks of
the run. The texts are read by `storage.corpus.front`, and `run.wait_for_workers` sends the trial.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from distributed.worker import get_worker

from ...graphs.fingerprint.changes import Observed
from ...graphs.graph import Graph
from ...graphs.kernels import load
from ...storage.corpus.front import FirstTexts
from ...storage.errors import BlockError, PaniniError
from ...storage.text import PackedText
from .block_execution import Blocks
from .micro_batch import MicroBatch
from .sent_graph import GraphKey, held_graph
from .task import announce, filter_worker_log, sendable
from .user_code import Sources, sources_of

ROWS = 16
"""Most texts that a graph is tried on."""

SECONDS, MOST_SECONDS = 1.0, 30.0
"""Seconds after which no more texts are tried; the second, if none has worked yet."""

FEW = 2
"""Texts tried first: more than one, because a wrong length may be right for a single text. Of a
graph that declares itself slower than `SECONDS` per text, only one is tried."""


@dataclass(frozen=True)
class GraphTrial:
    """A trial: the first texts of a corpus, and how the run will compute them."""

    backend: str
    texts: FirstTexts
    few: int  # how many texts are tried first
    raise_on_error: bool  # whether a single bad row ends the run
    sources: Sources  # of the user's functions

    @classmethod
    def of(
        cls, graph: Graph, backend: str, texts: FirstTexts, *, raise_on_error: bool
    ) -> GraphTrial:
        """Return the trial of a graph."""
        few = FEW if graph.text_seconds <= SECONDS else 1
        return cls(backend, texts, min(few, len(texts.text)), raise_on_error, sources_of(graph))

    @property
    def first(self) -> str:
        """The place of the texts that are tried first."""
        return self.texts.where(0, self.few)

    def with_others(self) -> GraphTrial | None:
        """Return the trial without the texts that are tried first; None if there are no others."""
        others = self.texts.after(self.few)
        if others is None:
            return None
        return replace(self, texts=others, few=min(self.few, len(others.text)))


@dataclass(frozen=True)
class TrialResult:
    """What a trial found: the error that a run would end with, and notes for the user."""

    problem: PaniniError | None = None
    notes: tuple[str, ...] = ()
    text_seconds: Mapping[str, float] = field(default_factory=dict)  # by block, if measured


def try_graph(key: GraphKey, trial: GraphTrial, topic: str) -> TrialResult:
    """Run a graph on some texts, on this worker.

    Parameters
    ----------
    key : GraphKey
        Where the graph is found.
    topic : str
        Topic under which the worker reports the block that runs, in case it ends the process.
    """
    filter_worker_log()
    try:
        with held_graph(key) as graph:
            return _tried(graph, trial, partial(announce, get_worker(), topic))
    except PaniniError as error:
        return TrialResult(sendable(error))


def _tried(graph: Graph, trial: GraphTrial, begun: Callable[[str, str], None]) -> TrialResult:
    load(trial.backend).prepare()
    observed = {block.name: Observed(block.function) for block in graph}
    size = MicroBatch(ROWS, max(1, trial.texts.text.nbytes))
    blocks = Blocks(graph, trial.backend, size, begun=begun, sources=trial.sources)
    attempts = _Attempts(blocks, trial.texts)
    problem = attempts.problem(trial.few, trial.raise_on_error)
    notes = tuple(
        f"block {block!r} changes {name!r}: each worker has its own, and the changes stay there; "
        "return as a field what you need"
        for block, one in observed.items()
        for name in one.changed()
    )
    return TrialResult(problem and sendable(problem), notes, attempts.text_seconds)


class _Attempts:
    """Runs of blocks over some texts, whose errors are returned."""

    def __init__(self, blocks: Blocks, texts: FirstTexts) -> None:
        self._blocks, self._texts = blocks, texts
        self._warm = False
        self.text_seconds: dict[str, float] = {}  # by block

    def problem(self, few: int, raise_on_error: bool) -> BlockError | None:
        """Return the error of the graph; None if it works, if perhaps not for every text."""
        began = time.monotonic()
        text = self._texts.text
        problem = self._error(0, few)
        if problem is None and len(text) > few and time.monotonic() - began < SECONDS:
            problem = self._error(few, len(text))
        if problem is None or raise_on_error:
            return problem
        # One bad row is not the graph's fault, so each is tried on its own.
        good: list[int] = []
        for row in range(len(text)):
            if self._error(row, row + 1) is None:
                good.append(row)
            if len(good) == FEW or time.monotonic() - began > (SECONDS if good else MOST_SECONDS):
                break
        if len(good) == FEW:  # two texts that work alone must work together
            return self._error_of(_joined(text, good), lambda *_: self._texts.where(*_ends(good)))
        return None if good else problem

    def _error(self, start: int, stop: int) -> BlockError | None:
        return self._error_of(
            self._texts.text[start:stop],
            lambda first, last: self._texts.where(start + first, start + last),
        )

    def _error_of(self, text: PackedText, where: Callable[[int, int], str]) -> BlockError | None:
        try:
            for part in self._blocks.run(text, where):
                if self._warm:  # the first call of a block may load a model
                    self.text_seconds = {
                        block: seconds / len(text) for block, seconds in part.seconds.items()
                    }
        except BlockError as error:
            return error
        self._warm = True
        return None


def _joined(text: PackedText, rows: list[int]) -> PackedText:
    return PackedText.from_strings([text[row : row + 1].to_bytes()[0] for row in rows])


def _ends(rows: list[int]) -> tuple[int, int]:
    return rows[0], rows[-1] + 1
