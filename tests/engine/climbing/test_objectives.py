"""The objectives that ship, compared with plain Python: ambiguity and separation."""

from __future__ import annotations

import json
import pickle
from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import xarray as xr
from plain_objectives import plain_ambiguity, plain_separation, plain_signatures

from paninifs.engine.climbing.objectives.concepts import OF_CATEGORY, concepts_of, source_of
from paninifs.engine.climbing.objectives.dictionary_ambiguity import ATOMS, dictionary_ambiguity
from paninifs.engine.climbing.objectives.labelled_shares import KEPT_OUT, labelled_shares, parted
from paninifs.engine.climbing.objectives.signature_separation import signature_separation
from paninifs.engine.climbing.on_host import on_host
from paninifs.engine.nsm.material import Material
from paninifs.graphs.inventories import DHATUS, PRIMES
from paninifs.graphs.kernels import reference
from paninifs.storage.errors import CorpusNotFound, UsageError

BATCHES = (1, 2, 7, 64)


# --- ambiguity ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("atoms", "overlap"), [(10, 0.6), (10, 0.0), (3, 0.5), (16, 0.61803), (16, 1.0), (7, 2 / 3)]
)
def test_ambiguity_equals_plain_python(atoms, overlap):
    random = np.random.default_rng(atoms)
    source = random.integers(0, 2, (12, atoms))
    of = dictionary_ambiguity(
        [f"c{at}" for at in range(12)],
        atoms=[f"a{at}" for at in range(atoms)],
        source=source,
        overlap=overlap,
    )
    states = (random.random((40, 12 * atoms)) < random.random((40, 1))).astype("uint8")
    states[0] = 1
    plain = [plain_ambiguity(state, source.tolist(), overlap) for state in states.tolist()]
    assert of(states).tolist() == plain


def test_the_primitives_equal_plain_python():
    of = dictionary_ambiguity()
    states = of.space.random(np.random.default_rng(0), 8)
    source = of.start.reshape(61, 10).tolist()
    assert of(states).tolist() == [plain_ambiguity(one, source) for one in states.tolist()]
    assert of(of.start[None]).tolist() == [plain_ambiguity(of.start.tolist(), source)]


def test_three_of_five_atoms_are_not_above_sixty_percent():
    of = dictionary_ambiguity(["x", "y"], atoms="abcde", source=[[1, 1, 1, 1, 0], [1, 1, 1, 0, 1]])
    assert of(of.start[None]) == 0
    assert of(np.array([[1, 1, 1, 1, 0, 1, 1, 1, 0, 0]])) == -(2 + 1) / 2


@pytest.mark.parametrize("size", [*BATCHES, 300])
def test_ambiguity_has_the_same_bits_in_any_batch(size):
    of = dictionary_ambiguity()
    states = of.space.random(np.random.default_rng(1), 700 if size > 64 else 64)
    parts = [of(states[start : start + size]) for start in range(0, len(states), size)]
    assert np.concatenate(parts).tobytes() == of(states).tobytes()


def test_no_candidates_have_no_scores():
    of, separates = dictionary_ambiguity(), signature_separation()
    assert of(of.start[None][:0]).shape == (0,)
    none = separates.space.argument(separates.start[None][:0])
    assert separates(none).shape == (0,)


def test_the_source_of_the_primitives_keeps_to_their_categories():
    concepts = concepts_of()
    source = source_of(concepts, ATOMS)
    assert {one.category for one in concepts} == set(OF_CATEGORY)
    for row, one in zip(source, concepts, strict=True):
        has = [atom for atom, there in zip(ATOMS, row, strict=True) if there]
        assert set(OF_CATEGORY[one.category]) <= set(has)
        assert len(has) in (3, 4)
    counts = dictionary_ambiguity().judge(source.ravel().astype("uint8"))
    assert [words.split()[0] for _, words in counts[:4]] == ["4", "34", "0", "0"]


