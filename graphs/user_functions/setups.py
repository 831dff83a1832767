"""The identity of what a block's ``setup`` makes; and `made_here`, which makes it in this process.

`made_here` is for blocks that are tried by hand. On workers, `engine.worker.values.setups` makes,
measures and closes it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ...storage.errors import GraphError
from ..fingerprint.functions import describe_function


def identity_of(block: Any, name: str) -> str:
    """Return a key that identifies an argument made by a block's ``setup``.

    It is equal for equal functions, so that the next run, and other blocks of the graph, reuse what
    a model's loader returned. A function that refers to something without a description, for which
    the block's ``version=`` answers, is the block's own; unless it has an attribute ``shared_as``,
    a string that says what it makes.
    """
    make = block.setup[name]
    try:
        described = describe_function(make, block.name, versioned=False)
    except GraphError:
        shared = getattr(make, "shared_as", None)
        described = [block.name] if shared is None else shared
        try:
            described = [described, describe_function(make, block.name, bool(block.version))]
        except GraphError:  # only where the value is local: a run has refused it
            described = f"object {id(make)}"
    known = json.dumps([name, described, block.version], sort_keys=True)
    return hashlib.sha256(known.encode(errors="surrogatepass")).hexdigest()


_here: dict[str, tuple[Any, Any]] = {}  # function and value; the function keeps its id in use


def made_here(block: Any) -> dict[str, Any]:
    """Return the arguments that a block's ``setup`` makes; each is made once per process."""
    made = {}
    for name, make in block.setup.items():
        key = identity_of(block, name)
        if key not in _here:
            _here[key] = make, make()
        made[name] = _here[key][1]
    return made
