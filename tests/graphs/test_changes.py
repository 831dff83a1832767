"""Which values of its surroundings a function changes while it runs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from paninifs.graphs.fingerprint.changes import Observed

counts: Counter[str] = Counter()
groups: defaultdict[str, list[int]] = defaultdict(list)
seen: set[str] = set()
table = np.zeros(3)
total = 0
model: Any = None
WORDS = ["a", "b"]


def _counts(text):
    counts.update(text)


def _groups(text):
    groups[text].append(1)


def _by_way_of_a_helper(text):
    _counts(text)


def _remembers(text):
    seen.add(text)


def _fills(text):
    table[0] += 1


def _adds(text):
    global total  # noqa: PLW0603 (what is tried)
    total += 1


CHANGING: dict[str, tuple[Callable[..., Any], list[str]]] = {
    "a counter": (_counts, ["counts"]),
    "a dictionary of lists": (_groups, ["groups"]),
    "a set": (_remembers, ["seen"]),
    "an array": (_fills, ["table"]),
    "a number": (_adds, ["total"]),
    "in a helper": (_by_way_of_a_helper, ["counts"]),
}


@pytest.mark.parametrize(("function", "names"), CHANGING.values(), ids=CHANGING)
def test_a_changed_value_is_named(function: Callable[..., Any], names: list[str]) -> None:
    observed = Observed(function)
    assert observed.changed() == []
    function("a")
    assert observed.changed() == names


def test_a_variable_of_an_outer_function_counts_too() -> None:
    def make() -> Any:
        total = 0

        def add(text):
            nonlocal total
            total += 1

        return add

    function = make()
    observed = Observed(function)
    function("a")
    assert observed.changed() == ["total"]


def _loads(text):
    global model  # noqa: PLW0603 (what is tried)
    model = model or object()
    return len(WORDS)


def test_loading_once_and_reading_change_nothing() -> None:
    observed = Observed(_loads)
    _loads("a")
    assert observed.changed() == []


def test_anything_callable_may_be_observed() -> None:
    assert Observed(print).changed() == []
