"""`ClimbSpec`: the complete specification of a climb, checked before anything begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...storage.targets.target import Target
from .climb_budget import Budget
from .evaluation import Evaluator
from .proposers.proposer import Proposer
from .settings import ClimbSettings

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
    evaluator : Evaluator
        The objective, and how it is called.
    proposer : Proposer
    facts : mapping
        What decides its states, as JSON.
    pickled : bytes
        The evaluator as it is sent to workers.
    batch : int, optional
        A fixed number of candidates per call of the objective.
    every : bool
        Whether every candidate is kept in the history.
    """

    client: Client
    target: Target
    name: str
    evaluator: Evaluator
    settings: ClimbSettings
    proposer: Proposer
    budget: Budget
    facts: Mapping[str, Any]
    pickled: bytes
    batch: int | None
    every: bool
    fresh: bool
