"""Climbs whose objective is given arrays of JAX."""

from __future__ import annotations

import numpy as np
import pytest

import paninifs as pf


@pytest.mark.parametrize("arrays", ["jax", "numpy"])
def test_ambiguity_has_the_same_states_with_arrays_of_jax(client, tmp_path, arrays):
    options = {"evaluations": 600, "client": client, "progress": False, "climbers": 3}
    for name, given in (("numpy", "numpy"), ("other", arrays)):
        climb = pf.climb(
            pf.dictionary_ambiguity(), results=tmp_path, name=name, arrays=given, **options
        )
        climb.result()
    one, other = (pf.open_climb(tmp_path, name).load() for name in ("numpy", "other"))
    assert np.array_equal(one.state.values, other.state.values)
    assert np.array_equal(one.score.values, other.score.values)


def test_an_objective_of_jax_is_given_all_64_bits(client, tmp_path):
    @pf.objective(vectorized=True)
    def near_a_third(parts):
        import jax.numpy as jnp

        assert isinstance(parts["x"], jnp.ndarray)
        assert parts["x"].dtype == jnp.float64
        return -jnp.abs(parts["x"][:, 0] - 1 / 3) - parts["mask"].sum(axis=1)

    space = pf.Product(x=pf.Floats(1, 0.0, 1.0), mask=pf.Masks(3))
    climb = pf.climb(
        near_a_third,
        space,
        tmp_path,
        evaluations=4_000,
        threshold=0.0,
        arrays="jax",
        client=client,
        progress=False,
    )
    assert climb.result().score > -1e-6
