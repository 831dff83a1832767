"""`OptunaSampler`: proposes what a sampler of Optuna suggests, by ask and tell.

The sampler works on the unit cube, which the space decodes. It does not learn of a start: spaces do
not encode states.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from ....storage.errors import BackendUnavailable, UsageError
from ..settings import ClimbSettings
from ..spaces.space import Space
from .proposer import NO_CANDIDATE, Acceptance, Best, Kind, Round

SAMPLERS = {
    "optuna:tpe": ("optuna",),
    "optuna:cmaes": ("optuna", "cmaes", "threadpoolctl"),
    "optuna:random": ("optuna",),
}
"""The packages that each sampler needs, by its name."""

_one_thread_at_a_time = threading.Lock()


class OptunaSampler:
    """A sampler on a study in memory, which maximises.

    What round r is depends on the scores of the rounds up to ``r - ahead`` alone, although others
    may be known when it is proposed. Its state cannot be kept: it has to be told all rounds again.

    Parameters
    ----------
    start : ndarray, optional
        The first candidate; by default one of the sampler.

    Raises
    ------
    UsageError
        There is no sampler of that name.
    BackendUnavailable
        Its library is not installed.
    """

    def __init__(
        self, space: Space, settings: ClimbSettings, start: npt.NDArray[Any] | None = None
    ) -> None:
        _require(settings.proposer)
        from optuna.distributions import FloatDistribution

        self._space, self._settings, self._start = space, settings, start
        self._study = _study(space, settings)
        # Optuna sorts the names.
        width = len(str(space.unit_dimensions))
        self._names = [f"{number:0{width}}" for number in range(space.unit_dimensions)]
        self._cube = dict.fromkeys(self._names, FloatDistribution(0.0, 1.0))
        self._asked: dict[int, list[Any]] = {}
        self._unreported: dict[int, npt.NDArray[np.float64]] = {}
        self._accepted, self._height = NO_CANDIDATE, -np.inf

    @property
    def ahead(self) -> int:
        """The number of climbers."""
        return self._settings.climbers

    def propose(self, number: int, rng: np.random.Generator) -> Round:  # noqa: ARG002 (Optuna's own)
        """Ask the sampler, after reporting the scores that it may know by now."""
        count = self._settings.neighbours
        first = [self._start] if self._start is not None and number == 0 else []
        with self._one_thread():
            self._tell(number - self.ahead)
            trials = [self._study.ask(self._cube) for _ in range(count - len(first))]
        params = [trial.params for trial in trials]
        unit = np.array([[one[name] for name in self._names] for one in params])
        states = self._space.from_unit(unit.reshape(len(trials), len(self._names)))
        states = np.concatenate([*(one[None] for one in first), states])
        self._asked[number] = trials
        return Round(
            number=number,
            first=number * count,
            climber=0,
            parent=NO_CANDIDATE,
            states=states,
            steps=np.full(count, np.nan),
            chosen=np.zeros((0, 0), np.int64),
        )

    def retire(
        self,
        of: Round,
        scores: npt.NDArray[np.float64],
        best: Best,  # noqa: ARG002 (small gains below the threshold add up)
        rng: np.random.Generator,  # noqa: ARG002 (nothing is drawn)
    ) -> Sequence[Acceptance]:
        """Keep the scores for the sampler; accept what is higher than the last accepted state."""
        self._unreported[of.number] = scores
        accepted = []
        for row in np.flatnonzero(np.isfinite(scores)).tolist():
            is_first = self._accepted == NO_CANDIDATE
            if is_first or scores[row] > self._height + self._settings.threshold:
                kind = Kind.START if is_first else Kind.GAIN
                accepted.append(Acceptance(row, kind, self._accepted))
                self._accepted, self._height = of.first + row, float(scores[row])
        return accepted

    def state(self) -> Mapping[str, npt.NDArray[Any]] | None:
        """Return None: the state of a sampler is Optuna's own."""
        return None

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Do nothing: `state` returns None."""

    def _tell(self, last: int) -> None:
        """Tell the sampler the rounds up to a number, in order."""
        from optuna.trial import TrialState

        for number in [one for one in self._unreported if one <= last]:
            trials, scores = self._asked.pop(number), self._unreported.pop(number).tolist()
            for trial, score in zip(trials, scores[len(scores) - len(trials) :], strict=True):
                if np.isfinite(score):
                    self._study.tell(trial, score)
                else:
                    self._study.tell(trial, state=TrialState.FAIL)

    @contextmanager
    def _one_thread(self) -> Iterator[None]:
        """Let BLAS use one thread, where the sampler needs it: else bits depend on their number.

        The limit is process-wide, hence the lock.
        """
        if "threadpoolctl" not in SAMPLERS[self._settings.proposer]:
            yield
            return
        from threadpoolctl import threadpool_limits

        with _one_thread_at_a_time, threadpool_limits(1, user_api="blas"):
            yield


def _require(name: str) -> None:
    if name not in SAMPLERS:
        known = ", ".join(repr(one) for one in SAMPLERS)
        raise UsageError(f"proposer={name!r} is none of Optuna's samplers here: {known}")
    for package in SAMPLERS[name]:
        if find_spec(package) is None:
            raise BackendUnavailable(
                f"proposer={name!r} needs {package}, which is not installed; "
                "pip install 'paninifs[optuna]'"
            )


def _study(space: Space, settings: ClimbSettings) -> Any:
    """Return an empty study with the sampler that the settings name."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # else it reports every new study
    try:
        return optuna.create_study(
            storage=optuna.storages.InMemoryStorage(),
            sampler=_sampler(space, settings),
            direction="maximize",
        )
    finally:
        optuna.logging.set_verbosity(before)


def _sampler(space: Space, settings: ClimbSettings) -> Any:
    from optuna.samplers import CmaEsSampler, RandomSampler, TPESampler

    # NumPy's former generators take 32 bits.
    seed = int(np.random.SeedSequence(settings.seed).generate_state(1)[0])
    if settings.proposer == "optuna:tpe":
        # A liar keeps the candidates of a round apart.
        return TPESampler(seed=seed, multivariate=True, constant_liar=True)
    if settings.proposer == "optuna:cmaes":
        # A generation is one round, unless that is less than the default of CMA-ES.
        least = 4 + int(3 * np.log(space.unit_dimensions))
        return CmaEsSampler(seed=seed, popsize=max(least, settings.neighbours))
    return RandomSampler(seed=seed)
