"""Climbs on a cluster: the same states whatever the workers, going on, and candidates that fail."""

from __future__ import annotations

import os
import re
import signal
import time
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import paninifs as pf
from paninifs.storage.errors import (
    BlockError,
    ColumnNotFound,
    LeaseHeld,
    ResultsMismatch,
    ResultsNotFound,
    RunCancelled,
    UsageError,
)

SPACE = pf.Masks(24)
SMALL = {"climbers": 3, "neighbours": 8, "progress": False}


@pf.objective(vectorized=True)
def trap(masks):
    """Groups of four bits, of which three ones are worse than none."""
    ones = masks.reshape(len(masks), -1, 4).sum(axis=2)
    return np.where(ones == 4, 4, 3 - ones).sum(axis=1) / 4


def one_trap(mask):
    return float(trap(mask[None])[0])


def history(results, name, table="accepted"):
    return pf.open_climb(results, name, table).load()


def same(one, other, *but):
    """Compare all columns that do not depend on time."""
    told = {"order", "worker", "seconds", "at", *but}
    xr.testing.assert_identical(
        one.drop_vars(told & set(one.variables)).drop_attrs(),
        other.drop_vars(told & set(other.variables)).drop_attrs(),
    )


@pytest.fixture(scope="module")
def through(tmp_path_factory):
    """The history of a climb on one worker."""
    results = tmp_path_factory.mktemp("through")
    with pf.connect("threads", threads=1, quiet=True) as client:
        climb = pf.climb(
            trap, SPACE, results, evaluations=2_000, keep="all", client=client, **SMALL
        )
        climb.result()
    return results


def test_two_processes_accept_the_same_states(client, through, tmp_path):
    climb = pf.climb(trap, SPACE, tmp_path, evaluations=2_000, keep="all", client=client, **SMALL)
    summit = climb.result()
    assert climb.status().stagnation == summit.evaluations - 1 - summit.candidate
    for table in ("accepted", "candidates", "failed"):
        same(history(tmp_path, "trap", table), history(through, "trap", table))


def test_four_threads_and_single_candidates_accept_the_same_states(through, tmp_path):
    with pf.connect("threads", threads=4, quiet=True) as client:
        climb = pf.climb(
            one_trap, SPACE, tmp_path, name="trap", evaluations=2_000, client=client, **SMALL
        )
        climb.result()
    same(history(tmp_path, "trap"), history(through, "trap"))


def test_fixed_batches_accept_the_same_states(client, through, tmp_path):
    for batch in (1, 3, 100):
        climb = pf.climb(
            trap, SPACE, tmp_path, name=f"b{batch}", evaluations=500, batch=batch, **SMALL
        )
        climb.result()
        found = history(tmp_path, f"b{batch}")
        expected = history(through, "trap").isel(accepted=slice(len(found.score)))
        same(found, expected)


def test_a_larger_budget_goes_on(client, through, tmp_path):
    for evaluations in (100, 101, 1_000, 2_000):
        climb = pf.climb(
            trap, SPACE, tmp_path, evaluations=evaluations, keep="all", client=client, **SMALL
        )
        summit = climb.result()
        assert summit.evaluations >= evaluations
    for table in ("accepted", "candidates"):
        same(history(tmp_path, "trap", table), history(through, "trap", table))
    again = pf.climb(trap, SPACE, tmp_path, evaluations=50, keep="all", client=client, **SMALL)
    assert again.result().evaluations == summit.evaluations
    assert again.result().score == summit.score


def test_a_cancelled_climb_goes_on_on_another_cluster(client, through, tmp_path):
    slow = pf.objective(vectorized=True, name="trap")(slow_trap)
    climb = pf.climb(slow, SPACE, tmp_path, evaluations=2_000, client=client, **SMALL)
    while climb.status().evaluations < 200:
        time.sleep(0.05)
    climb.cancel()
    with pytest.raises(RunCancelled, match=r"keeps the [0-9]+ evaluations"):
        climb.result()
    with pf.connect("threads", threads=3, quiet=True) as other:
        climb = pf.climb(slow, SPACE, tmp_path, evaluations=2_000, client=other, **SMALL)
        climb.result()
        assert climb.status().evaluations_before >= 200
    same(history(tmp_path, "trap"), history(through, "trap"))


def slow_trap(masks):
    time.sleep(0.02)
    return trap(masks)


