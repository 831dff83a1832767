"""The dhātu block: the share of each semantic root in a text's weight."""

from __future__ import annotations

from collections.abc import Sequence

from ...storage.errors import GraphError
from ...storage.field import Field
from ..block import TEXT, MapBlock
from ..inventories import DHATUS

DIMENSION = "dhatu_name"
"""Name of the dimension. It is not ``dhatu``, because xarray treats an array named like one of its
dimensions as an index, and drops it from reductions such as ``mean``."""


def dhatu(dhatus: Sequence[str] = DHATUS) -> MapBlock:
    """Return the block that computes ``dhatu``: float32 [n, k], rows summing to one.

    The weight of dhātu D for text t is b[0] + b[5] + b[13] + b[21] + b[29] with b the SHA-256 of
    ``D::t``. If all weights are zero, so are all shares.

    Raises
    ------
    GraphError
        The inventory is empty, has duplicates, or has items that are not names.
    """
    names = tuple(dhatus)
    if isinstance(dhatus, str) or not all(isinstance(name, str) and name for name in names):
        raise GraphError(f"dhatus must be a sequence of non-empty strings, not {dhatus!r}")
    if any("\ud800" <= letter <= "\udfff" for name in names for letter in name):
        raise GraphError(f"dhatus must be Unicode without surrogates, not {names!r}")
    if not names or len(set(names)) < len(names):
        raise GraphError(f"dhatus must be one or more distinct names, not {names}")
    field = Field(
        "dhatu",
        "float32",
        (len(names),),
        dims=(DIMENSION,),
        labels={DIMENSION: names},
        description="share of each dhātu in the text's weight",
        compress=False,
    )
    return MapBlock(name="dhatu", inputs=(TEXT,), fields=(field,), params={"dhatus": names})
