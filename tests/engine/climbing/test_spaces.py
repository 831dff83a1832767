"""Spaces of a climb: what is drawn in one is a state of it, and the same from the same seed."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paninifs.engine.climbing.spaces.changes import chosen_children
from paninifs.engine.climbing.spaces.floats import Floats
from paninifs.engine.climbing.spaces.integers import Integers
from paninifs.engine.climbing.spaces.masks import Masks
from paninifs.engine.climbing.spaces.permutations import Permutations
from paninifs.engine.climbing.spaces.product import Product
from paninifs.engine.climbing.spaces.simplex import Simplex
from paninifs.storage.errors import UsageError

few = settings(max_examples=10, deadline=None)

ROWS = 7

KINDS = [Masks, Simplex, Permutations, Integers, Floats, Product]


@st.composite
def bounds(draw, values, dimensions):
    """Draw a lower and an upper bound, for all dimensions or for each."""
    pairs = st.tuples(values, values).map(sorted)
    if draw(st.booleans()):
        return draw(pairs)
    return list(zip(*draw(st.lists(pairs, min_size=dimensions, max_size=dimensions)), strict=True))


@st.composite
def spaces(draw, kind):
    """Draw a space of a kind."""
    if kind is Product:
        simple = st.sampled_from(KINDS[:-1]).flatmap(spaces)
        names = st.sampled_from(["weights", "exponents", "taken"])
        return Product(**draw(st.dictionaries(names, simple, min_size=1)))
    dimensions = draw(st.integers(1, 9))
    named = draw(st.sampled_from([dimensions, [f"n{at}" for at in range(dimensions)]]))
    if kind is Integers:
        values = st.integers(-3, 3) | st.integers(-(2**53), 2**53)
        return Integers(named, *draw(bounds(values, dimensions)))
    if kind is Floats:
        values = st.floats(-1, 1) | st.floats(-1e300, 1e300)
        return Floats(named, *draw(bounds(values, dimensions)))
    return kind(named)


def every_kind(test):
    """Run a test with spaces of each kind and with seeds."""
    kinds = pytest.mark.parametrize("kind", KINDS)
    return kinds(few(given(st.data(), st.integers(0, 99))(test)))


def steps(space):
    """Return steps of all sizes."""
    return np.geomspace(space.least_step, 1.0, ROWS)


def drawn(space, seed):
    """Return rows of each way to draw them."""
    rng = np.random.default_rng(seed)
    random = space.random(rng, ROWS)
    neighbours = space.neighbours(rng, random[0], steps(space))
    combined = combine(space, rng, random[1], random[0], neighbours, ROWS)
    unit = rng.random((ROWS, space.unit_dimensions))
    unit[:2] = [[0.0], [1.0]]
    return {
        "random": random,
        "neighbours": neighbours,
        "combined": combined,
        "from_unit": space.from_unit(unit),
    }


@every_kind
def test_every_row_is_a_state(kind, data, seed):
    space = data.draw(spaces(kind))
    for name, rows in drawn(space, seed).items():
        assert rows.shape == (ROWS, space.dimensions), name
        assert rows.dtype == space.dtype, name
        for row in rows:
            np.testing.assert_array_equal(space.check(row), row, err_msg=name)


@every_kind
def test_a_seed_gives_the_same_bits_in_a_copy_of_the_space(kind, data, seed):
    space = data.draw(spaces(kind))
    again = drawn(pickle.loads(pickle.dumps(space)), seed)
    for name, rows in drawn(space, seed).items():
        assert again[name].tobytes() == rows.tobytes(), name


@every_kind
def test_neighbours_differ_from_the_state(kind, data, seed):
    space = data.draw(spaces(kind))
    rng = np.random.default_rng(seed)
    extreme = space.from_unit(rng.integers(0, 2, (1, space.unit_dimensions)).astype("float64"))
    for state in (extreme[0], space.random(rng, 1)[0]):
        differ = (space.neighbours(rng, state, steps(space)) != state).any(axis=1)
        assert (differ != space.is_point).all()


@every_kind
def test_nothing_given_is_changed(kind, data, seed):
    space = data.draw(spaces(kind))
    rng = np.random.default_rng(seed)
    state, base, *_ = children = space.random(rng, 4)
    unit = rng.random((2, space.unit_dimensions))
    before = children.tobytes(), unit.tobytes()
    space.neighbours(rng, state, steps(space))
    combine(space, rng, state, base, children, 3)
    space.from_unit(unit)
    space.check(state)[:] = 0
    assert (children.tobytes(), unit.tobytes()) == before


@every_kind
def test_steps_are_relative(kind, data, seed):
    space = data.draw(spaces(kind))
    assert 0 < space.least_step <= space.first_step <= 1


@every_kind
def test_different_spaces_have_different_descriptions(kind, data, seed):
    one, other = data.draw(spaces(kind)), data.draw(spaces(kind))
    described = [json.loads(json.dumps(space.describe())) for space in (one, other)]
    assert described == [one.describe(), other.describe()]
    same = repr(_parts(one)) == repr(_parts(other))
    assert (described[0] == described[1]) == same


def _parts(space):
    if isinstance(space, Product):
        return [(name, _parts(part)) for name, part in space.components.items()]
    ends = space.from_unit(np.array([[0.0], [1.0]]).repeat(space.dimensions, axis=1)) + 0.0
    return type(space), space.dimensions, space.names, ends.tolist()


def test_descriptions_tell_names_bounds_and_order_apart():
    several = [
        Masks(2),
        Masks(3),
        Masks(["a", "b"]),
        Masks(["b", "a"]),
        Simplex(2),
        Permutations(2),
        Integers(2, 0, 1),
        Integers(2, 0, [1, 2]),
        Floats(2, 0, 1),
        Floats(2, 0, 2),
        Product(a=Masks(2)),
        Product(a=Permutations(2)),
        Product(b=Masks(2)),
        Product(a=Masks(2), b=Simplex(2)),
        Product(b=Simplex(2), a=Masks(2)),
    ]
    assert len({json.dumps(space.describe(), sort_keys=True) for space in several}) == len(several)
    assert Integers(2, [0, 0], [1, 1]).describe() == Integers(2, 0, 1).describe()
    assert json.dumps(Floats(1, -0.0, 1).describe()) == json.dumps(Floats(1, 0, 1).describe())
    assert Floats(610, 0, 1).describe()["high"] == 1.0


@pytest.mark.parametrize("space", [Masks(610), Integers(610, 0, 3)])
def test_single_changes_cover_all_coordinates(space):
    rng = np.random.default_rng(0)
    state = space.random(rng, 1)[0]
    changed = space.neighbours(rng, state, np.full(610, 1 / 610)) != state
    assert (changed.sum(axis=1) == 1).all()
    assert changed.any(axis=0).all()


def test_the_step_decides_how_many_bits_are_flipped():
    rng = np.random.default_rng(0)
    flips = Masks(610).neighbours(rng, np.zeros(610, "uint8"), np.full(512, 0.05)).sum(axis=1)
    assert flips.max() <= 30  # 0.05 × 610
    assert flips.mean() > 29


def test_the_step_decides_how_far_numbers_move():
    rng = np.random.default_rng(0)
    for space in (Floats(4, 0, 1000), Integers(4, 0, 10**6), Simplex(4)):
        state = space.from_unit(np.full((1, 4), 0.5))[0]
        lengths = [
            np.abs(space.neighbours(rng, state, np.full(400, step)) - state).max(axis=1).mean()
            for step in (1e-4, 1e-3)
        ]
        assert lengths[1] / lengths[0] == pytest.approx(10, rel=0.3)


def test_floats_and_weights_change_one_coordinate_or_all():
    rng = np.random.default_rng(0)
    for space, fewest in ((Floats(9, 0, 1), 1), (Simplex(9), 2)):
        state = np.full(9, 1 / 9)
        changes = np.abs(space.neighbours(rng, state, np.full(400, 1e-3)) - state) > 1e-12
        counts = np.bincount(changes.sum(axis=1), minlength=10)
        assert counts[fewest] + counts[9] == 400
        assert 150 < counts[9] < 250


def test_a_step_of_all_floats_is_as_long_as_one_of_a_single_one():
    state = np.full(100, 0.5)
    changes = (
        Floats(100, 0, 1).neighbours(np.random.default_rng(0), state, np.full(400, 0.1)) - state
    )
    squares, alone = (changes**2).sum(axis=1), (changes != 0).sum(axis=1) == 1
    assert squares[alone].mean() == pytest.approx(squares[~alone].mean(), rel=0.3)


def test_floats_are_reflected_at_the_bounds():
    space = Floats(1, 0, 1)
    found = space.neighbours(np.random.default_rng(0), np.array([1.0]), np.full(400, 0.1))
    assert np.abs(1 - found).mean() == pytest.approx(0.1 * np.sqrt(2 / np.pi), rel=0.1)


def test_reflection_and_rounding_stay_within_the_bounds():
    space = Floats(1, -1, -1e-20)
    found = space.neighbours(np.random.default_rng(0), np.array([-1e-20]), np.full(50, 1e-17))
    assert (found < -1e-20).all()


@pytest.mark.parametrize(("state", "other"), [(1e16, 1e16 + 2), (1e16 + 2, 1e16)])
def test_a_step_that_rounding_would_lose_goes_to_the_next_float(state, other):
    space = Floats(1, 1e16, 1e16 + 2)
    found = space.neighbours(np.random.default_rng(0), np.array([state]), np.full(9, 1e-9))
    assert set(found.ravel().tolist()) == {other}


def test_a_corner_of_the_simplex_is_left():
    corner = np.array([1.0, 0.0])
    found = Simplex(2).neighbours(np.random.default_rng(0), corner, np.geomspace(1e-9, 1, 90))
    assert (found[:, 1] > 0).all()


def test_permutations_swap_insert_and_reverse():
    rng = np.random.default_rng(0)
    state = np.arange(9)
    changed = Permutations(9).neighbours(rng, state, np.full(300, 1 / 9))
    kinds = {"swap": 0, "insertion": 0, "reversal": 0}
    for row in changed.tolist():
        at = [place for place in range(9) if row[place] != place]
        if len(at) == 2 and at[1] - at[0] > 2:
            kinds["swap"] += 1
        elif len(at) > 3 and row[at[0] : at[-1] + 1] == list(range(at[0], at[-1] + 1))[::-1]:
            kinds["reversal"] += 1
        elif len(at) > 2 and len(set(np.diff(row).tolist()) - {1}) >= 1:
            kinds["insertion"] += 1
    assert min(kinds.values()) > 30


def combine(space, rng, state, base, children, count):
    """Return states to which random sets of changes of one state were applied."""
    chosen = chosen_children(rng, len(children), count)
    bases = np.broadcast_to(base, children.shape)
    return space.with_changes(state, bases, children, chosen=chosen)


def test_masks_take_the_bits_that_were_changed():
    base, state = np.array([0, 0, 0, 0], "uint8"), np.array([0, 0, 1, 1], "uint8")
    children = np.array([[1, 0, 0, 0], [0, 0, 1, 0]], "uint8")
    rows = combine(Masks(4), np.random.default_rng(0), state, base, children, 60)
    assert set(map(tuple, rows.tolist())) == {(1, 0, 1, 1), (0, 0, 1, 1)}


def test_integers_and_floats_add_differences_within_the_bounds():
    for space in (Integers(2, 0, 5), Floats(2, 0, 5)):
        base, state = space.check([1, 1]), space.check([4, 3])
        children = np.array([[3, 1], [1, 0]], space.dtype)
        rows = combine(space, np.random.default_rng(0), state, base, children, 60)
        assert set(map(tuple, rows.tolist())) == {(5, 3), (4, 2), (5, 2)}


def test_weights_add_differences():
    space = Simplex(3)
    base, state = np.array([0.5, 0.25, 0.25]), np.array([0.25, 0.25, 0.5])
    children = np.array([[0.25, 0.5, 0.25]])
    rows = combine(space, np.random.default_rng(0), state, base, children, 2)
    assert rows.tolist() == [[0.0, 0.5, 0.5]] * 2
    rows = combine(space, np.random.default_rng(0), rows[0], base, children, 1)  # −0.25 is clipped
    np.testing.assert_allclose(rows, [[0.0, 0.6, 0.4]], rtol=1e-15)


def test_permutations_apply_one_move_after_another():
    space = Permutations(4)
    base, state = np.array([3, 2, 1, 0]), np.array([0, 1, 2, 3])
    children = np.array([[2, 3, 1, 0], [3, 2, 0, 1]])  # the first two and the last two, swapped
    rows = combine(space, np.random.default_rng(0), state, base, children, 60)
    assert set(map(tuple, rows.tolist())) == {(1, 0, 2, 3), (0, 1, 3, 2), (1, 0, 3, 2)}


@few
@given(st.integers(1, 40), st.integers(0, 99))
def test_chosen_children_differ(children, seed):
    chosen = chosen_children(np.random.default_rng(seed), children, 30)
    assert chosen.shape == (30, min(children, 16))
    for row in chosen.tolist():
        taken = [child for child in row if child >= 0]
        assert row == taken + [-1] * (len(row) - len(taken))
        assert len(set(taken)) == len(taken) >= 1
        assert max(taken) < children


def test_every_child_is_chosen_as_often():
    chosen = chosen_children(np.random.default_rng(0), 5, 6000)
    counts = np.bincount(chosen[chosen >= 0], minlength=5)
    assert counts == pytest.approx(np.full(5, 6000 * 3 / 5), rel=0.05)
    assert np.bincount((chosen >= 0).sum(axis=1))[1:] == pytest.approx(np.full(5, 1200), rel=0.15)


@pytest.mark.parametrize(
    ("space", "first"),
    [(Simplex(3), 0.04), (Permutations(3), 0.12), (Masks(3), 0.09), (Integers(3, 0, 9), 0.07)],
)
def test_uniform_points_stand_for_all_of_the_space(space, first):
    points = np.random.default_rng(0).random((4000, 3))
    found = [space.from_unit(points), space.random(np.random.default_rng(1), 4000)]
    for weight in (1, 2, 3):
        means = [(states.astype("float64") ** weight).mean(axis=0) for states in found]
        np.testing.assert_allclose(*means, rtol=first * weight)


def test_a_product_gives_each_component_in_its_dtype():
    space = Product(weights=Simplex(["a", "b"]), taken=Masks(3), order=Permutations(2))
    rows = space.random(np.random.default_rng(0), 5)
    columns = space.columns(rows)
    assert {name: str(array.dtype) for name, array in columns.items()} == {
        "weights": "float64",
        "taken": "uint8",
        "order": "int64",
    }
    for at, row in enumerate(rows):
        again = space.check({name: array[at] for name, array in columns.items()})
        assert again.tobytes() == row.tobytes()
    argument = space.argument(rows)
    assert all(np.array_equal(argument[name], columns[name]) for name in columns)
    assert space.names[:3] == ("weights.a", "weights.b", "taken.0")


def test_other_spaces_give_states_as_they_are():
    rows = Masks(2).random(np.random.default_rng(0), 3)
    assert Masks(2).argument(rows) is rows
    assert Masks(2).columns(rows) == {"state": rows}


@few
@given(spaces(Product), st.integers(0, 99))
def test_a_product_gives_back_what_its_components_hold(space, seed):
    rng = np.random.default_rng(seed)
    states = {name: part.random(rng, 1) for name, part in space.components.items()}
    joined = space.check({name: rows[0] for name, rows in states.items()})
    for name, rows in space.columns(joined[None]).items():
        assert rows.dtype == states[name].dtype
        assert rows.tobytes() == states[name].tobytes()


def test_neighbours_in_a_product_change_one_component_or_all():
    space = Product(large=Masks(90), small=Floats(1, 0, 1), fixed=Integers(1, 2, 2))
    rng = np.random.default_rng(0)
    state = space.random(rng, 1)[0]
    changed = space.neighbours(rng, state, np.full(1000, space.first_step)) != state
    large, small = changed[:, :90].any(axis=1), changed[:, 90]
    assert not changed[:, 91].any()
    assert 200 < (large & small).sum() < 300
    assert (small & ~large).sum() > 40  # more often than one time in 91
    assert (large & ~small).sum() > 500
    assert changed[:, :90].sum(axis=1)[large].mean() < 3  # a step of the masks' own size


def test_a_product_combines_the_same_children_in_all_components():
    space = Product(taken=Masks(2), counts=Integers(2, 0, 1))
    base = np.zeros(4)
    children = np.array([[1.0, 0, 1, 0], [0, 1, 0, 1]])
    rows = combine(space, np.random.default_rng(0), base, base, children, 60)
    assert np.array_equal(rows[:, :2], rows[:, 2:])


@pytest.mark.parametrize(
    ("space", "start", "message"),
    [
        (Masks(3), [1, 0], r"3 numbers in one dimension, not the shape \(2,\)"),
        (Masks(3), [[1, 0, 1]], r"not the shape \(1, 3\)"),
        (Masks(3), [1, [0], 1], "uneven"),
        (Masks(2), ["a", "b"], "holds numbers"),
        (Masks(2), [1, 2], "a mask holds 0 and 1; at position 1 of the start is 2"),
        (Masks(2), [0.5, 1], "position 0 of the start is 0.5"),
        (Masks(2), {"a": 1}, "not the shape"),
        (Floats(2, 0, 1), [np.nan, 0], "finite numbers; at position 0 is nan"),
        (Floats(2, 0, [1, 2]), [1, 2.5], "position 1 of the start is 2.5, outside .* 0.0 to 2.0"),
        (Integers(2, 0, 3), [1, -1], "position 1 of the start is -1, outside of the bounds 0 to 3"),
        (Integers(2, 0, 3), [1.5, 1], "position 0 of the start is 1.5, not a whole number"),
        (Integers(2, 0, 3), np.array([1, 2**64 - 1], "uint64"), "outside of the bounds"),
        (Simplex(2), [1.5, -0.5], "at least 0; at position 1 of the start is -0.5"),
        (Simplex(2), [0.5, 0.4], "sum to 0.9; divide them by their sum"),
        (Permutations(3), [0, 1, 1], "every integer from 0 to 2 once"),
        (Permutations(3), [1, 2, 3], "every integer from 0 to 2 once"),
        (Product(a=Masks(2)), {"a": [1, 2]}, "in the component 'a': a mask holds"),
        (Product(a=Masks(2)), {"b": [1, 2]}, "has the components a, not b"),
        (Product(a=Masks(2)), [1, 0, 1], "a dictionary of a, or 2 numbers"),
    ],
)
def test_a_wrong_start_is_refused(space, start, message):
    with pytest.raises(UsageError, match=message):
        space.check(start)


def test_starts_may_have_other_dtypes():
    assert Masks(2).check([True, False]).tolist() == [1, 0]
    assert Integers(2, 0, 3).check([1.0, 3.0]).tolist() == [1, 3]
    thirds = Simplex(3).check(np.full(3, 1 / 3, "float32"))
    assert abs(thirds.sum() - 1) < 1e-15
    assert Product(a=Masks(1), b=Simplex(2)).check([1, 0.5, 0.5]).tolist() == [1, 0.5, 0.5]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Masks(0), "at least one dimension, not 0"),
        (lambda: Masks(True), "at least one dimension, not True"),
        (lambda: Masks("abc"), "a list of names, not 'abc'"),
        (lambda: Masks(2.5), "a list of names, not 2.5"),
        (lambda: Masks([]), "not an empty list"),
        (lambda: Masks(["a", ""]), "not empty, not ''"),
        (lambda: Masks(["a", "a"]), "two dimensions are called 'a'"),
        (lambda: Integers(2, 3, 0), "lower bound 3 is above the upper bound 0, in dimension 0"),
        (lambda: Integers(2, 0.5, 3), "lower bounds of integers are whole numbers, not 0.5"),
        (lambda: Integers(2, 0, 2**53 + 1), "upper bounds are numbers from"),
        (lambda: Integers(2, "a", 3), "lower bounds are numbers from"),
        (lambda: Integers(2, [0, [1]], 3), "uneven"),
        (lambda: Floats(2, 0, np.inf), "upper bounds are numbers from"),
        (lambda: Floats(2, [0, 0, 0], 1), "one for each of 2 dimensions"),
        (Product, "at least one component"),
        (lambda: Product(a=3), "component 'a' is a space"),
        (lambda: Product(a=Product(b=Masks(2))), "component 'a' is a product"),
        (lambda: Product(**{"a/b": Masks(2)}), "an identifier"),
    ],
)
def test_a_wrong_space_is_refused(make, message):
    with pytest.raises(UsageError, match=message):
        make()
