"""`ClimbSpec`: the complete specification of a climb, checked before anything begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from ...storage.targets.target import Target
from ..worker.user_code import Sources
from .budget import Budget
from .objective import Objective
from .proposers.proposer import Proposer
from .settings import ClimbSettings
from .spaces.space import Space

if TYPE_CHECKING:
    from distributed import Client


@dataclass(frozen=True, kw_only=True)
class ClimbSpec:
    """A climb.

    Attributes
    ----------
    target : Target
        The climb's own folder.
    name : str
    start : ndarray, optional
    proposer : Proposer
    facts : mapping
        What decides its states, as JSON.
    pickled : bytes
        The objective as it is sent to workers.
    batch : int, optional
        A fixed number of candidates per call of the objective.
    arrays : str
        See `arrays`.
    timeout : float
        Seconds after which a call of the objective is abandoned.
    every : bool
        Whether every candidate is kept in the history.
    """

    client: Client
    target: Target
    name: str
    objective: Objective
    space: Space
    start: npt.NDArray[Any] | None
    settings: ClimbSettings
    proposer: Proposer
    budget: Budget
    facts: Mapping[str, Any]
    pickled: bytes
    sources: Sources
    batch: int | None
    arrays: str
    timeout: float
    every: bool
    fresh: bool
