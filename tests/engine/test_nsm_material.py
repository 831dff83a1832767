"""The material of the NSM–Greimas experiments, and what is decided about it without a model."""

from __future__ import annotations

import hashlib
import importlib
import json
import re
from importlib.resources import files

import numpy as np
import pytest
from paths import DEPLOY

import paninifs as pf
from paninifs.engine.nsm import corpus as nsm_corpus
from paninifs.engine.nsm import experiment
from paninifs.engine.nsm.material import LANGUAGES, Material
from paninifs.engine.nsm.measures.word_forms import WORD_FORMS, presence
from paninifs.engine.nsm.model_figures import THRESHOLDS, Figure
from paninifs.engine.nsm.vectors import random_vectors, vectors_of
from paninifs.engine.nsm.verdicts import verdicts
from paninifs.storage.errors import BackendUnavailable, CorpusNotFound, UsageError

DIGESTS = {  # of the research project's own files
    "primitives.json": "3bf834f22d1960e3569902cadc82825652e62cec852d5c2c30c0cf4947ba8e59",
    "semiotic-squares.json": "d7a59a5361ff4ed457c77a4bb6a8144c00860f04fbc1a326bf227ec8a596d74b",
    "isotopies.jsonl": "95215c7e02dcd52da8070000d07eb6d6a228631127729c4acdd50bb7c35521a1",
}
THREE = [
    {"name": "A", "category": "x", "english": "one"},
    {"name": "B", "category": "x", "english": "two"},
    {"name": "C", "category": "y", "english": "three"},
    {"name": "D", "category": "y", "english": "four"},
]
SQUARE = {"S1": "A", "S2": "B", "non_S1": "C", "non_S2": "D"}
LINES = [{"id": 0, "isotopy": "p", "text": "a"}, {"id": 1, "isotopy": "q", "text": "b"}]


@pytest.fixture
def own(tmp_path):
    """Return a function that writes material of one's own, and loads it."""

    def load(primitives=THREE, squares=None, sentences=LINES):
        named = {"Q": SQUARE} if squares is None else squares
        (tmp_path / "p.json").write_text(json.dumps(primitives), "utf-8")
        (tmp_path / "s.json").write_text(json.dumps(named), "utf-8")
        (tmp_path / "i.jsonl").write_text("\n".join(map(json.dumps, sentences)), "utf-8")
        return Material.load(*(tmp_path / name for name in ("p.json", "s.json", "i.jsonl")))

    return load


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "digest"), DIGESTS.items())
def test_the_projects_files_are_unchanged(name, digest):
    data = files("paninifs.engine.nsm").joinpath(name).read_bytes()
    assert hashlib.sha256(data).hexdigest() == digest


def test_every_primitive_has_a_form_in_every_language():
    material = Material.load()
    material.require_forms(LANGUAGES)
    assert (len(material.categories), len(material.isotopies)) == (12, 7)
    accented = {one.forms["fr"]: one.forms["fr-accents"] for one in material.primitives}
    assert (accented["etre"], accented["quelqu un"], accented["je"]) == ("être", "quelqu'un", "je")
    for plain, with_accents in accented.items():  # nothing else differs
        assert with_accents.translate(str.maketrans("éèêô'-", "eeeo  ")) == plain
    english = [one.forms["en"] for one in material.primitives]
    assert len(set(english)) == len(english)


def test_own_material_is_read(own):
    material = own()
    assert material.primitives[0].forms == {"en": "one"}
    assert material.squares[0].corners == ("A", "B", "C", "D")
    assert [one.id for one in material.sentences] == ["0", "1"]
    with pytest.raises(UsageError, match=r"'A' has no form for 'fr'; add 'french'"):
        material.require_forms(["en", "fr"])


