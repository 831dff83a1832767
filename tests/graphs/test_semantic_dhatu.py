"""Dhātu shares by vectors and anchor words: their formula, their file, and their blocks."""

from __future__ import annotations

import json
import tomllib
from importlib import resources

import numpy as np
import pytest

import paninifs as pf
from paninifs.graphs.embeddings.anchors import read_anchors
from paninifs.graphs.embeddings.semantic_dhatu import shares
from paninifs.graphs.inventories import DHATUS
from paninifs.storage.errors import BlockError, GraphError

LETTERS = "aeiostnr"


@pf.map_block(fields=[pf.Field("letters", "float32", (8,))])
def letters(text):
    counts = [[one.count(letter) for letter in LETTERS] for one in text.to_strings()]
    return np.array(counts, "float32").reshape(-1, 8)


WORDS = {
    "A": {"en": ["cat", "man at sea"], "fr": ["chat"]},
    "O": {"en": ["dog", "moon"], "fr": ["ours"]},
    "I": {"en": ["ship", "in"], "fr": ["riz"]},
}
TEXTS = ["a cat", "no dog", "in this ship", "", "xyz", "to be or not to be", "an armchair"]


def expected(texts, words):
    """Compute the shares as their definition says."""

    def unit(vectors):
        lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
        return vectors / np.where(lengths > 0, lengths, 1)

    def vectors_of(texts):
        return letters(texts).astype("float64")

    dhatus = unit(
        np.array(
            [
                np.mean([unit(vectors_of(w)).mean(0) for w in by.values()], 0)
                for by in words.values()
            ]
        )
    )
    cosines = unit(vectors_of(texts)) @ dhatus.T
    rest = (cosines - cosines.min(axis=1, keepdims=True)) ** 2
    total = rest.sum(axis=1, keepdims=True)
    return np.where(total > 0, rest / np.where(total > 0, total, 1), 0)


def test_shares_follow_their_definition():
    found = pf.semantic_dhatu(letters, WORDS)(TEXTS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected(TEXTS, WORDS), rtol=1e-6, atol=1e-7)
    assert found[3].tolist() == found[4].tolist() == [0, 0, 0]
    np.testing.assert_allclose(found[[0, 1, 2, 5, 6]].sum(axis=1), 1, rtol=1e-6)


def test_a_field_of_vectors_gives_the_same_bits():
    from_texts = pf.semantic_dhatu(letters, WORDS)(TEXTS)
    block = pf.semantic_dhatu(letters, WORDS, vectors="letters")
    assert block.inputs == ("letters",)
    assert block(letters(TEXTS)).tobytes() == from_texts.tobytes()
    for rows in (1, 3):  # whatever rows are computed with it
        assert block(letters(TEXTS)[:rows]).tobytes() == from_texts[:rows].tobytes()


def test_a_text_does_not_depend_on_the_others():
    """As the results of matrix products would."""
    prototypes = 1 + 1e-8 * np.random.default_rng(1).normal(size=(9, 384))  # so that digits count
    many = np.random.default_rng(2).normal(size=(300, 384)).astype("float32")
    for rows in (slice(0, 1), slice(7, 8), slice(3, 20), slice(100, 300)):
        assert shares(many[rows], prototypes).tobytes() == shares(many, prototypes)[rows].tobytes()


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e200])
def test_lengths_of_vectors_do_not_matter(scale):
    block = pf.semantic_dhatu(letters, WORDS, vectors="x")
    vectors = letters(TEXTS).astype("float64")
    np.testing.assert_allclose(block(vectors * scale), block(vectors), rtol=1e-6)


def test_vectors_that_are_not_finite_have_no_shares():
    vectors = letters(TEXTS).copy()
    vectors[0, 3], vectors[1, 0] = np.nan, np.inf
    found = pf.semantic_dhatu(letters, WORDS, vectors="x")(vectors)
    assert found[:2].tolist() == [[0, 0, 0]] * 2
    assert found[2].any()


def test_the_field_is_that_of_the_hashes():
    (own,), (hashed,) = pf.semantic_dhatu(letters).fields, pf.dhatu().fields
    for what in ("name", "dtype", "shape", "dims", "labels", "compress", "nullable"):
        assert getattr(own, what) == getattr(hashed, what), what


def test_the_default_graph_keeps_its_hashes():
    assert pf.default_graph().describe()["dhatu"].get("code") is None
    graph = pf.default_graph() + pf.semantic_dhatu(letters, name="meaning")
    assert [field.name for field in graph.fields if field.shape == (9,)] == ["dhatu", "meaning"]


def test_default_anchors_have_all_dhatus_in_three_languages():
    found = read_anchors(None)
    assert tuple(found) == DHATUS
    assert {tuple(words) for words in found.values()} == {("en", "fr", "sa")}
    assert all(len(some) >= 8 for words in found.values() for some in words.values())


