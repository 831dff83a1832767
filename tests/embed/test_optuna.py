"""Optuna's samplers as proposers: known optima, and the same states on any cluster."""

from __future__ import annotations

import logging
import time

import numpy as np
import optuna
import pytest
import xarray as xr
from threadpoolctl import threadpool_limits

import paninifs as pf
from paninifs.engine.climbing.proposers.optuna_sampler import SAMPLERS, OptunaSampler
from paninifs.engine.climbing.proposers.proposer import Kind
from paninifs.engine.climbing.search import Search
from paninifs.engine.climbing.settings import ClimbSettings
from paninifs.storage.errors import RunCancelled

WEIGHTS = np.arange(1, 7) / 21
GUIDED = ("optuna:tpe", "optuna:cmaes")


def near(weights):
    """A quadratic on the simplex, whose maximum is 0."""
    return -((weights - WEIGHTS) ** 2).sum(axis=-1)


def ones(masks):
    return masks.sum(axis=-1)


def first_number(states):
    return states[:, 0]


def searched(function, space, start=None, *, rounds=30, late=False, **settings):
    """Return a search after some rounds, and all that it proposed and accepted.

    Late means that rounds are retired together, as when the first of them takes longest.
    """
    settings = ClimbSettings(**({"climbers": 3, "neighbours": 8} | settings))
    search = Search(OptunaSampler(space, settings, start), settings)
    states, accepted = [], []
    while search.retired < rounds:
        while search.propose(2**60) is not None:
            pass
        for _ in range(min(len(search.pending) if late else 1, rounds - search.retired)):
            states.append(search.pending[0].states)
            of, taken = search.retire(np.asarray(function(states[-1]), float))
            accepted += [(of.first + one.row, one.kind, one.parent) for one in taken]
    return search, np.concatenate(states), accepted


# --- what is found --------------------------------------------------------------------------------


@pytest.mark.slow("a sampler takes milliseconds for a candidate")
@pytest.mark.parametrize("proposer", GUIDED)
@pytest.mark.parametrize(
    ("function", "space", "enough"), [(near, pf.Simplex(6), -0.006), (ones, pf.Masks(30), 25)]
)
def test_a_known_optimum_is_neared_and_chance_is_beaten(proposer, function, space, enough):
    found = searched(function, space, proposer=proposer)[0].best.score
    assert found >= enough
    assert found > searched(function, space, proposer="optuna:random")[0].best.score


@pytest.mark.parametrize("proposer", SAMPLERS)
@pytest.mark.parametrize(
    "space",
    [
        pf.Masks(1),
        pf.Integers(3, 0, [9, 0, 9]),
        pf.Permutations(5),
        pf.Product(which=pf.Masks(12), shares=pf.Simplex(3)),
    ],
)
def test_every_kind_of_space_is_sampled(proposer, space):
    search, states, _ = searched(
        lambda x: x[:, 0], space, rounds=6, neighbours=4, proposer=proposer
    )
    assert states.shape == (24, space.dimensions)
    assert states.dtype == space.dtype
    for state in states:
        space.check(state)
    assert search.state() is None


def test_a_start_is_the_first_candidate():
    start = np.zeros(12, np.uint8)
    for neighbours in (1, 8):
        _, states, accepted = searched(
            ones, pf.Masks(12), start, proposer="optuna:tpe", neighbours=neighbours, rounds=20
        )
        assert states[0].tolist() == start.tolist()
        assert accepted[0] == (0, Kind.START, -1)
        assert len(states) == 20 * neighbours


def test_states_are_accepted_when_they_are_higher_by_the_threshold():
    _, states, accepted = searched(ones, pf.Masks(40), proposer="optuna:random", threshold=1.5)
    scores, last = ones(states).astype(float), -1
    for number, kind, parent in accepted:
        assert parent == last
        assert kind is (Kind.START if last == -1 else Kind.GAIN)
        assert last == -1 or scores[number] > scores[last] + 1.5
        last = number
    assert len(accepted) > 1
    assert scores.max() <= scores[last] + 1.5


# --- the same states ------------------------------------------------------------------------------


@pytest.mark.parametrize("proposer", SAMPLERS)
def test_a_seed_decides_the_states(proposer):
    first, again, other = (
        searched(near, pf.Simplex(6), rounds=12, proposer=proposer, seed=seed)[1]
        for seed in (2**62, 2**62, 1)
    )
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


@pytest.mark.parametrize("proposer", GUIDED)
def test_rounds_that_are_retired_early_change_nothing(proposer):
    one = searched(near, pf.Simplex(6), rounds=15, proposer=proposer)[1]
    other = searched(near, pf.Simplex(6), rounds=15, proposer=proposer, late=True)[1]
    assert one.tobytes() == other.tobytes()


@pytest.mark.slow("takes the eigenvectors of large matrices")
def test_the_number_of_threads_of_blas_changes_nothing():
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append(
                searched(
                    lambda x: -((x - 0.3) ** 2).sum(axis=1),
                    pf.Floats(300, 0, 1),
                    rounds=3,
                    climbers=1,
                    neighbours=24,
                    proposer="optuna:cmaes",
                )[1]
            )
    assert found[0].tobytes() == found[1].tobytes()


