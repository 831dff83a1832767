"""`climb`: looks for the state with the highest score."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from os import PathLike
from threading import TIMEOUT_MAX
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ...storage.errors import UsageError
from ...storage.messages.tracebacks import short_traceback
from ...storage.store.leases.lease import Lease
from ...storage.targets.open import open_target
from ..cluster.location import remote_location
from ..cluster.main_guard import require_no_loading
from ..cluster.usable_client import usable_client
from ..costs.meter import Meter
from ..monitoring.dashboard.link import dashboard_link
from ..monitoring.dashboard.telemetry import install, page_for
from ..monitoring.display import show
from ..monitoring.display.standing import of_climb
from ..monitoring.events import Notice
from ..run.background.active import STOP_SECONDS, going
from ..worker.user_code import sources_of_functions
from .arrays import require_arrays
from .climb_budget import Budget
from .climb_handle import Climb
from .climb_spec import ClimbSpec
from .evaluation import Evaluator
from .history.history import known_neighbours
from .history.open_climb import climbs_url
from .objective import Objective, as_objective
from .proposers.registry import make_proposer
from .search import SEARCH_VERSION
from .settings import CLIMBERS, ClimbSettings, default_neighbours
from .spaces.space import Space

if TYPE_CHECKING:
    from distributed import Client

TIMEOUT_SECONDS = 600.0

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@short_traceback
def climb(
    objective: Any,
    space: Space | None = None,
    results: str | PathLike[str] = "climbs.zarr",
    *,
    name: str | None = None,
    evaluations: int | None = None,
    seconds: float | None = None,
    dollars: float | None = None,
    start: Any = None,
    seed: int = 0,
    climbers: int = CLIMBERS,
    neighbours: int | None = None,
    threshold: float = 1e-3,
    patience: int = 3,
    backtracks: int = 3,
    tabu: int = 1024,
    temperature: float = 0.0,
    cooling: float = 0.95,
    proposer: str = "neighbourhoods",
    batch: int | None = None,
    arrays: str = "numpy",
    timeout: float = TIMEOUT_SECONDS,
    keep: Literal["accepted", "all"] = "accepted",
    fresh: bool = False,
    client: Client | None = None,
    progress: bool = True,
    storage_options: Mapping[str, Any] | None = None,
) -> Climb:
    """Look for the state of a space with the highest score, by parallel hill climbing.

    Candidates are numbered when they are proposed, scored on the workers in any order, and retired
    in order. So a climb has the same states, bit for bit, on any number of workers, whatever
    batches they are given, and however often it was killed: climbing again goes on where it was.

    Several climbers share the best summit. Each proposes changes of its state in rounds; a
    candidate whose score is higher by more than `threshold` is its next state. After `patience`
    rounds without one the state is a summit, from which the climber makes excursions: it begins
    again at a larger change of the summit. After `backtracks` excursions in vain it goes on from
    the best summit of all, or from a random state if that is its own.

    Parameters
    ----------
    objective : callable or Objective
        A function that is given a candidate and returns its score, one declared by `objective`, or
        one of the engine's own: `dictionary_ambiguity`, `signature_separation`.
    space : Space, optional
        What candidates are: `Masks`, `Simplex`, `Floats`, `Integers`, `Permutations`, or a
        `Product` of them. By default that of the objective.
    results : str or path
        A results store, or any other folder; the history is written to ``climbs/NAME`` in it.
    name : str, optional
        By default the name of the objective.
    evaluations : int, optional
        Budget: candidates, over all sessions, rounded up to whole rounds.
    seconds, dollars : float, optional
        Budget: time, or the price of the machine, over all sessions. Where a climb ends by them
        depends on the machine.
    start : array-like, optional
        A state to begin with; for a `Product` a dict of arrays. By default that of the objective,
        or else random states.
    seed : int
    climbers : int
        Number of climbers, each with one round of candidates in flight.
    neighbours : int, optional
        Candidates per round. By default those of the climb that goes on, or else a power of two
        that leaves each climber some 50 rounds: 4 to 512 by the number of evaluations.
    threshold : float
    patience, backtracks : int
    tabu : int
        Number of recent candidates that a climber does not propose again.
    temperature, cooling : float
        Annealing: a score lower by x is accepted with probability exp(-x / temperature); the
        temperature is multiplied by `cooling` after every round of an excursion. 0: none.
    proposer : str
        ``"neighbourhoods"``, as described; or a sampler of Optuna: ``"optuna:tpe"``,
        ``"optuna:cmaes"``, ``"optuna:random"``. These need the extra ``optuna`` and ``keep="all"``.
    batch : int, optional
        A fixed number of candidates per call of the objective. By default batches are sized by the
        time that they take, for which scores must not depend on the batch.
    arrays : str
        What a vectorised objective is given: ``"numpy"``, ``"cupy"`` or ``"jax"`` arrays.
    timeout : float
        Seconds after which a call of the objective is abandoned.
    keep : "accepted" or "all"
        Which states the history has. Failed candidates are always listed.
    fresh : bool
        Discard the history and start over.
    client : distributed.Client, optional
        The cluster to run on; by default the most recent client.
    progress : bool
        Show progress: a bar in a terminal, a card in a notebook, and elsewhere a line every ten
        seconds, or fewer in a long climb.
    storage_options : mapping, optional
        For fsspec, if `results` is a URL.

    Returns
    -------
    Climb
        ``climb.result()`` waits for the `Summit`.

    Raises
    ------
    UsageError
        The climb cannot begin: an argument is wrong, another climb was begun there
        (`ResultsMismatch`), or it is being written (`LeaseHeld`).

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> import paninifs as pf
    >>> @pf.objective(vectorized=True)
    ... def ones(masks):
    ...     return masks.sum(axis=1)
    >>> with pf.connect("threads", workers=1, quiet=True):
    ...     going = pf.climb(ones, pf.Masks(20), mkdtemp(), evaluations=2000, progress=False)
    ...     summit = going.result()
    >>> summit.score, summit.state.tolist() == [1] * 20
    (20.0, True)
    """
    require_no_loading("climb")
    declared = as_objective(objective)
    space = _space(declared, space)
    given = declared.start if start is None else start
    checked = None if given is None else space.check(given)
    evaluations, seed, climbers = (_whole(one) for one in (evaluations, seed, climbers))
    budget = Budget(evaluations, seconds, dollars)
    name = declared.name if name is None else name
    _require_choices(name, keep, arrays, batch, timeout)
    usable = usable_client(client)
    if dollars is not None:
        _require_price(usable)
    target = open_target(climbs_url(results, name), storage_options)
    if neighbours is None:
        begun = None if fresh else known_neighbours(target)
        neighbours = begun or default_neighbours(evaluations, climbers)
    settings = ClimbSettings(
        seed=seed,
        climbers=climbers,
        neighbours=neighbours,
        threshold=threshold,
        patience=patience,
        backtracks=backtracks,
        tabu=tabu,
        temperature=temperature,
        cooling=cooling,
        proposer=proposer,
    )
    facts = {
        "objective": declared.describe(),
        "space": space.describe(),
        "start": None if checked is None else checked.tolist(),
        "settings": settings.to_json(),
        "batch": batch,
        "arrays": arrays,
        "search": SEARCH_VERSION,
    }
    evaluator = Evaluator(
        objective=declared,
        space=space,
        arrays=arrays,
        timeout=float(timeout),
        sources=sources_of_functions([declared.function, *declared.setup.values()]),
    )
    spec = ClimbSpec(
        client=usable,
        target=target,
        name=name,
        evaluator=evaluator,
        settings=settings,
        proposer=make_proposer(space, settings, checked, keeps_all=keep == "all"),
        budget=budget,
        facts=facts,
        pickled=evaluator.pickled(),
        batch=batch,
        every=keep == "all",
        fresh=fresh,
    )
    started = _started(spec, os.fspath(results))
    if progress:
        show(started.events, started._repr_html_, lambda: of_climb(started.status()))
    return started


def _started(spec: ClimbSpec, results: str) -> Climb:
    problem = install(spec.client)
    link = dashboard_link(spec.client, page_for(problem))  # once, in the user's own thread
    for one in going():  # a cancelled climb of this process may be ending
        if isinstance(one, Climb) and one.cancelled and one.target_url == spec.target.url:
            one.wait(STOP_SECONDS)
    lease = Lease.acquire(spec.target)
    try:
        started = Climb(spec, results, lease, link)
    except BaseException:  # otherwise nothing would ever release it
        lease.release()
        raise
    if problem:
        started.events.publish(Notice(problem))
    return started


def _whole(given: Any) -> Any:
    """Return an integer of NumPy as one of Python; anything else as it is, to be checked."""
    return int(given) if isinstance(given, np.integer) else given


def _require_price(client: Client) -> None:
    spent = Meter(remote_location(client), is_default=False).cost(1.0)
    if spent is None or spent.usd is None:
        raise UsageError(
            "no price is known for where the climb runs: give seconds= or evaluations="
        )


def _space(objective: Objective, space: Space | None) -> Space:
    found = objective.space if space is None else space
    if not isinstance(found, Space):
        raise UsageError(
            f"objective {objective.name!r} has no space of its own: give one, such as pf.Masks(20)"
            if found is None
            else f"space must be one such as pf.Masks(20), not a {type(found).__name__}; the store "
            "is given as results="
        )
    if objective.space is not None and found.describe() != objective.space.describe():
        raise UsageError(
            f"objective {objective.name!r} is defined on a space of its own: omit space"
        )
    return found


def _require_choices(name: str, keep: str, arrays: str, batch: Any, timeout: Any) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(
            f"a climb cannot be named {name!r}: letters of ASCII, digits, '.', '_' and '-'; give "
            "name="
        )
    if keep not in ("accepted", "all"):
        raise UsageError(f"keep must be 'accepted' or 'all', not {keep!r}")
    require_arrays(arrays)
    if batch is not None and (isinstance(batch, bool) or not isinstance(batch, int) or batch < 1):
        raise UsageError(f"batch must be a positive whole number, not {batch!r}")
    if not isinstance(timeout, int | float) or not 0 < timeout <= TIMEOUT_MAX:
        raise UsageError(f"timeout must be a positive number of seconds, not {timeout!r}")
