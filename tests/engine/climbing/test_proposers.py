"""Which proposers there are, and what is said of those that are not."""

from __future__ import annotations

import pytest

import paninifs as pf
from paninifs.engine.climbing.proposers import optuna_sampler
from paninifs.engine.climbing.proposers.registry import make_proposer
from paninifs.engine.climbing.settings import ClimbSettings
from paninifs.storage.errors import BackendUnavailable, UsageError


def made(proposer, *, keeps_all=True):
    return make_proposer(pf.Masks(4), ClimbSettings(proposer=proposer), None, keeps_all=keeps_all)


@pytest.mark.parametrize("name", ["simplex", "optuna", ""])
def test_an_unknown_proposer_is_refused(name):
    with pytest.raises(UsageError, match="'neighbourhoods' or a sampler such as 'optuna:tpe'"):
        made(name)


@pytest.mark.parametrize("name", ["optuna:", "optuna:gp", "optuna:TPE"])
def test_an_unknown_sampler_is_refused_with_the_known_ones(name):
    known = "'optuna:tpe', 'optuna:cmaes', 'optuna:random'"
    with pytest.raises(UsageError, match=f"{name!r} is none of .* {known}"):
        made(name)


def test_a_sampler_needs_every_candidate():
    with pytest.raises(UsageError, match="give keep='all'"):
        made("optuna:tpe", keeps_all=False)


@pytest.mark.parametrize(
    ("name", "there", "missing"),
    [
        ("optuna:tpe", {"cmaes", "threadpoolctl"}, "optuna"),
        ("optuna:random", set(), "optuna"),
        ("optuna:cmaes", {"optuna", "threadpoolctl"}, "cmaes"),
        ("optuna:cmaes", {"optuna", "cmaes"}, "threadpoolctl"),
    ],
)
def test_a_missing_package_is_named(monkeypatch, name, there, missing):
    monkeypatch.setattr(optuna_sampler, "find_spec", lambda package: package in there or None)
    with pytest.raises(BackendUnavailable, match=rf"needs {missing}, .*'paninifs\[optuna\]'"):
        made(name)