def test_the_guides_examples_are_read(own):
    page = (DEPLOY / "docs" / "nsm.md").read_text("utf-8")
    primitives, squares, sentence = map(
        json.loads, re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    )
    names = ["THINK", "NOT", "WANT"]
    others = [{"name": name, "category": "OTHER", "english": name.lower()} for name in names]
    material = own([*primitives, *others], squares, [sentence, LINES[1]])
    assert material.primitives[0].forms == {"fr": "savoir", "en": "know"}
    assert material.squares[0].corners == ("KNOW", "THINK", "NOT", "WANT")
    assert material.sentences[0].isotopy == "KNOWLEDGE"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"primitives": {}}, r"p\.json must hold a list"),
        ({"primitives": [{"name": "A"}]}, r"primitive 0: 'category' must be a text"),
        ({"primitives": [{"name": "A", "category": "x"}]}, r"primitive 0 \('A'\) has no form"),
        ({"primitives": [*THREE, THREE[0]]}, "the name 'A' stands twice"),
        ({"primitives": THREE[:2], "squares": None}, "at least two categories"),
        ({"primitives": [*THREE[:3], {**THREE[3], "english": " "}]}, "primitive 3: 'english'"),
        ({"squares": {}}, r"s\.json must hold an object"),
        ({"squares": {"Q": {**SQUARE, "S2": "E"}}}, "square 'Q': S2 is 'E', which is not a prim"),
        ({"squares": {"Q": {**SQUARE, "S2": "A"}}}, "'Q' has a primitive in two corners"),
        ({"squares": {"Q": {"S1": "A"}}}, "square 'Q': 'S2' must be a text"),
        ({"sentences": [*LINES, LINES[0]]}, "the id '0' stands twice"),
        ({"sentences": LINES[:1]}, "at least two isotopies"),
        ({"sentences": [*LINES, {"id": 2, "isotopy": "q"}]}, r"i\.jsonl, line 3: 'text'"),
    ],
)
def test_unfit_material_is_refused_by_name(own, given, message):
    with pytest.raises(UsageError, match=message):
        own(**given)


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(CorpusNotFound, match=r"none\.json does not exist"):
        Material.load(primitives=tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(UsageError, match=r"bad\.json is not valid JSON"):
        Material.load(squares=tmp_path / "bad.json")
    (tmp_path / "bad.jsonl").write_text("{\n")
    with pytest.raises(UsageError, match=r"bad\.jsonl, line 1 is not valid JSON"):
        Material.load(sentences=tmp_path / "bad.jsonl")


# --- word forms -----------------------------------------------------------------------------------


def test_word_forms_in_the_sentences():
    counts = presence([one.text for one in Material.load().sentences]).sum(axis=0)
    assert dict(zip(WORD_FORMS, counts.tolist(), strict=True)) == {
        "JE": 24,
        "PAS": 2,
        "VOULOIR": 22,
        "SAVOIR": 12,
        "PENSER": 10,
        "BON": 8,
        "MAL": 0,
    }


@pytest.mark.parametrize(
    ("sentence", "found"),
    [
        ("J'arrive", ["JE"]),
        ("j’arrive", ["JE"]),
        ("Il m'a vu", ["JE"]),
        ("Le jet de la même jeep, moins", []),
        ("Ils n'ont rien", ["PAS"]),
        ("N’y va pas", ["PAS"]),
        ("Le passé, une panne", []),
        ("Voudriez-vous", ["VOULOIR"]),
        ("Un vautour, la voulte", []),
        ("Il l'a su sur le champ", ["SAVOIR"]),
        ("La savane, un sachet", []),
        ("PENSEZ-Y", ["PENSER"]),
        ("Une pension, pensif", []),
        ("La bonne bonté", ["BON"]),
        ("Un bonbon", []),
        ("Malgré la malle", []),
        ("De mauvaises pensées", ["PENSER", "MAL"]),
    ],
)
def test_a_word_form_is_a_whole_word(sentence, found):
    assert [
        name for name, there in zip(WORD_FORMS, presence([sentence])[0], strict=True) if there
    ] == found


# --- corpus and vectors ---------------------------------------------------------------------------


def test_corpus_is_written_once_and_replaces_only_its_own(tmp_path):
    path, material = tmp_path / "nsm.jsonl", Material.load()
    corpus = nsm_corpus.write_corpus(path, material, ["fr", "sa"])
    assert len(corpus) == 2 * 61 + 105
    before = path.stat().st_mtime_ns, path.stat().st_ino
    nsm_corpus.write_corpus(path, material, ["fr", "sa"])
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before
    assert len(nsm_corpus.write_corpus(path, material, ["fr"])) == 61 + 105
    path.write_text('{"text": "mine"}\n')
    with pytest.raises(UsageError, match="is not the corpus of an experiment"):
        nsm_corpus.write_corpus(path, material, ["fr"])
    assert path.read_text() == '{"text": "mine"}\n'


@pf.map_block(fields=[pf.Field("n_tokens", "int32"), pf.Field("vector", "float32", (3,))])
def embedded(text):
    return np.zeros(len(text), "int32"), np.zeros((len(text), 3), "float32")


@pf.map_block(fields=[pf.Field("n_words", "int32")])
def n_words(text):
    return np.zeros(len(text), "int32")


def test_the_vectors_of_a_block_are_found_beside_the_baselines():
    found = [(one.field, one.is_baseline) for one in vectors_of([embedded], 0)]
    assert found == [("vector", False), ("dhatu", True), ("random", True)]
    assert vectors_of(embedded, 0)[0].field == "vector"


def test_models_without_vectors_are_refused():
    with pytest.raises(UsageError, match="'n_words' has no vector of floats per text"):
        vectors_of([n_words], 0)
    with pytest.raises(UsageError, match="two models are named 'embedded'"):
        vectors_of([embedded, embedded], 0)
    with pytest.raises(UsageError, match="a model is the name of one"):
        vectors_of([3], 0)


def test_random_vectors_depend_on_id_and_seed_only():
    ids = np.array(["a", "b", "c"], object)
    whole = random_vectors(0)(ids)
    assert (random_vectors(0)(ids[::-1])[::-1] == whole).all()
    assert not np.isin(random_vectors(1)(ids), whole).any()
    assert abs(whole.mean()) < 0.1
    assert abs(whole.std() - 1) < 0.1


# --- before anything runs -------------------------------------------------------------------------


def test_what_is_refused_writes_nothing(tmp_path, monkeypatch):
    (tmp_path / "mine.html").write_text("mine")
    for options, message in (
        ({"languages": []}, "at least one set of forms"),
        ({"languages": ["la"]}, "no forms in the language 'la'"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"permutations": 0}, "permutations must be a whole number"),
        ({"subsamples": 1.5}, "subsamples must be a whole number"),
        ({"out": tmp_path / "mine.html"}, "exists and is not a report"),
        ({"results": "gs://bucket/nsm.zarr"}, "written to this machine"),
    ):
        monkeypatch.setattr(experiment, "find_spec", lambda name: name)
        with pytest.raises(UsageError, match=message):
            pf.nsm([embedded], **{"out": tmp_path / "nsm.html", **options})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.html"]


