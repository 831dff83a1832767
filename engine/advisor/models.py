"""Models with a known number of parameters, and notes on them.

Their figures are those of the guide in ``seed2.toml``: the size of a model does not change.
"""

from __future__ import annotations

from ..costs.work import Model, Work
from .seed2.matrix import seed2


def model(name: str) -> Model:
    """Return a known model by its name.

    >>> model("BGE-M3").parameters
    568000000
    """
    return Model(name, seed2().models[name]["parameters"])


def known_models() -> tuple[str, ...]:
    """Return the names of all known models."""
    return tuple(seed2().models)


def model_notes(work: Work) -> tuple[str, ...]:
    """Return the notes on the models of a piece of work."""
    known = seed2().models
    return tuple(
        f"{one.name}: {known[one.name]['note']}"
        for one in work.models
        if "note" in known.get(one.name, {})
    )