COLUMNS = {
    "list": list,
    "tuple": tuple,
    "NumPy": np.array,
    "pandas": pd.Series,
    "categorical": pd.Categorical,
    "Arrow": pa.array,
    "dictionary": lambda names: pa.array(names).dictionary_encode(),
    "chunked": lambda names: pa.chunked_array([names[:1], names[1:]]),
    "Polars": pl.Series,
    "xarray": lambda names: xr.DataArray(np.array(names, object)),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_concepts_and_labels_come_from_any_column(kind):
    column, names = COLUMNS[kind], ["rivière", "mer", "eau"]
    assert dictionary_ambiguity(column(names)).identity == dictionary_ambiguity(names).identity
    shares, labels = planted(30)
    assert labelled_shares(shares, column(labels)).names == tuple(sorted(set(labels)))


def test_a_file_may_give_atoms(tmp_path):
    file = tmp_path / "own.json"
    rows = [
        {"name": "RIVIERE", "atoms": ["MOUVEMENT", "EXISTENCE"]},
        {"name": "DIRE", "category": "PAROLE"},
        "EAU",
    ]
    file.write_text(json.dumps(rows), encoding="utf-8")
    of = dictionary_ambiguity(file, source={"EAU": []})
    chosen = [name for name, there in zip(of.space.names, of.start, strict=True) if there]
    assert chosen[:2] == ["RIVIERE/MOUVEMENT", "RIVIERE/EXISTENCE"]
    assert "DIRE/COMMUNICATION" in chosen
    assert not any(name.startswith("EAU") for name in chosen)
    assert of(of.start[None]) == -8 / 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((["a", "b", "a"],), "'a' stands twice, at 0 and 2"),
        ((["a", "  "],), "concept 1 has no name"),
        ((["a", None],), "concept 1 has no name"),
        ((pd.Series(["a", np.nan]),), "concept 1 has no name"),
        ((pa.array(["a", None]),), "concept 1 has no name"),
        ((["a", 3],), "a name is a string, not 3"),
        ((["a"],), "at least two concepts"),
        ((5,), "a path, or a list or column of names, not int"),
        ((["a", "b"], {"atoms": [str(at) for at in range(17)]}), "1 to 16 atoms, not 17"),
        ((["a", "b"], {"atoms": "xx"}), "distinct names"),
        ((["a", "b"], {"source": [[1, 0]]}), "2 concepts and 10 atoms need (2, 10)"),
        ((["a", "b"], {"source": np.full((2, 10), 2)}), "0 and 1 only"),
        ((["alpha", "b"], {"source": {"alpa": []}}), "did you mean 'alpha'"),
        ((["a", "b"], {"source": {"a": ["RIRE"]}}), "'RIRE', which is not one of: MOUVEMENT"),
        ((["a", "b"], {"overlap": 60}), "between 0 and 1, not 60"),
        ((["a", "b"], {"closeness": 0.5}), "closeness must be a whole number"),
    ],
)
def test_a_wrong_dictionary_says_what_to_do(arguments, says):
    concepts, *named = arguments
    with pytest.raises(UsageError) as raised:
        dictionary_ambiguity(concepts, **(named[0] if named else {}))
    assert says in str(raised.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "could not be read as JSON"),
        ("{}", "must hold a list of objects"),
        ('[{"name": "a"}, {"nom": "b"}]', "concept 1 has no name"),
        ('[{"name": "a", "atoms": "x"}]', "'atoms' must be a list of names"),
        ("[1]", "must be an object with 'name', not 1"),
    ],
)
def test_a_wrong_file_of_concepts_says_where(tmp_path, content, says):
    file = tmp_path / "own.json"
    file.write_text(content)
    with pytest.raises(UsageError) as raised:
        dictionary_ambiguity(file)
    assert says in str(raised.value)
    with pytest.raises(CorpusNotFound, match="does not exist"):
        dictionary_ambiguity(str(tmp_path / "none.json"))


def test_a_judgement_names_the_worst_pairs():
    of = dictionary_ambiguity(["x", "y", "z", "t"], atoms="abcd", source=[[1, 1, 1, 0]] * 4)
    state = np.array([1, 1, 1, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1], "uint8")
    judged = dict(of.judge(state))
    assert judged["Identical decompositions"] == "1 pairs; 6 in the source"
    assert judged["Partial synonyms (overlap > 0.6)"] == "2 pairs; 0 in the source"
    assert judged["Without atoms"] == "1 concepts; 0 in the source"
    assert judged["Distance from the source"] == "5 memberships changed: 1.25 per concept"
    assert judged["Most alike"] == "y and t (1.00), x and y (0.75), x and t (0.75)"
    apart = np.array([1, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0, 1], "uint8")
    assert dict(of.judge(apart))["Most alike"] == "no pair is identical or partly synonymous"


def test_a_judgement_names_ten_pairs_at_most():
    of = dictionary_ambiguity([str(at) for at in range(6)], source=np.eye(10)[[0] * 6])
    alike = dict(of.judge(of.start))["Most alike"]
    assert alike.startswith("0 and 1 (1.00), 0 and 2 (1.00)")
    assert alike.endswith(", and 5 more pairs")


# --- separation -----------------------------------------------------------------------------------


