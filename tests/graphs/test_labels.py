"""Labels of the package's own code: public names, and equality with what earlier versions wrote."""

from __future__ import annotations

import copy
import json
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import paninifs as pf
from paninifs import Cleaning, Field, MapBlock, PackedText, dhatu, errors, map_block
from paninifs.graphs import kernels
from paninifs.graphs.fingerprint import labels
from paninifs.graphs.fingerprint.labels import keep_known_labels, label_of
from paninifs.graphs.kernels.cpu import cpu_backend as cpu
from paninifs.graphs.kernels.cpu.cpu_backend import digest as cpu_digest
from paninifs.storage import text as text_module
from paninifs.storage.cleaning.markup import without_markup

X = [Field("x", "int32")]
PUBLIC = sorted(name for name in pf.__all__ if name != "__version__")


def referring_to(value: object) -> MapBlock:
    """Return a block that refers to a value."""

    def block(text):
        return value

    return map_block(fields=X)(block)


def description(value: object) -> object:
    """Return how a value that a block refers to is described."""
    return referring_to(value).describe()["code"]["refers to"]["value"]


# What a block refers to, how it is described, and how the first versions described it.
OWN: dict[str, tuple[object, object, object]] = {
    "a class": (PackedText, "paninifs.PackedText", "paninifs.storage.text.PackedText"),
    "a class that moved": (
        Cleaning,
        "paninifs.Cleaning",
        "paninifs.storage.cleaning.Cleaning",
    ),
    "a function that moved": (dhatu, "paninifs.dhatu", "paninifs.graphs.dhatu.dhatu"),
    "a class method": (
        PackedText.from_strings,
        ["paninifs.PackedText", "paninifs.PackedText.from_strings"],
        ["paninifs.storage.text.PackedText", "paninifs.storage.text.PackedText.from_strings"],
    ),
    "a public module": (errors, "module paninifs.errors", "module paninifs.storage.errors"),
    "an error": (
        errors.BlockError,
        "paninifs.errors.BlockError",
        "paninifs.storage.errors.BlockError",
    ),
    "an inner module": (
        text_module,
        "module paninifs.storage.text",
        "module paninifs.storage.text",
    ),
    "an inner module that moved": (
        cpu,
        f"module {cpu.__name__}",
        "module paninifs.graphs.kernels.cpu",
    ),
    "an inner function": (
        kernels.load,
        "paninifs.graphs.kernels.load",
        "paninifs.graphs.kernels.load",
    ),
    "an inner function that moved": (
        cpu_digest,
        f"{cpu.__name__}.digest",
        "paninifs.graphs.kernels.cpu.digest",
    ),
    "an inner function in a folder of its own": (
        without_markup,
        "paninifs.storage.cleaning.markup.without_markup",
        "paninifs.storage.markup.without_markup",
    ),
    "the package": (pf, "module paninifs", "module paninifs"),
    "a library": (np.float32, "numpy.float32", "numpy.float32"),
}


@pytest.mark.parametrize(("value", "label", "former"), OWN.values(), ids=OWN)
def test_a_label_is_the_public_name_or_the_path(
    value: object, label: object, former: object
) -> None:
    assert description(value) == label


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_its_own_label(name: str) -> None:
    value = getattr(pf, name)
    module = isinstance(value, ModuleType)
    assert description(value) == f"{'module ' if module else ''}paninifs.{name}"


def test_an_instance_is_labelled_by_its_public_class() -> None:
    assert description(Field("x", "int32"))[0] == "paninifs.Field"
    assert (
        description([MapBlock(name="x", inputs=("text",), fields=tuple(X))])[1][0]
        == "paninifs.MapBlock"
    )


def graph_with(code: Any, **changes: Any) -> dict[str, Any]:
    """Return a graph's description with a block of some code, as a manifest gives it back."""
    block = {"params": {}, "version": "", "code": {"source": "def f", "refers to": code}, **changes}
    return json.loads(json.dumps({"digest": {"params": {}}, "mine": block}))


@pytest.mark.parametrize(("value", "label", "former"), OWN.values(), ids=OWN)
@pytest.mark.parametrize("nested", [False, True], ids=["plain", "nested"])
def test_a_label_of_an_earlier_version_is_kept(
    value: object, label: object, former: object, nested: bool
) -> None:
    today, known = (
        graph_with({"value": ["tuple", [["'a'", {"f": one}]]] if nested else one})
        for one in (label, former)
    )
    assert keep_known_labels(today, known) == known
    assert keep_known_labels(today, today) == today


@pytest.mark.parametrize("name", labels._HOMES)
def test_every_former_home_of_a_public_name_is_known(name: str) -> None:
    today = graph_with({"value": f"paninifs.{name}"})
    for home in labels._HOMES[name]:
        known = graph_with({"value": f"paninifs.{home}"})
        assert keep_known_labels(today, known) == known


@pytest.mark.parametrize("former", labels._MODULES)
def test_every_module_that_moved_is_where_the_table_says(former: str) -> None:
    assert find_spec(f"paninifs.{labels._MODULES[former]}")


CHANGES: dict[str, tuple[Any, Any]] = {
    "another class": ("paninifs.PackedText", "paninifs.storage.field.Field"),
    "a function of the same name": ("paninifs.dhatu", "paninifs.graphs.kernels.reference.dhatu"),
    "a class that a dictionary maps to another": (
        [["paninifs.Cleaning", "paninifs.Graph"]],
        [["paninifs.graphs.graph.Graph", "paninifs.storage.cleaning.Cleaning"]],
    ),
    "one more item": (
        ["list", "paninifs.Field", "paninifs.Field"],
        ["list", "paninifs.storage.field.Field"],
    ),
    "a string that reads like a label": (
        "'paninifs.Field'",
        "'paninifs.storage.field.Field'",
    ),
    "a name that only begins like a label": (
        "paninifs.PackedText",
        "paninifs.storage.text.PackedTexts",
    ),
    "a library's function": ("paninifs.stage", "mine.engine.staging.stage"),
}


@pytest.mark.parametrize(("label", "former"), CHANGES.values(), ids=CHANGES)
def test_what_differs_by_more_than_a_label_stays_different(label: Any, former: Any) -> None:
    today, known = graph_with({"value": label}), graph_with({"value": former})
    kept = keep_known_labels(copy.deepcopy(today), known)
    assert kept != known


def test_only_code_is_read_for_labels() -> None:
    was, now = "paninifs.storage.field.Field", "paninifs.Field"
    for changes in ({"params": {"class": was}}, {"version": was}):
        known = graph_with({}, **changes)
        today = json.loads(json.dumps(known).replace(was, now))
        assert keep_known_labels(today, known) == today


def test_a_change_beside_a_former_label_is_the_only_difference() -> None:
    known = graph_with({"value": "paninifs.storage.field.Field", "n": "1"})
    today = graph_with({"value": "paninifs.Field", "n": "2"})
    assert keep_known_labels(today, known) == graph_with(
        {"value": "paninifs.storage.field.Field", "n": "2"}
    )


def test_blocks_that_a_store_does_not_know_are_as_described() -> None:
    today = graph_with({"value": "paninifs.Field"})
    assert keep_known_labels(today, {}) == today
    built_in = {"mine": {"params": {}}}
    assert keep_known_labels(today, built_in) == today
    assert keep_known_labels(built_in, today) == built_in


def test_a_module_is_not_labelled_like_a_function_that_was_there() -> None:
    # The function `connect` was in `engine.cluster`, where a module of its name is today.
    path = "paninifs.engine.cluster.connect"
    assert label_of(path) == path
    assert label_of(f"{path}.connect") == "paninifs.connect"
