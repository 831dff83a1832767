"""Climbs beside the sequential climb of a script: the same start, seed and number of evaluations.

How much faster they are is measured by ``make bench-climbing``.
"""

from __future__ import annotations

import numpy as np
import pytest
from plain_objectives import plain_climb
from test_search import searched

import paninifs as pf
from paninifs.engine.climbing.settings import default_neighbours


def plain(objective, evaluations, seed):
    """Climb one vectorised candidate at a time; the scores are those of plain Python."""
    rng, space = np.random.default_rng(seed), objective.space
    step = np.array([space.first_step])
    best, _ = plain_climb(
        lambda state: float(objective.function(space.argument(state[None]))[0]),
        lambda state: space.neighbours(rng, state, step)[0],
        objective.start,
        evaluations,
    )
    return best


def climbed(objective, evaluations, seed):
    chosen = {"seed": seed, "threshold": 1e-3, "neighbours": default_neighbours(evaluations, 8)}
    search, _ = searched(
        objective.function, objective.space, evaluations, objective.start, **chosen
    )
    return search.best.score


@pytest.mark.slow("two climbs of tens of thousands of evaluations")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("make", "evaluations"),
    [(pf.dictionary_ambiguity, 40_000), (pf.signature_separation, 20_000)],
)
def test_a_climb_is_as_high_as_a_plain_one(make, evaluations, seed):
    objective = make()
    assert climbed(objective, evaluations, seed) >= plain(objective, evaluations, seed)