def planted(texts=120, seed=0):
    """Shares like those of hashes, and labels that they decide."""
    shares = np.random.default_rng(seed).dirichlet(np.full(9, 20.0), texts)
    return shares, [DHATUS[:3][at] for at in shares[:, :3].argmax(axis=1)]


def test_separation_equals_plain_python():
    of, texts = signature_separation(), labelled_shares()
    states = of.space.random(np.random.default_rng(0), 4)
    chosen = of.space.argument(states)
    parts = (texts.shares.tolist(), texts.groups.tolist(), parted(texts.groups, 5, 1).tolist())
    plain = [
        plain_separation(weights.tolist(), exponents.tolist(), *parts)
        for weights, exponents in zip(chosen["weights"], chosen["exponents"], strict=True)
    ]
    assert of(chosen) == pytest.approx(plain, abs=1e-9)


def test_the_start_is_the_prime_base():
    of, shares = signature_separation(), labelled_shares().shares
    start = of.space.argument(of.start[None])
    plain = plain_signatures(start["weights"][0].tolist(), start["exponents"][0].tolist(), shares)
    assert np.array_equal(
        np.array(plain, "float32"), reference.prime_base(shares.astype("float32"), primes=PRIMES)
    )


@pytest.mark.parametrize("size", BATCHES)
def test_separation_has_the_same_bits_in_any_batch(size):
    of = signature_separation(folds=11)  # NumPy sums eight or more in another order
    states = of.space.random(np.random.default_rng(1), 200)
    parts = [
        of(of.space.argument(states[start : start + size])) for start in range(0, len(states), size)
    ]
    assert np.concatenate(parts).tobytes() == of(of.space.argument(states)).tobytes()


def test_texts_that_are_kept_out_change_no_score():
    shares, labels = planted()
    texts = labelled_shares(shares, labels)
    out = parted(texts.groups, 5, 1) == KEPT_OUT
    assert 0.15 < out.mean() <= 0.2
    of = signature_separation(shares, labels)
    chosen = of.space.argument(of.space.random(np.random.default_rng(0), 5))
    found = []
    for rows in (out, ~out):
        changed = shares.copy()
        changed[rows] = changed[rows][::-1]
        found.append((signature_separation(changed, labels)(chosen) == of(chosen)).all())
    assert found == [True, False]


def test_folds_are_stratified_and_follow_from_the_seed():
    groups = np.repeat([0, 1, 2], [3, 20, 57])
    folds = parted(groups, 5, 1)
    for group, out in ((0, 1), (1, 4), (2, 11)):
        counts = np.bincount(folds[groups == group] + 1, minlength=6)
        assert counts[0] == out
        assert counts[1:].max() - counts[1:].min() <= 1
    assert np.array_equal(folds, parted(groups, 5, 1))
    assert not np.array_equal(folds, parted(groups, 5, 2))


def climbed(of, rounds):
    random, state, best = np.random.default_rng(0), of.start, -1.0
    for number in range(rounds):
        steps = np.full(128, of.space.first_step * (1.0, 0.3)[number % 2])
        states = of.space.neighbours(random, state, steps)
        scores = of(of.space.argument(states))
        if scores.max() > best:
            state, best = states[scores.argmax()], scores.max()
    return state


def verdict(of, state):
    return dict(of.judge(state))["Against shuffled labels"]


def test_isotopies_are_separated_no_better_than_by_chance():
    of = signature_separation()
    summit = climbed(of, 60)
    assert of(of.space.argument(summit[None])) > of(of.space.argument(of.start[None])) + 0.1
    for state in (of.start, summit):
        assert verdict(of, state).startswith("not more than chance: p = 0.")


def test_planted_groups_are_found():
    of = signature_separation(*planted())
    best = climbed(of, 30)
    assert verdict(of, best).startswith("more than chance: p = 0.00")
    assert "23 texts that the climb never saw" in dict(of.judge(best))["Texts kept out"]


def test_chance_is_called_more_than_chance_as_seldom_as_it_should():
    shares, labels = planted(60)
    random = np.random.default_rng(3)
    said = [
        verdict(of, of.start)
        for of in (signature_separation(shares, random.permutation(labels)) for _ in range(40))
    ]
    assert sum(one.startswith("more") for one in said) <= 2  # of 40 · 0.01; more has p = 0.007


def test_signatures_that_are_constant_separate_nothing():
    of = signature_separation()
    without, equal = of.start.copy(), of.start.copy()
    without[:9], equal[9:] = 0, 0
    assert of(of.space.argument(without[None])) == -1
    assert abs(of(of.space.argument(equal[None]))[0]) < 1e-3
    for state in (without, equal):
        assert verdict(of, state).startswith("not more than chance")
    assert dict(of.judge(without))["Texts kept out"].startswith("score -1.0000 on 21 texts")


