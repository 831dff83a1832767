"""`evaluate`: scores a batch of candidates, on a worker.

A candidate for which the objective raises, or returns no finite number, fails alone: the batch is
halved until it is found. An objective that does not return is abandoned, and its process with it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from distributed.worker import get_worker

from ...graphs.user_functions.portable import pickled
from ...storage.errors import BlockError, PaniniError
from ..worker.sent_graph import GraphKey, held_graph
from ..worker.task import sendable, settle
from ..worker.user_code import Sources, frames_of, in_words
from ..worker.values.setups import arguments_of
from .arrays import Arrays
from .in_time import in_time
from .objective import Objective
from .on_host import on_host
from .scores import BatchScores
from .spaces.space import Space

States = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """An objective, and how it is called; sent to each worker once.

    Attributes
    ----------
    arrays : str
        See `arrays`.
    timeout : float
        Seconds after which a call of the objective is abandoned.
    sources : mapping
        The source of the user's functions, for messages.
    """

    objective: Objective
    space: Space
    arrays: str
    timeout: float
    sources: Sources

    def pickled(self) -> bytes:
        """Return it as it is sent to workers.

        Raises
        ------
        GraphError
            The objective, or a value that it refers to, cannot be sent; the message names it.
        """
        return pickled(replace(self, objective=self.objective.sent), self.objective.functions)


def evaluate(key: GraphKey, states: States, compares: bool) -> BatchScores | PaniniError:
    """Score candidates ``[k, d]``; return the error for which none can be scored.

    It is returned and not raised, as dask would log it and try again.

    Parameters
    ----------
    compares : bool
        Whether the first and the last candidate are scored alone too, to see whether their scores
        depend on the batch.

    """
    try:
        return _evaluated(key, states, compares)
    except PaniniError as error:
        return sendable(error)


def _evaluated(key: GraphKey, states: States, compares: bool) -> BatchScores:
    worker = get_worker()
    settle(worker)
    nanny = bool(worker.nanny)  # without one, the process may be the client's, and must stay
    with held_graph(key) as evaluator, ExitStack() as made:
        context = arguments_of([evaluator.objective], "cpu", evaluator.sources)
        # In the thread that uses them, and for as long as it takes.
        arguments = in_time(
            lambda: made.enter_context(context), threading.TIMEOUT_MAX, ends_process=False
        )
        assert arguments is not None  # there was no limit
        call = _Calls(evaluator, arguments.by_block.get(evaluator.objective.name, {}))
        found = in_time(lambda: call.batch(states, compares), evaluator.timeout, ends_process=nanny)
    if found is None:
        return BatchScores(scores=np.full(len(states), np.nan), unanswered=True)
    return replace(found, worker=str(worker.name))


class _Calls:
    """Calls an objective with candidates."""

    def __init__(self, evaluator: Evaluator, arguments: Mapping[str, Any]) -> None:
        self._evaluator, self._arguments = evaluator, arguments
        self._objective = evaluator.objective
        self._arrays = Arrays(evaluator.arrays)

    def batch(self, states: States, compares: bool) -> BatchScores:
        failures: dict[int, str] = {}
        scores = np.full(len(states), np.nan)
        states.flags.writeable = False
        with self._arrays.in_full():
            began = time.perf_counter()
            if self._objective.vectorized:
                self._halved(states, 0, scores, failures)
            else:
                self._one_by_one(states, scores, failures)
            seconds = time.perf_counter() - began
            if compares:
                self._compare(states, scores)
        return BatchScores(scores=scores, failures=failures, seconds=seconds)

    def _one_by_one(
        self, states: States, scores: npt.NDArray[np.float64], failures: dict[int, str]
    ) -> None:
        columns = self._converted(states)
        single = not isinstance(columns, Mapping)
        for row in range(len(states)):
            one = columns[row] if single else {name: part[row] for name, part in columns.items()}
            try:
                returned = self._objective.function(one, **self._arguments)
            except BaseException as error:  # noqa: BLE001 (a user's code may raise anything)
                failures[row] = self._why(error)
                continue
            self._enter(self._numbers(returned, 1), row, scores, failures)

    def _halved(
        self,
        states: States,
        first: int,
        scores: npt.NDArray[np.float64],
        failures: dict[int, str],
    ) -> None:
        try:
            returned = self._objective.function(self._converted(states), **self._arguments)
        except BaseException as error:  # noqa: BLE001 (as above; SystemExit would end the worker)
            if len(states) == 1:
                failures[first] = self._why(error)
                return
            middle = len(states) // 2
            self._halved(states[:middle], first, scores, failures)
            self._halved(states[middle:], first + middle, scores, failures)
            return
        self._enter(self._numbers(returned, len(states)), first, scores, failures)

    def _converted(self, states: States) -> Any:
        given = self._evaluator.space.argument(states)
        for part in given.values() if isinstance(given, Mapping) else [given]:
            part.flags.writeable = False
        return self._arrays.converted(given)

    def _numbers(self, returned: Any, count: int) -> npt.NDArray[np.float64]:
        name, vectorized = self._objective.name, self._objective.vectorized
        wanted = f"an array of shape ({count},)" if vectorized else "a number"
        try:
            numbers = _numbers_in(returned)
            if returned is None or numbers.dtype.kind not in "biuf":
                raise TypeError
            scores = numbers.astype(np.float64).reshape(-1)
        except (TypeError, ValueError) as error:
            what = "None" if returned is None else f"a {type(returned).__name__} without numbers"
            raise BlockError(
                f"objective {name!r} returned {what}; it must return {wanted}"
            ) from error
        if len(scores) != count or (vectorized and numbers.ndim != 1):
            raise BlockError(
                f"objective {name!r} returned an array of shape {numbers.shape} for {count} "
                f"candidates; it must return {wanted}"
            )
        return scores

    @staticmethod
    def _enter(
        numbers: npt.NDArray[np.float64],
        first: int,
        scores: npt.NDArray[np.float64],
        failures: dict[int, str],
    ) -> None:
        finite = np.isfinite(numbers)
        scores[first : first + len(numbers)] = np.where(finite, numbers, np.nan)
        for row in np.flatnonzero(~finite).tolist():
            failures[first + row] = f"the score is {numbers[row]}"

    def _why(self, error: BaseException) -> str:
        frames = frames_of(error, self._evaluator.sources)
        return f"{in_words(error)} ({frames[-1].brief})" if frames else in_words(error)

    def _compare(self, states: States, scores: npt.NDArray[np.float64]) -> None:
        for row in {0, len(states) - 1}:
            alone = np.full(1, np.nan)
            if self._objective.vectorized:
                self._halved(states[row : row + 1], 0, alone, {})
            else:
                self._one_by_one(states[row : row + 1], alone, {})
            if alone.tobytes() != scores[row : row + 1].tobytes():
                raise BlockError(
                    f"objective {self._objective.name!r} gives one candidate two scores: "
                    f"{scores[row]!r} and {alone[0]!r} alone. If it is random, seed it; if its "
                    "bits depend on the number of candidates in a batch, give batch=, which "
                    "makes batches the same in every climb"
                )


def _numbers_in(returned: Any) -> npt.NDArray[Any]:
    """Return scores as an array: NaN where they are masked, and Decimal and the like as floats."""
    if isinstance(returned, np.ma.MaskedArray):
        masked: npt.NDArray[Any] = np.where(returned.mask, np.nan, returned.data)
        return masked
    numbers = np.asarray(on_host(returned))
    return numbers.astype(np.float64) if numbers.dtype == object else numbers
