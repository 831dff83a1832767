"""User blocks that mention names of this package; `former-store.zip` was made with them.

They must not be edited: a store pins their source. The names were in other modules then.
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