def test_optuna_is_quiet_and_says_as_much_as_before(caplog):
    logger, level = logging.getLogger("optuna"), optuna.logging.get_verbosity()
    logger.addHandler(caplog.handler)
    try:
        optuna.create_study()
        assert len(caplog.records) == 1
        searched(ones, pf.Masks(4), rounds=4, proposer="optuna:tpe")
    finally:
        logger.removeHandler(caplog.handler)
    assert len(caplog.records) == 1
    assert optuna.logging.get_verbosity() == level


# --- on a cluster ---------------------------------------------------------------------------------

SMALL = {"climbers": 3, "neighbours": 8, "keep": "all", "progress": False}
TABLES = ("candidates", "accepted", "failed")
TIMES = ("order", "worker", "seconds", "at")


@pf.objective(vectorized=True)
def patchy(weights):
    """Candidates with a large first weight have no score."""
    return np.where(weights[:, 0] > 0.2, np.nan, near(weights))


@pf.objective(vectorized=True, name="patchy")
def slow(weights):
    time.sleep(0.02)
    return np.where(weights[:, 0] > 0.2, np.nan, near(weights))


def climbed(results, proposer, evaluations, **given):
    climb = pf.climb(
        patchy,
        pf.Simplex(6),
        results,
        evaluations=evaluations,
        proposer=proposer,
        **(SMALL | given),
    )
    climb.result()
    return history(results)


def history(results):
    tables = [
        pf.open_climb(results, "patchy", table) for table in ("candidates", "accepted", "failed")
    ]
    return [one.load().drop_vars(TIMES, errors="ignore").drop_attrs() for one in tables]


def same(one, other):
    for table, expected in zip(one, other, strict=True):
        xr.testing.assert_identical(table, expected)


@pytest.fixture(scope="module")
def through(tmp_path_factory):
    """Histories of climbs on one worker, by sampler."""
    folder = tmp_path_factory.mktemp("through")
    with pf.connect("threads", workers=1, quiet=True) as client:
        return {one: climbed(folder / one, one, 240, client=client) for one in GUIDED}


@pytest.mark.parametrize("proposer", GUIDED)
def test_two_processes_and_other_batches_have_the_same_states(client, through, tmp_path, proposer):
    same(climbed(tmp_path, proposer, 240, client=client), through[proposer])
    for batch in (1, 5):
        found = climbed(tmp_path / str(batch), proposer, 240, batch=batch, client=client)
        same(found, through[proposer])


def test_failed_candidates_are_listed_and_the_climb_goes_on(through):
    for candidates, accepted, failed in through.values():
        assert len(candidates.score) == 240
        assert np.array_equal(np.flatnonzero(np.isnan(candidates.score)), failed.candidate)
        assert (failed.state[:, 0] > 0.2).all()
        assert 0 < len(failed.candidate) < 120
        assert (np.diff(accepted.score) > 1e-3).all()


@pytest.mark.parametrize("proposer", GUIDED)
def test_a_larger_budget_goes_on(client, through, tmp_path, proposer):
    for evaluations in (8, 90, 240):
        found = climbed(tmp_path, proposer, evaluations, client=client)
    same(found, through[proposer])


@pytest.mark.parametrize("proposer", GUIDED)
def test_a_cancelled_climb_goes_on_elsewhere(client, through, tmp_path, proposer):
    given = {"evaluations": 240, "proposer": proposer}
    climb = pf.climb(slow, pf.Simplex(6), tmp_path, client=client, **given, **SMALL)
    while climb.status().evaluations < 40:
        time.sleep(0.01)
    climb.cancel()
    with pytest.raises(RunCancelled):
        climb.result()
    with pf.connect("threads", workers=1, quiet=True) as other:
        climb = pf.climb(slow, pf.Simplex(6), tmp_path, client=other, **given, **SMALL)
        climb.result()
        assert 40 <= climb.status().evaluations_before < 240
    same(history(tmp_path), through[proposer])


# --- beside the engine's own ----------------------------------------------------------------------


@pytest.mark.slow("four climbs, two of them by samplers that take milliseconds for a candidate")
def test_a_page_shows_all_proposers_on_the_same_evaluations(inline, tmp_path):
    vectorized = pf.objective(near, vectorized=True)
    options = {"evaluations": 640, "climbers": 2, "neighbours": 16, "threshold": 0.0}
    found = {}
    for proposer in ("neighbourhoods", *SAMPLERS):
        name = proposer.replace(":", "-")
        climb = pf.climb(
            vectorized,
            pf.Simplex(6),
            tmp_path,
            name=name,
            proposer=proposer,
            keep="all",
            client=inline,
            progress=False,
            **options,
        )
        found[name] = climb.result().score
    assert max(found, key=found.get) != "optuna-random"
    page = pf.climb_report(tmp_path, out=tmp_path / "page.html").path.read_text("utf-8")
    compared = page[page.index('id="compared"') :]
    assert "after 640" in compared
    for name in found:
        assert f"<bdi>{name}</bdi>" in compared
    assert compared.count("<bdi>optuna:") == len(SAMPLERS)
