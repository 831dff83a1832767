"""`block_name`: what a model's block is called where several models are in one graph."""

from __future__ import annotations

import re

from ...storage.errors import UsageError
from ...storage.messages.names import quoted


def block_name(model: str) -> str:
    """Return the name of a model's block, from the last part of the model's name.

    >>> block_name("sentence-transformers/all-MiniLM-L6-v2"), block_name("/models/7b/")
    ('all_MiniLM_L6_v2', 'model_7b')
    """
    last = re.split(r"[/\\]", model.rstrip("/\\"))[-1]
    name = re.sub(r"\W+", "_", last, flags=re.ASCII).strip("_")
    if not name:
        raise UsageError(f"{quoted(model)} is not the name of a model")
    return name if name.isidentifier() else f"model_{name}"