def test_seconds_end_a_climb_and_more_go_on(client, tmp_path):
    for seconds in (2.0, 3.0):
        climb = pf.climb(slow_trap_one, SPACE, tmp_path, seconds=seconds, client=client, **SMALL)
        summit = climb.result()
        assert summit.seconds >= seconds
    assert climb.status().evaluations_before > 0


def slow_trap_one(mask):
    time.sleep(0.002)
    return one_trap(mask)


def test_arguments_are_made_once_per_worker(client, tmp_path):
    @pf.objective(setup={"made": lambda: [os.getpid()]}, vectorized=True)
    def counted(masks, made):
        made.append(None)
        return masks.sum(axis=1) + 0.0 * len(made)

    climb = pf.climb(counted, SPACE, tmp_path, evaluations=500, client=client, **SMALL)
    assert climb.result().score == 24


def test_a_product_is_given_by_component(client, tmp_path):
    space = pf.Product(mask=pf.Masks(6), weight=pf.Floats(1, 0.0, 1.0), order=pf.Permutations(2))

    def score(parts):
        assert parts["mask"].dtype == np.uint8
        return float(parts["mask"].sum()) - (float(parts["weight"][0]) - 0.5) ** 2

    start = {"mask": [0] * 6, "weight": [0.0], "order": [0, 1]}
    climb = pf.climb(score, space, tmp_path, evaluations=3_000, start=start, client=client, **SMALL)
    summit = climb.result()
    assert summit.state["mask"].tolist() == [1] * 6
    assert abs(summit.state["weight"][0] - 0.5) < 0.05
    found = history(tmp_path, "score")
    assert found.state_mask.shape[1:] == (6,)
    assert found.state_weight[0].item() == 0.0


def test_rounds_stay_as_large_as_they_were(client, tmp_path):
    options = {"client": client, "progress": False}
    pf.climb(trap, SPACE, tmp_path, evaluations=200, **options).result()
    small = history(tmp_path, "trap")
    pf.climb(trap, SPACE, tmp_path, evaluations=9_000, **options).result()
    large = history(tmp_path, "trap")
    assert small.attrs["climb"]["settings"]["neighbours"] == 4
    same(small, large.isel(accepted=slice(len(small.score))))


# --- candidates that fail -------------------------------------------------------------------------


def test_only_the_candidates_at_fault_fail(client, tmp_path):
    @pf.objective(vectorized=True)
    def picky(masks):
        if (masks[:, 0] & masks[:, 1]).any():
            raise ValueError("both")
        scores = masks.sum(axis=1).astype(float)
        scores[masks[:, 2] & masks[:, 3] == 1] = np.nan
        scores[masks[:, 4] & masks[:, 5] == 1] = np.inf
        return scores

    climb = pf.climb(picky, SPACE, tmp_path, evaluations=1_000, keep="all", client=client, **SMALL)
    summit = climb.result()
    failed, every = history(tmp_path, "picky", "failed"), history(tmp_path, "picky", "candidates")
    reasons = [failed.attrs["reasons"][at] for at in failed.reason.values]
    states = every.state.values.astype(bool)
    raised = states[:, 0] & states[:, 1]
    odd = ~raised & ((states[:, 2] & states[:, 3]) | (states[:, 4] & states[:, 5]))
    assert failed.candidate.values.tolist() == np.flatnonzero(raised | odd).tolist()
    assert sum("ValueError: both" in one for one in reasons) == raised.sum() > 0
    assert {one for one in reasons if "both" not in one} == {
        "the score is nan",
        "the score is inf",
    }
    assert np.isnan(every.score.values[failed.candidate.values]).all()
    assert summit.failed == len(failed.candidate) == climb.status().failed
    assert summit.score == 21


def test_a_candidate_that_ends_its_worker_fails_alone(tmp_path):
    def deadly(mask):
        if not mask.any():
            os.kill(os.getpid(), signal.SIGKILL)
        return float(mask.sum())

    assert_only_the_start_fails(deadly, tmp_path, r"a worker died 4 times \(.*\)")


def test_a_candidate_that_hangs_fails_alone(tmp_path):
    def sleepy(mask):
        if not mask.any():
            time.sleep(1_000)
        return float(mask.sum())

    assert_only_the_start_fails(sleepy, tmp_path, "no score within 2 s")


def assert_only_the_start_fails(objective, results, reason):
    with pf.connect(workers=2, quiet=True) as client:
        climb = pf.climb(
            objective,
            pf.Masks(10),
            results,
            start=[0] * 10,
            evaluations=160,
            climbers=1,
            neighbours=8,
            timeout=2,
            client=client,
            progress=False,
        )
        summit = climb.result()
    failed = history(results, objective.__name__, "failed")
    assert failed.candidate.values.tolist() == [0]
    (told,) = failed.attrs["reasons"]
    assert re.fullmatch(reason, told)
    assert (summit.failed, summit.score) == (1, 10)