def test_texts_are_hashed_as_a_run_does():
    sentences = Material.load().sentences
    texts, labels = [one.text for one in sentences], [one.isotopy for one in sentences]
    assert signature_separation(texts=texts, labels=labels).identity == (
        signature_separation().identity
    )


def test_a_dataset_gives_shares_and_a_column_of_labels():
    shares, labels = planted()
    shares = shares.astype("float32")
    names = [f"D{at}" for at in range(9)]
    data = xr.Dataset(
        {
            "dhatu": (("text", "dhatu_name"), shares),
            "kind": ("text", np.array([*labels[:-3], "", "x", "y"], object)),
            "kind_valid": ("text", np.arange(120) != 118),
            "valid": ("text", np.arange(120) != 119),
        },
        {"dhatu_name": names},
    )
    found = labelled_shares(data, "kind")
    assert found.dhatus == tuple(names)
    assert np.array_equal(found.shares, shares[:117])
    assert found.names == tuple(sorted(DHATUS[:3]))
    by_array = signature_separation(data, [*labels[:-3], None, np.nan, ""])
    assert by_array.identity == signature_separation(data, "kind").identity


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"labels": ["a"]}, "give results or texts too"),
        ({"results": np.ones((4, 2)), "texts": ["a"]}, "not both"),
        ({"texts": ["a", "b"]}, "labels= gives the group of each text"),
        ({"texts": "ab", "labels": ["a", "b"]}, "a list or column of strings"),
        ({"texts": [], "labels": []}, "at least two groups, and there are 0"),
        ({"results": np.ones((4, 2)), "labels": ["a"]}, "4 texts need as many labels, not 1"),
        ({"results": np.ones((4, 2)), "labels": list("aaab")}, "'b' has 1 of the 3 texts"),
        ({"results": np.ones((4, 2)), "labels": list("aaaa")}, "two groups, and there are 1"),
        ({"results": np.ones(4), "labels": list("aabb")}, "finite floats [n, dhātus]"),
        ({"results": np.full((4, 2), np.nan), "labels": list("aabb")}, "finite floats"),
        ({"results": np.ones((6, 2)), "labels": list("aaabbb")}, "4 texts cannot be divided"),
        ({"results": xr.Dataset(), "labels": "kind"}, "no 'dhatu'"),
        ({"primes": [2, 4]}, "distinct prime numbers"),
        ({"folds": 1}, "folds must be a whole number of at least 2"),
        ({"shuffles": 98}, "shuffles must be a whole number of at least 99"),
    ],
)
def test_wrong_groups_say_what_to_do(arguments, says):
    with pytest.raises(UsageError) as raised:
        signature_separation(**arguments)
    assert says in str(raised.value)


def test_an_unknown_column_of_labels_is_named():
    data = xr.Dataset({"dhatu": (("text", "d"), np.ones((4, 2))), "kind": ("text", list("aabb"))})
    with pytest.raises(UsageError, match=r"no column 'kinds' for labels.*did you mean 'kind'"):
        signature_separation(data, "kinds")


# --- both -----------------------------------------------------------------------------------------


def test_what_changes_scores_changes_the_identity():
    shares, labels = planted()
    made = [
        dictionary_ambiguity(),
        dictionary_ambiguity(overlap=0.5),
        dictionary_ambiguity(closeness=2),
        dictionary_ambiguity(["a", "b"]),
        dictionary_ambiguity(["a", "b"], source={"a": ["EMOTION"]}),
        signature_separation(),
        signature_separation(seed=2),
        signature_separation(folds=4),
        signature_separation(most_exponent=2),
        signature_separation(primes=[2, 3]),
        signature_separation(shares, labels),
    ]
    described = [json.dumps(of.describe(), sort_keys=True) for of in made]
    assert len(set(described)) == len(made)
    assert described[0] == json.dumps(dictionary_ambiguity().describe(), sort_keys=True)


def test_scores_of_a_device_come_to_the_host():
    of_a_device = SimpleNamespace(
        __cuda_array_interface__={}, get=lambda: np.arange(2)
    )  # as an array of CuPy
    assert on_host(of_a_device).tolist() == [0, 1]


@pytest.mark.parametrize("make", [dictionary_ambiguity, signature_separation])
def test_objectives_can_be_sent_to_workers(make):
    of = make()
    candidates = of.space.argument(of.space.random(np.random.default_rng(0), 5))
    sent = pickle.loads(of.pickled())
    assert sent(candidates).tobytes() == of(candidates).tobytes()
