"""Blocks of a user's own that mention names of this package: what `former-store.zip` was made with.

They must not be edited: a store pins their source. What they mention had other homes then.
"""

from __future__ import annotations

import numpy as np

import paninifs as pf
from paninifs import Field, PackedText


def _again(text):
    return PackedText.from_strings(text.to_strings())


@pf.map_block(fields=[Field("n_words", "int32")])
def n_words(text):
    assert isinstance(text, PackedText)
    return np.array([len(one.split()) for one in _again(text).to_strings()], "int32")


@pf.map_block(fields=[Field("largest", "float32")])
def largest(dhatu, kind=Field, inventory=pf.dhatu):
    return dhatu.max(axis=1).astype("float32")


def graph():
    return pf.default_graph() + n_words + largest
