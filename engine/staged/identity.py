"""`identity_of`: what identifies the rows of a corpus that is staged, in every process.

A dask frame is known by dask's token of its graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...storage.corpus.tables.frame_source import FrameSource


@dataclass(frozen=True)
class Identity:
    """What identifies staged rows: a digest, and facts of which each can be named if it differs."""

    token: str
    facts: Mapping[str, Any]


def identity_of(source: FrameSource) -> Identity:
    """Return what identifies the rows of a source."""
    from dask.base import tokenize

    return Identity(str(tokenize(source.frame)), {})