def test_a_hanging_thread_of_the_own_process_is_left_behind(tmp_path):
    def sleepy(mask):
        if mask[0] and mask[1]:
            time.sleep(20)
        return float(mask.sum())

    with pf.connect("threads", threads=2, quiet=True) as client:
        climb = pf.climb(
            sleepy, pf.Masks(6), tmp_path, evaluations=24, timeout=0.3, client=client, **SMALL
        )
        assert climb.result().failed > 0


def test_an_objective_that_always_fails_ends_the_climb(client, tmp_path):
    def broken(mask):
        raise KeyError("gone")

    climb = pf.climb(broken, SPACE, tmp_path, evaluations=1_000, client=client, **SMALL)
    with pytest.raises(BlockError, match=r"no candidate of round 0 has a score.*KeyError"):
        climb.result()


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        (lambda masks: masks, r"array of shape .* it must return an array of shape \(\d,\)"),
        (lambda masks: ["a"] * len(masks), r"returned a list without numbers; it must return an"),
        (lambda masks: None, r"returned None; it must return an array"),
        (lambda masks: masks.sum(), "array of shape"),
    ],
)
def test_an_objective_that_returns_no_scores_ends_the_climb(client, tmp_path, returned, says):
    odd = pf.objective(returned, vectorized=True, name="odd")
    climb = pf.climb(odd, SPACE, tmp_path, evaluations=1_000, client=client, **SMALL)
    with pytest.raises(BlockError, match=says):
        climb.result()


def test_scores_that_depend_on_the_batch_are_refused(client, tmp_path):
    @pf.objective(vectorized=True)
    def relative(masks):
        return masks.sum(axis=1) - masks.sum() / len(masks)

    climb = pf.climb(relative, SPACE, tmp_path, evaluations=200, client=client, **SMALL)
    with pytest.raises(BlockError, match=r"one candidate two scores.*give batch="):
        climb.result()
    # Nothing was scored that another climb under this name would lose.
    climb = pf.climb(relative, SPACE, tmp_path, evaluations=200, batch=4, client=client, **SMALL)
    assert climb.result().evaluations == 200


@pytest.mark.parametrize("end", [SystemExit, KeyboardInterrupt, RecursionError])
def test_an_objective_that_would_end_its_worker_fails_for_that_candidate(client, tmp_path, end):
    def ends(mask):
        if mask[0]:
            raise end("enough")
        return float(mask.sum())

    climb = pf.climb(ends, pf.Masks(6), tmp_path, evaluations=200, client=client, **SMALL)
    summit = climb.result()
    assert summit.score == 5
    assert history(tmp_path, "ends", "failed").attrs["reasons"][0].startswith(end.__name__)


@pytest.mark.parametrize(
    "returned",
    [
        lambda masks: [Decimal(int(one)) for one in masks.sum(axis=1)],
        lambda masks: [int(one) for one in masks.sum(axis=1)],
        lambda masks: pd.Series(masks.sum(axis=1)),
        lambda masks: masks.sum(axis=1).astype(np.float16),
        lambda masks: np.ma.array(masks.sum(axis=1), mask=masks.all(axis=1)),
    ],
)
def test_scores_may_be_numbers_of_any_kind(client, tmp_path, returned):
    kind = pf.objective(returned, vectorized=True, name="kind")
    climb = pf.climb(kind, pf.Masks(6), tmp_path, evaluations=400, client=client, **SMALL)
    summit = climb.result()
    # A masked score is none.
    assert summit.score == (5 if summit.failed else 6)


def test_a_start_by_component_is_in_the_order_of_the_space(client, tmp_path):
    space = pf.Product(a=pf.Floats(1, 0.0, 1.0), b=pf.Floats(1, 0.0, 1.0))
    start = {"b": [0.9], "a": [0.1]}
    options = {"evaluations": 24, "start": start, "client": client, **SMALL}
    pf.climb(lambda parts: 0.0, space, tmp_path, name="f", **options).result()
    found = history(tmp_path, "f")
    assert (found.state_a[0].item(), found.state_b[0].item()) == (0.1, 0.9)
    with pytest.raises(UsageError, match="components a, b"):
        pf.climb(lambda parts: 0.0, space, tmp_path, **{**options, "start": {"x": [1], "y": [1]}})


