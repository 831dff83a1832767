"""`language`: a map-block that finds the language of texts."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ...storage.field import Field
from ...storage.text import PackedText
from ..block import TEXT, MapBlock
from .language_model import LANGUAGES, LanguageModel, digest_of, model_file, shared_model

_CODES = {code: number for number, code in enumerate(LANGUAGES)} | {"": -1}

_MODEL_BYTES = 4 << 20
"""Memory of the loaded model, in bytes."""


def language(*, name: str = "language", when: str = "") -> MapBlock:
    """Return a block that finds the language of every text, by a model that works offline.

    Its fields are NAME, a nullable category of 176 languages, by codes such as ``"fr"``; and
    NAME_confidence, float32 [n], the model's probability of it. The language of a text without
    letters is missing, and its confidence is 0. Only the first 500 characters of a text count. Of a
    few words the model is not sure: leave out what has a confidence below 0.5 or so.

    The model comes with the extra ``collect``. A digest of its file is part of the block's
    identity: a store is not continued with another model. A core computes some 10,000 short texts
    per second.

    Parameters
    ----------
    name : str
        Name of the block and of its first field.
    when : str, optional
        See `map_block`.

    Raises
    ------
    BackendUnavailable
        The package with the model is not installed.

    Examples
    --------
    >>> block = language()
    >>> codes, known, confidences = block(["le chat dort sur le canapé", "1984"])
    >>> block.fields[0].categories[codes[0]], known.tolist(), float(confidences[1])
    ('fr', [True, False], 0.0)
    """
    digest = digest_of(model_file())
    fields = (
        Field(
            name,
            "category",
            description="language of the text",
            nullable=True,
            categories=LANGUAGES,
        ),
        Field(f"{name}_confidence", "float32", description="probability of the language"),
    )
    return MapBlock(
        name=name,
        inputs=(TEXT,),
        fields=fields,
        function=find_languages,
        version=f"1 {digest}",
        exact=False,  # the model computes in float32, as the processor has it
        setup={"model": partial(shared_model, digest)},
        setup_bytes=_MODEL_BYTES,
        when=when,
    )


def find_languages(text: PackedText, model: LanguageModel) -> tuple[Any, ...]:
    """Compute the fields of `language`."""
    found = model.detect_all(text.to_strings())
    codes = np.array([_CODES[code] for code, _ in found], np.int16)
    return codes, np.array([confidence for _, confidence in found], np.float32)
