"""The language of texts of any length."""

from __future__ import annotations

import pytest

from paninifs.engine.collecting.extraction.text_language import language_of

FRENCH = "Les canards vivent sur l'eau et mangent ce qu'ils y trouvent. "
ENGLISH = "Ducks live on the water and eat what they find there. "


@pytest.mark.parametrize(
    ("text", "code"),
    [(FRENCH, "fr"), (ENGLISH, "en"), ("Утки живут на воде и едят то, что находят.", "ru")],
)
def test_short_and_long_texts(text: str, code: str) -> None:
    for times in (1, 10, 1000):
        found, confidence = language_of(text * times)
        assert found == code
        assert 0.8 < confidence <= 1


def test_a_long_text_with_a_preface() -> None:
    """The licence in English before a French book does not make it English."""
    found, confidence = language_of(ENGLISH * 20 + FRENCH * 400)
    assert found == "fr"
    assert confidence < 0.9


@pytest.mark.parametrize("text", ["", "OK", "12 + 3 = 15 " * 400, "\n\n"])
def test_of_what_is_hardly_a_text_nothing_is_said(text: str) -> None:
    assert language_of(text) == ("", 0.0)
