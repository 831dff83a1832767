"""What backends that compute in the host's memory have in common: nothing has to be moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...storage.text import PackedText

IN_FLIGHT = 1

MICRO_BATCH = (16_384, 16 << 20)
"""What it makes of these stays in the processor's caches."""


@dataclass
class Count:
    """Bytes that were taken where a backend computes, beside those of the host that it is given."""

    nbytes: int = 0


def room() -> int | None:
    """Say nothing: how much of the host's memory there is for this, its worker knows."""
    return None


@contextmanager
def counted() -> Iterator[Count]:
    """Count nothing: what blocks return is seen by whoever called them."""
    yield Count()


def asarray(values: Any) -> npt.NDArray[Any]:
    """Return an array as it is."""
    return np.asarray(values)


def offload(
    text: PackedText, work: Callable[[PackedText], Mapping[str, npt.NDArray[Any]]]
) -> Mapping[str, npt.NDArray[Any]]:
    """Do `work` on the texts where they lie."""
    return work(text)


def own(block: Any) -> Callable[..., Any]:
    """Return the function of a user's own block."""
    function: Callable[..., Any] = block.function
    return function
