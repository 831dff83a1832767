"""The search of a climb, without a cluster: known optima, and the same states however it is cut."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import paninifs as pf
from paninifs.engine.climbing.proposers.neighbourhoods import Neighbourhoods
from paninifs.engine.climbing.proposers.proposer import Kind
from paninifs.engine.climbing.search import Search
from paninifs.engine.climbing.settings import ClimbSettings


def searched(objective, space, evaluations, start=None, **chosen):
    """Climb in this process; return the search, and the acceptances with their candidates."""
    search = new(space, start, **chosen)
    accepted = []
    while search.evaluations < evaluations:
        accepted += step(search, objective, space)
    return search, accepted


def new(space, start=None, **chosen):
    given = ClimbSettings(**{"threshold": 0.0, **chosen})
    return Search(Neighbourhoods(space, given, start), given)


def step(search, objective, space):
    while search.propose(2**60) is not None:
        pass
    states = search.pending[0].states
    of, accepted = search.retire(np.asarray(objective(space.argument(states)), np.float64))
    return [(of.first + one.row, one.kind, one.parent, of.states[one.row]) for one in accepted]


def ones(masks):
    return masks.sum(axis=1)


def nk(n, k, seed):
    """Return the scores of an NK landscape, and its best score by enumeration."""
    rng = np.random.default_rng(seed)
    table = rng.random((n, 2 ** (k + 1)))
    weights = 2 ** np.arange(k + 1)

    def score(masks):
        rows = np.stack([masks[:, (np.arange(k + 1) + at) % n] for at in range(n)], axis=1)
        codes = (rows * weights).sum(axis=2)
        return table[np.arange(n), codes].sum(axis=1) / n

    every = np.array(list(itertools.product([0, 1], repeat=n)), np.uint8)
    return score, score(every).max()


def test_all_ones_are_found():
    search, _ = searched(ones, pf.Masks(100), 4_000)
    assert search.best.score == 100


@pytest.mark.parametrize("seed", range(5))
def test_the_highest_point_of_a_rugged_landscape_is_found(seed):
    score, best = nk(12, 4, seed)
    search, _ = searched(score, pf.Masks(12), 8_000, seed=seed)
    assert search.best.score == best


def test_the_top_of_a_quadratic_on_the_simplex_is_found():
    top = np.array([0.5, 0.2, 0.2, 0.1, 0.0])
    search, _ = searched(lambda x: -((x - top) ** 2).sum(axis=1), pf.Simplex(5), 10_000)
    assert search.best.score > -1e-7


def test_the_top_of_a_quadratic_in_a_box_is_found():
    top = np.linspace(-1, 1, 10)
    space = pf.Floats(10, -2.0, 2.0)
    search, _ = searched(lambda x: -((x - top) ** 2).sum(axis=1), space, 20_000)
    assert search.best.score > -1e-5


def test_a_known_order_is_found():
    order = np.random.default_rng(5).permutation(15)
    place = np.argsort(order)

    def pairs_in_order(permutations):
        places = place[permutations]
        before = places[:, :, None] < places[:, None, :]
        return np.triu(before, 1).sum(axis=(1, 2))

    search, _ = searched(pairs_in_order, pf.Permutations(15), 10_000)
    assert search.best.score == 15 * 14 / 2
    assert search.best.state.tolist() == order.tolist()


def test_whole_numbers_are_found():
    wanted = np.array([3, 0, 17, 9, 20])
    space = pf.Integers(5, 0, 20)
    search, _ = searched(lambda x: -np.abs(x - wanted).sum(axis=1), space, 5_000)
    assert search.best.state.tolist() == wanted.tolist()


def test_the_parts_of_a_product_are_found_together():
    space = pf.Product(mask=pf.Masks(8), weights=pf.Floats(2, 0.0, 1.0), order=pf.Permutations(4))

    def score(parts):
        in_order = (parts["order"] == np.arange(4)).sum(axis=1)
        return parts["mask"].sum(axis=1) + in_order - (parts["weights"] - 0.25).sum(axis=1) ** 2

    search, _ = searched(score, space, 8_000)
    assert search.best.score > 12 - 1e-4


# --- what it depends on ---------------------------------------------------------------------------


def states_of(search):
    return [one.states.tobytes() for one in search.pending]


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**63 - 1),
    climbers=st.integers(1, 5),
    neighbours=st.integers(1, 9),
    stop=st.integers(0, 30),
    temperature=st.sampled_from([0.0, 0.5]),
    space=st.sampled_from(
        [
            pf.Masks(9),
            pf.Simplex(3),
            pf.Permutations(5),
            pf.Product(a=pf.Masks(2), b=pf.Integers(2, 0, 5)),
        ]
    ),
)
def test_a_restored_search_goes_on_as_if_it_had_not_stopped(
    seed, climbers, neighbours, stop, temperature, space
):
    chosen = {
        "seed": seed,
        "climbers": climbers,
        "neighbours": neighbours,
        "temperature": temperature,
        "patience": 1,
        "backtracks": 1,
        "tabu": 10,
    }
    weights = np.random.default_rng(1).normal(size=space.dimensions)

    def score(argument):
        parts = argument.values() if isinstance(argument, dict) else [argument]
        states = np.concatenate([np.asarray(one, float) for one in parts], axis=1)
        return np.rint((states * weights).sum(axis=1) * 4) / 4

    through, stopped = new(space, **chosen), new(space, **chosen)
    for _ in range(stop):
        step(through, score, space)
        step(stopped, score, space)
    state = {name: value.copy() for name, value in stopped.state().items()}
    resumed = new(space, **chosen)
    resumed.restore(state)
    for _ in range(30):
        one, other = (step(search, score, space) for search in (resumed, through))
        assert [part[:3] for part in one] == [part[:3] for part in other]
        assert states_of(resumed) == states_of(through)
    assert resumed.best.score == through.best.score
    assert resumed.best.number == through.best.number


def test_a_round_of_failures_moves_no_climber():
    space = pf.Masks(8)
    search = new(space, climbers=2, neighbours=4, patience=2)
    for _ in range(20):
        step(search, lambda masks: np.full(len(masks), np.nan), space)
    assert search.best.number == -1
    step(search, ones, space)
    assert search.best.score > 0


def test_gains_are_above_the_threshold_and_have_their_parents():
    space = pf.Masks(60)
    _, accepted = searched(ones, space, 4_000, threshold=1.5)
    scores = {number: int(state.sum()) for number, _, _, state in accepted}
    gains = [one for one in accepted if one[1] is Kind.GAIN]
    assert gains
    assert all(scores[number] > scores[parent] + 1.5 for number, _, parent, _ in gains)


def test_a_climber_makes_excursions_from_its_summit_and_begins_again():
    space = pf.Masks(6)
    _, accepted = searched(ones, space, 3_000, climbers=2, neighbours=8, backtracks=1)
    kinds = {kind for _, kind, _, _ in accepted}
    assert kinds >= {Kind.START, Kind.GAIN, Kind.BACKTRACK, Kind.RESTART}
    left = {parent for _, kind, parent, _ in accepted if kind is Kind.BACKTRACK}
    assert left <= {number for number, _, _, _ in accepted}


def test_climbers_go_on_from_the_best_of_all():
    space = pf.Masks(200)
    search = new(space, climbers=4, neighbours=16)
    for _ in range(8):
        step(search, ones, space)
    climbers = search._proposer.climbers
    starts = {number for number in range(4 * 16) if number % 16 == 0}
    assert all(one.number not in starts for one in climbers)
    assert len({one.number for one in climbers}) < 4


def test_annealing_accepts_losses_that_become_rarer():
    space = pf.Masks(300)
    heated = {"temperature": 1.0, "cooling": 0.9, "climbers": 1, "patience": 1_000}
    _, accepted = searched(ones, space, 6_000, **heated)
    losses = [number for number, kind, _, _ in accepted if kind is Kind.ANNEALED]
    assert losses
    assert np.median(losses) < 3_000
    _, without = searched(ones, space, 2_000)
    assert Kind.ANNEALED not in {kind for _, kind, _, _ in without}


def test_tabu_candidates_are_not_proposed_again():
    space = pf.Masks(40)

    def repeated(tabu):
        search = new(space, climbers=1, neighbours=16, tabu=tabu, patience=1000)
        seen = []
        for _ in range(60):
            while search.propose(2**60) is not None:
                pass
            seen += [row.tobytes() for row in search.pending[0].states]
            search.retire(np.zeros(16))
        return len(seen) - len(set(seen))

    assert repeated(2_000) < 0.3 * repeated(0)