def test_missing_package_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "find_spec", lambda name: None)
    with pytest.raises(BackendUnavailable, match=r"scikit-learn.*'paninifs\[embed\]'"):
        pf.nsm([embedded], tmp_path / "nsm.html")


def test_the_modules_import_without_scikit_learn():
    for name in ("experiment", "reductions", "nsm_page", "measures.maps", "measures.isotopies"):
        importlib.import_module(f"paninifs.engine.nsm.{name}")


# --- verdicts -------------------------------------------------------------------------------------


def figure(name="purity", value=0.3, **changed):
    given = {
        "vectors": "m",
        "is_baseline": False,
        "experiment": "clustering",
        "lang": "fr",
        "low": None,
        "high": None,
        "p": 0.5,
        "chance": 0.3,
        "chance_high": 0.35,
        "used": 61,
        "left_out": 0,
    }
    return Figure(**{**given, "name": name, "value": value, **changed})


def said(*figures):
    return "\n".join(verdicts(figures))


def test_a_threshold_that_nobody_reaches_is_said_to_be():
    text = said(figure(value=0.36), figure(value=0.41, vectors="n"))
    assert "No model reaches a purity of 0.7: the highest is 0.410, by n (fr)." in text
    assert "No figure is significant." in text
    assert "2 figures were tested; by chance about 0.1" in text
    assert text.count("undefined for every model") == len(THRESHOLDS) - 1


def test_a_threshold_reached_by_chance_is_not_significant():
    text = said(figure("squares_that_hold", 0.75, experiment="squares", p=0.2, low=0.6, high=0.9))
    assert "reached by m (fr) 0.750 (p = 0.2; but the interval from 0.600 to 0.900 holds" in text
    assert "not significant: labels in random order give as much (p = 0.2)" in text
    parted = said(figure("silhouette_of_clusters", 0.7, p=None))
    assert "not significant: it does not depend on the categories" in parted


def test_the_largest_correlation_has_to_be_above_its_threshold():
    assert not figure("largest_correlation", 0.6).reached
    assert figure("largest_correlation", 0.601).reached
    assert figure("themes_found", 3.0).reached
    assert figure("purity", 0.7).reached
    assert not figure("purity", None).reached


def test_a_baseline_that_is_as_good_is_named():
    text = said(
        figure("silhouette_of_clusters", 0.05, p=None),
        figure("silhouette_of_clusters", 0.14, p=None, vectors="dhatu", is_baseline=True),
    )
    assert "The baseline dhatu (fr) has a silhouette of the clusters of 0.140" in text
    assert "says nothing about meaning" in text


def test_without_a_model_the_baselines_are_described():
    text = said(figure(is_baseline=True, p=0.01))
    assert text.startswith("No model was given.")
    assert "Better than chance (p < 0.05) for m (fr): purity (p = 0.01)." in text
