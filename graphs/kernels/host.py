"""Functions shared by the backends that compute in host memory (`reference` and `cpu`).

They implement the parts of `Kernels` that copy data and count memory, for backends that need
neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...storage.field import Field
from ...storage.text import PackedText

IN_FLIGHT = 1
"""Micro-batches in flight: one, because the caller's thread computes it."""

MICRO_BATCH = (16_384, 16 << 20)
"""Texts and bytes per micro-batch, such that intermediate arrays stay in the processor's caches."""


@dataclass
class Count:
    """Bytes allocated in a backend's own memory."""

    nbytes: int = 0


def free_memory() -> int | None:
    """Return None: the worker knows how much host memory is available."""
    return None


@contextmanager
def count_allocations() -> Iterator[Count]:
    """Count nothing: the caller sees the size of the host arrays that blocks return."""
    yield Count()


def asarray(values: Any) -> npt.NDArray[Any]:
    """Return the values as a NumPy array."""
    return np.asarray(values)


def on_host(values: Any) -> npt.NDArray[Any]:
    """Return the values as a NumPy array."""
    return np.asarray(values)


def resident(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the values, which are in the host's memory."""
    return values


def chosen(values: Any, mask: npt.NDArray[np.bool_]) -> Any:
    """Return the texts, or the rows of an array, where the mask is true."""
    return values.chosen(mask) if isinstance(values, PackedText) else values[mask]


def spread(values: Any, mask: npt.NDArray[np.bool_], field: Field) -> npt.NDArray[Any]:
    """Return a field of n rows: `values` where the mask is true, elsewhere its fill value."""
    array = np.full((len(mask), *field.shape), field.fill, field.array_dtype)
    if values is not None:
        array[mask] = values
    return array


def host_buffer(nbytes: int) -> npt.NDArray[np.uint8]:
    """Return a new array: `offload` copies nothing."""
    return np.empty(nbytes, np.uint8)


def text_decoder(limit: int) -> str:  # noqa: ARG001 (see `Kernels`)
    """Return why the host decodes texts."""
    return "the backend computes in the host's memory"


def offload(
    values: Mapping[str, Any], work: Callable[[Mapping[str, Any]], Mapping[str, npt.NDArray[Any]]]
) -> Mapping[str, npt.NDArray[Any]]:
    """Call `work` on the values without copying them."""
    return work(values)


def user_function(block: Any) -> Callable[..., Any]:
    """Return the function of a user's block."""
    function: Callable[..., Any] = block.function
    return function


def may_be_of_text(block: Any, error: BaseException) -> bool:  # noqa: ARG001 (see `Kernels`)
    """Return whether a text may be why a block failed: built-in blocks compute every text."""
    return block.function is not None
