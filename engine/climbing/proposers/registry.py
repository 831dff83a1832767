"""`make_proposer`: the proposer of a name."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from ....storage.errors import UsageError
from ..settings import ClimbSettings
from ..spaces.space import Space
from .neighbourhoods import Neighbourhoods
from .proposer import Proposer

NEIGHBOURHOODS = "neighbourhoods"
OPTUNA = "optuna:"
"""Beginning of the names of Optuna's samplers."""


def make_proposer(
    space: Space,
    settings: ClimbSettings,
    start: npt.NDArray[Any] | None,
    *,
    keeps_all: bool,
) -> Proposer:
    """Return the proposer that the settings name.

    Parameters
    ----------
    keeps_all : bool
        Whether the history keeps every candidate, which Optuna's samplers are told again.

    Raises
    ------
    UsageError
        There is none of that name, or it needs every candidate.
    BackendUnavailable
        Its library is not installed.
    """
    if settings.proposer == NEIGHBOURHOODS:
        return Neighbourhoods(space, settings, start)
    if settings.proposer.startswith(OPTUNA):
        if not keeps_all:
            raise UsageError(
                f"proposer={settings.proposer!r} replays every candidate when the climb "
                "goes on: give keep='all'"
            )
        from .optuna_sampler import OptunaSampler

        return OptunaSampler(space, settings, start)
    raise UsageError(
        f"proposer must be {NEIGHBOURHOODS!r} or a sampler such as 'optuna:tpe', not "
        f"{settings.proposer!r}"
    )
