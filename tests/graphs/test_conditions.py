"""Conditions: what an expression may be, what it is true for, and what it refuses."""

from __future__ import annotations

import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import paninifs as pf
from paninifs.graphs.measures.expression import MOST_CHARACTERS, MOST_DEPTH
from paninifs.storage.errors import GraphError

TONGUE = pf.map_block(
    fields=[pf.Field("tongue", "category", categories=("fr", "en", "sa")), pf.Field("n", "int32")]
)(lambda text: None)
COLUMNS = {
    "tongue": np.array([0, 1, 2, -1], np.int8),
    "n": np.array([5, 0, -3, 7], np.int32),
    "x": np.array([0.5, np.nan, 2.0, -1.0], np.float32),
    "name": np.array(["a", None, "b", "a"], object),
    "short": np.array(["a", "", "b", "a"], "U1"),
    "good": np.array([True, False, True, False]),
}

TRUE_FOR = {
    "tongue == 'fr'": [0],
    "'fr' == tongue": [0],
    "tongue != 'fr'": [1, 2, 3],
    "tongue in ('fr', 'sa')": [0, 2],
    "tongue not in ['fr']": [1, 2, 3],
    "tongue == 'fr' or n > 6": [0, 3],
    "n > 0 and not x < 0": [0],
    "0 <= n < 6": [0, 1],
    "n / 2 == 2.5": [0],
    "-n == 3": [2],
    "n * 2 + 1 - x > 10": [0, 3],
    "x == x": [0, 2, 3],
    "x in (2, 0.5)": [0, 2],
    "name == 'a'": [0, 3],
    "name != 'a'": [1, 2],
    "name not in ('a', 'b')": [1],
    "short == 'a'": [0, 3],
    "name == short": [0, 2, 3],
    "good": [0, 2],
    "not good": [1, 3],
    "good == False": [1, 3],
    "  n\t> 6 ": [3],
    "n / 0 > 1": [0, 3],
    "1 < 2 and n == 0": [1],
}


@pytest.mark.parametrize("expression", TRUE_FOR)
def test_an_expression_is_true_for_its_rows(expression):
    block = pf.condition("chosen", expression, TONGUE)
    values = {name: COLUMNS[name] for name in block.inputs}
    by_name, by_position = block(**values), block(*values.values())
    assert np.flatnonzero(by_name).tolist() == TRUE_FOR[expression]
    assert by_name.tolist() == by_position.tolist()
    assert by_name.dtype == bool


REFUSED = {
    "tongue == 'french'": "'french' is not one of the 3 categories of 'tongue'",
    "tongue == 'FR'": "did you mean 'fr'",
    "tongue in ('fr', 'xx')": "'xx' is not one of",
    "tongue == 1": "1 is not one of",
    "tongue < 'fr'": "is a category; compare it",
    "tongue == name": "is a category; compare it",
    "tongue + 1 == 2": "compare a category with",
    "tongue and good": "compare a category with",
    "tongue": "is a category, neither",
    "n + 1": "not true or false",
    "1 == 1": "mentions no field",
    "n in name": "need a list of constants",
    "n in ()": "need a list of constants",
    "n in (1, x)": "need a list of constants",
    "n == (1, 2)": "a list can only follow",
    "name * 'a' == 'aa'": "a string can only be compared",
    "'a' and n > 1": "a string can only be compared",
    "n == None": "None cannot be compared",
    "n == 1j": "cannot be compared with",
    "n >": "is not valid: invalid syntax$",
    "": "is not valid",
    "\0": "is not valid",
    "n.real == 1": "Attribute",
    "print(n)": "Call",
    "n[0] == 1": "Subscript",
    "[m for m in n]": "ListComp",
    "(lambda: 1) == n": "Lambda",
    "f'{n}' == 'a'": "JoinedStr",
    "n if good else x": "IfExp",
    "(m := n) == 1": "NamedExpr",
    "n ** 9 > 1": "Pow",
    "n is 1": "Is",
    "chosen == 1": "cannot refer to itself",
    "n > 1" + " " * MOST_CHARACTERS: "at most",
    "(" * 300 + "n" + ")" * 300 + " > 1": "is not valid",
}


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@pytest.mark.parametrize("expression", REFUSED, ids=lambda one: repr(one)[:40])
def test_what_is_not_evaluated_is_refused(expression):
    with pytest.raises(GraphError, match=REFUSED[expression]):
        pf.condition("chosen", expression, TONGUE)


def test_anything_but_a_string_is_refused():
    with pytest.raises(GraphError, match="must be a string"):
        pf.condition("chosen", lambda n: n > 1)


def test_the_deepest_expression_is_evaluated():
    expression = "not " * (MOST_DEPTH - 4) + "n > 1"
    with pytest.raises(GraphError, match="more than 50 levels"):
        pf.condition("c", f"not not {expression}")
    assert np.flatnonzero(pf.condition("c", expression)(COLUMNS["n"])).tolist() == [0, 3]


def test_numbers_compared_with_a_string_name_the_remedy():
    block = pf.condition("chosen", "tongue == 'fr'")
    with pytest.raises(TypeError, match=r"give the block .* condition\(name, expression, block\)"):
        block(COLUMNS["tongue"])


def test_a_graph_gives_its_categories():
    block = pf.condition("chosen", "tongue == 'fr'", pf.default_graph() + TONGUE)
    assert block(COLUMNS["tongue"]).tolist() == [True, False, False, False]


def test_the_expression_and_the_categories_are_part_of_the_identity():
    first = pf.condition("c", "n > 1").describe()
    assert pf.condition("c", "n > 2").describe() != first
    assert pf.condition("c", "n > 1").describe() == first
    known = pf.condition("c", "tongue == 'fr'", TONGUE)
    assert known.describe() != pf.condition("c", "tongue == 'fr'").describe()


number = st.one_of(st.integers(-9, 9), st.floats(-9, 9, allow_nan=False).map(lambda x: x / 4))
comparison = st.sampled_from(
    [("==", operator.eq), ("!=", operator.ne), ("<", operator.lt), (">=", operator.ge)]
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-9, 9), min_size=1, max_size=20), comparison, number, comparison, number
)
def test_expressions_mean_what_python_means(rows, first, one, second, other):
    text = f"n {first[0]} {one!r} and not n {second[0]} {other!r}"
    found = pf.condition("c", text)(np.array(rows))
    assert found.tolist() == [eval(text, {"n": row}) for row in rows]  # it is made here
