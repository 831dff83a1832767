"""Sentences that nobody wrote, in English and French: the content of everything served."""

from __future__ import annotations

import random

_VOCABULARY = {
    "en": (
        "the a of in with from our this each small large early river harbour winter letter "
        "method result question measure language grammar root verb noun corpus sentence number "
        "model light water stone garden village teacher student answer we they who shows finds "
        "compares describes explains carries opens keeps follows between under after before "
        "without several different common rare old new careful simple quiet and or but while"
    ),
    "fr": (
        "le la les un une des dans avec pour chaque petit grand ancien fleuve port hiver lettre "
        "méthode résultat question mesure langue grammaire racine verbe nom corpus phrase nombre "
        "modèle lumière eau pierre jardin village élève réponse nous ils qui montre trouve "
        "compare décrit explique porte ouvre garde suit entre sous après avant sans plusieurs "
        "différent commun rare neuf prudent simple calme et ou mais tandis que était être où"
    ),
}
_NAMES = (
    "Amari Bélanger Castellanos Dvořák Eriksen Fontaine Gupta Hernández Ito Jansen Kowalska "
    "Laurent Moreau Nakamura O'Brien Petrov Quist Rossi Şahin Tremblay Uddin Vogel Wójcik Zhang"
)
_FIRST = "Ada Bruno Chiara Dev Elif Farid Greta Hugo Inès Jun Kofi Lena Mina Noé Olga Paul"
WORDS = {lang: words.split() for lang, words in _VOCABULARY.items()}
NAMES, FIRST = _NAMES.split(), _FIRST.split()


def sentence(chance: random.Random, lang: str, least: int = 8, most: int = 18) -> str:
    words = chance.choices(WORDS[lang], k=chance.randint(least, most))
    return " ".join(words).capitalize() + "."


def paragraph(chance: random.Random, lang: str, sentences: int) -> str:
    return " ".join(sentence(chance, lang) for _ in range(sentences))


def person(chance: random.Random) -> tuple[str, str]:
    """Return a family name and forenames."""
    return chance.choice(NAMES), chance.choice(FIRST)
