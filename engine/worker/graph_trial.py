"""`try_graph`: runs a graph on the first texts of a corpus, before a run writes anything.

A wrong declaration then costs a second and not a shard. It runs on a worker, in the same way as a
task, so that it also finds what is missing there, and what it loads stays loaded for the tasks of
the run. The texts are read by `storage.corpus.front`, and `run.wait_for_workers` sends the trial.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from distributed.worker import Worker, get_worker

from ...graphs.fingerprint.changes import Observed
from ...graphs.graph import Graph
from ...graphs.kernels import load
from ...graphs.portable import PortableFunction
from ...storage.corpus.front import FirstTexts
from ...storage.errors import BlockError, PaniniError
from ...storage.text import PackedText
from .block_execution import Blocks
from .micro_batch import MicroBatch
from .task import filter_worker_log, sendable

ROWS = 16
"""Most texts that a graph is tried on."""

SECONDS, MOST_SECONDS = 1.0, 30.0
"""Seconds after which no more texts are tried; the second, if none has worked yet."""

FEW = 2
"""Texts tried first: more than one, because a wrong length may be right for a single text. Of a
graph that declares itself slower than `SECONDS` per text, only one is tried."""

FLUSH_SECONDS = 0.02
"""Seconds in which a worker sends a message: its process may end right afterwards."""

RUNNING = "running"
"""Key of a message with the block that is about to run; None when it has returned."""


@dataclass(frozen=True)
class TrialResult:
    """What a trial found: the error that a run would end with, and notes for the user."""

    problem: PaniniError | None
    notes: tuple[str, ...] = ()


def try_graph(
    graph: Graph, backend: str, texts: FirstTexts, topic: str, raise_on_error: bool
) -> TrialResult:
    """Run a graph on some texts, on this worker.

    Parameters
    ----------
    graph : Graph
        As sent to workers; see `Graph.packed`.
    topic : str
        Topic under which the worker reports the block that runs, in case it ends the process.
    raise_on_error : bool
        Whether a single bad row ends the run.
    """
    worker = get_worker()
    filter_worker_log()
    try:
        load(backend).prepare()
        functions = {block.name: block.function.load() for block in _own(graph)}
        observed = {name: Observed(function) for name, function in functions.items()}
        size = MicroBatch(ROWS, max(1, texts.text.nbytes))
        trial = _Trial(Blocks(_reported(graph, worker, topic), backend, size), texts)
        few = FEW if graph.text_seconds <= SECONDS else 1
        problem = trial.problem(few, raise_on_error)
    except PaniniError as error:
        return TrialResult(sendable(error))
    notes = [
        f"block {block!r} changes {name!r}: each worker has its own, and the changes stay there; "
        "return as a field what you need"
        for block, one in observed.items()
        for name in one.changed()
    ]
    return TrialResult(problem and sendable(problem), tuple(notes))


def _own(graph: Graph) -> Iterator[Any]:
    return (block for block in graph if isinstance(block.function, PortableFunction))


def _reported(graph: Graph, worker: Worker, topic: str) -> Graph:
    """Return a graph whose users' functions report that they begin."""

    def reporting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        reported = False

        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal reported
            if not reported:  # once: a function that has returned will return again
                worker.log_event(topic, {RUNNING: name})
                time.sleep(FLUSH_SECONDS)
            returned = function(*args, **kwargs)
            if not reported:
                worker.log_event(topic, {RUNNING: None})
                reported = True
            return returned

        return call

    functions = {block.name: reporting(block.name, block.function.load()) for block in _own(graph)}
    return Graph(
        tuple(
            replace(block, function=functions[block.name]) if block.name in functions else block
            for block in graph
        )
    )


class _Trial:
    """Runs of blocks over some texts, whose errors are returned."""

    def __init__(self, blocks: Blocks, texts: FirstTexts) -> None:
        self._blocks, self._texts = blocks, texts

    def problem(self, few: int, raise_on_error: bool) -> BlockError | None:
        """Return the error of the graph; None if it works, if perhaps not for every text."""
        began = time.monotonic()
        text = self._texts.text
        problem = self._error(0, min(few, len(text)))
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
            for _ in self._blocks.run(text, where):
                pass
        except BlockError as error:
            return error
        return None


def _joined(text: PackedText, rows: list[int]) -> PackedText:
    return PackedText.from_strings([text[row : row + 1].to_bytes()[0] for row in rows])


def _ends(rows: list[int]) -> tuple[int, int]:
    return rows[0], rows[-1] + 1