def test_a_slow_objective_is_not_taken_for_one_that_hangs(client, tmp_path):
    def slow(mask):
        time.sleep(0.1)
        return float(mask.sum())

    options = {"climbers": 2, "neighbours": 64, "timeout": 1.0, "progress": False}
    climb = pf.climb(slow, SPACE, tmp_path, evaluations=128, client=client, **options)
    assert climb.result().failed == 0


def test_a_first_round_is_scored_whatever_the_time(client, tmp_path):
    climb = pf.climb(slow_trap_one, SPACE, tmp_path, seconds=0.001, client=client, **SMALL)
    assert climb.result().evaluations >= 8


# --- what is refused ------------------------------------------------------------------------------


def test_another_climb_under_the_name_is_refused(client, through):
    for chosen, names in (
        ({"seed": 1}, "settings.seed"),
        ({"threshold": 0.5}, "settings.threshold"),
        ({"start": [0] * 24}, "start"),
        ({"keep": "accepted"}, "keep"),
        ({"arrays": "jax"}, "arrays"),
    ):
        options = {"keep": "all", **SMALL, **chosen}
        with pytest.raises(ResultsMismatch, match=f"another climb: {names} differs"):
            pf.climb(trap, SPACE, through, evaluations=10, client=client, **options)


def test_a_changed_objective_is_refused_until_fresh(client, tmp_path):
    def made(factor):
        return pf.objective(lambda masks: factor * masks.sum(axis=1), name="f", vectorized=True)

    pf.climb(made(1), SPACE, tmp_path, evaluations=100, client=client, **SMALL).result()
    with pytest.raises(ResultsMismatch, match=r"objective\.code"):
        pf.climb(made(2), SPACE, tmp_path, evaluations=100, client=client, **SMALL)
    fresh = pf.climb(made(2), SPACE, tmp_path, evaluations=100, fresh=True, client=client, **SMALL)
    assert fresh.result().score > 24


def test_one_process_climbs_under_a_name(client, tmp_path):
    slow = pf.climb(slow_trap_one, SPACE, tmp_path, seconds=30, client=client, **SMALL)
    with pytest.raises(LeaseHeld, match="what it began earlier"):
        pf.climb(slow_trap_one, SPACE, tmp_path, seconds=30, client=client, **SMALL)
    slow.cancel()
    slow.wait(20)
    again = pf.climb(slow_trap_one, SPACE, tmp_path, evaluations=10, client=client, **SMALL)
    again.result()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"evaluations": None}, "give a budget"),
        ({"evaluations": 0}, "evaluations must be a positive whole number"),
        ({"seconds": float("nan")}, "seconds must be a positive number"),
        ({"space": None}, "no space of its own"),
        ({"space": 20}, "space must be one such as"),
        ({"start": [2] * 24}, "0 and 1"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"climbers": 0}, "climbers must be"),
        ({"climbers": 0, "neighbours": None}, "climbers must be"),
        ({"evaluations": "x", "neighbours": None}, "evaluations must be"),
        ({"threshold": -0.1}, "threshold must be"),
        ({"cooling": 0}, "cooling must be"),
        ({"proposer": "genetic"}, "proposer must be"),
        ({"name": "a/b"}, "cannot be named"),
        ({"name": 3}, "cannot be named"),
        ({"timeout": 1e12}, "timeout must be"),
        ({"keep": "best"}, "keep must be"),
        ({"arrays": "torch"}, "arrays must be"),
        ({"batch": 0}, "batch must be"),
        ({"timeout": 0}, "timeout must be"),
        ({"objective": 3}, "give a function"),
    ],
)
def test_wrong_arguments_are_refused(client, tmp_path, wrong, says):
    given = {"objective": trap, "space": SPACE, "evaluations": 100, **SMALL, **wrong}
    objective, space = given.pop("objective"), given.pop("space")
    with pytest.raises(UsageError, match=says):
        pf.climb(objective, space, tmp_path, client=client, **given)


def test_what_does_not_exist_is_named(through):
    with pytest.raises(ResultsNotFound, match="no climb 'tap'; it has: trap; did you mean 'trap'"):
        pf.open_climb(through, "tap")
    with pytest.raises(ColumnNotFound, match="no table 'accept'; it has: "):
        pf.open_climb(through, "trap", "accept")
    with pytest.raises(ResultsNotFound, match="no climb"):
        pf.open_climb(through / "nowhere", "trap")