@pytest.mark.parametrize("suffix", [".toml", ".json"])
def test_anchors_may_be_a_file(tmp_path, suffix):
    path = tmp_path / f"own{suffix}"
    tables = (
        f"[{name}]\n" + "\n".join(f"{k} = {json.dumps(v)}" for k, v in by.items())
        for name, by in WORDS.items()
    )
    path.write_text(json.dumps(WORDS) if suffix == ".json" else "\n".join(tables))
    block = pf.semantic_dhatu(letters, path)
    assert block.describe() == pf.semantic_dhatu(letters, WORDS).describe()
    assert block.fields[0].labels["dhatu_name"] == ("A", "O", "I")


def test_the_default_file_can_be_copied(tmp_path):
    text = resources.files("paninifs.graphs.embeddings").joinpath("anchors.toml").read_text("utf-8")
    assert tomllib.loads(text) == read_anchors(None)
    path = tmp_path / "mine.toml"
    path.write_text(text.replace('"joy"', '"mirth"'), encoding="utf-8")
    assert "mirth" in read_anchors(path)["FEEL"]["en"]


def test_languages_can_be_chosen():
    only = pf.semantic_dhatu(letters, WORDS, languages=["en"])
    english = {name: {"en": by["en"]} for name, by in WORDS.items()}
    assert only(TEXTS).tobytes() == pf.semantic_dhatu(letters, english)(TEXTS).tobytes()


REFUSED = {
    "a missing file": ("none.toml", None, "cannot be read.*none.toml"),
    "one dhātu": ({"A": {"en": ["a"]}}, None, "two or more"),
    "words without a language": ({"A": ["a"], "B": ["b"]}, None, "A must be a table"),
    "a word alone": ({"A": {"en": "a"}, "B": {"en": ["b"]}}, None, "A, en: give a list"),
    "an empty word": ({"A": {"en": [" "]}, "B": {"en": ["b"]}}, None, "' ' is not a word"),
    "a word twice": ({"A": {"en": ["a"]}, "B": {"en": ["a "]}}, None, "'a' is under A and B"),
    "a language of one": (
        {"A": {"en": ["a"], "fr": ["x"]}, "B": {"en": ["b"]}},
        None,
        "B has no words in the language 'fr'",
    ),
    "another language": (WORDS, ["de"], "A has no words in the language 'de'.*there are: en, fr"),
    "no language": (WORDS, [], "one or more of en, fr"),
    "a language that is no list": (WORDS, "en", r"\['en'\]"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_anchors_are_refused(case):
    anchors, languages, message = REFUSED[case]
    with pytest.raises(GraphError, match=message):
        pf.semantic_dhatu(letters, anchors, languages=languages)


def test_a_file_that_is_not_toml_is_named(tmp_path):
    (tmp_path / "own.toml").write_text("A = [")
    with pytest.raises(GraphError, match=r"own\.toml is not valid TOML or JSON"):
        pf.semantic_dhatu(letters, tmp_path / "own.toml")


def test_words_without_a_vector_are_refused():
    words = {"A": {"en": ["cat"]}, "Z": {"en": ["zzz"]}}
    with pytest.raises(BlockError, match="anchor words of Z vectors whose mean is zero"):
        pf.semantic_dhatu(letters, words)(TEXTS)


@pf.map_block(fields=[pf.Field("n", "int32")])
def length_of(text):
    return np.zeros(len(text), "int32")


@pf.map_block(fields=[pf.Field("both", "float32", (2,))])
def both(text, letters):
    return letters[:, :2]


@pytest.mark.parametrize("block", [length_of, both, pf.digest()])
def test_a_block_that_makes_no_vectors_of_texts_is_refused(block):
    with pytest.raises(GraphError, match="cannot compute the vectors of anchor words"):
        pf.semantic_dhatu(block, WORDS)


def test_vectors_of_another_length_are_refused():
    with pytest.raises(BlockError, match=r"field 'x' has the shape \(4, 3\)"):
        pf.semantic_dhatu(letters, WORDS, vectors="x")(np.ones((4, 3), "float32"))


def test_blocks_of_other_words_or_models_do_not_share_vectors():
    @pf.map_block(fields=[pf.Field("letters", "float32", (8,))], name="letters")
    def others(text):
        return letters(text)[:, ::-1].copy()

    backwards = {name: WORDS[name] for name in reversed(WORDS)}
    first = pf.semantic_dhatu(letters, WORDS)(TEXTS)
    np.testing.assert_array_equal(pf.semantic_dhatu(letters, backwards)(TEXTS), first[:, ::-1])
    assert pf.semantic_dhatu(others, WORDS, vectors="x")(letters(TEXTS)).tolist() != first.tolist()


def test_a_changed_word_is_another_block():
    changed = {**WORDS, "A": {"en": ["bat", "man at sea"], "fr": ["chat"]}}
    one, other = (pf.semantic_dhatu(letters, words).describe() for words in (WORDS, changed))
    assert one != other
