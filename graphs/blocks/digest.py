"""The digest block: SHA-256 of the text, which identifies it across corpora."""

from __future__ import annotations

from ...storage.field import Field
from ..block import TEXT, MapBlock


def digest() -> MapBlock:
    """Return the block that computes ``digest``: uint8 [n, 32]."""
    field = Field(
        "digest",
        "uint8",
        (32,),
        dims=("byte",),
        labels={"byte": tuple(range(32))},
        description="SHA-256 of the text's UTF-8 bytes",
        compress=False,
    )
    return MapBlock(name="digest", inputs=(TEXT,), fields=(field,))
