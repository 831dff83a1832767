"""Backends: one file each, the same functions in every one, resolved here from a name.

A backend is a module with the functions of `Kernels`; `reference` is the oracle that says what they
return. To add one, write the file and add its name to `BACKENDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cache
from importlib import import_module
from typing import Any, Protocol, cast

import numpy.typing as npt

from ...storage.errors import BackendUnavailable
from ...storage.text import PackedText
from .host import Count

NUMERIC_VERSION = 1
"""Raised when any bit of any field changes. Part of every run's fingerprint."""

BACKENDS = {"reference": ".reference", "cpu": ".cpu.cpu_backend", "cuda": ".cuda.cuda_backend"}

Array = Any
"""Of NumPy, or of the library that keeps arrays where a backend computes (CuPy)."""


class Kernels(Protocol):
    """What a backend computes; n texts, k dhātus, m primes.

    Texts and arrays lie where it computes; `offload` brings them there and back.
    """

    IN_FLIGHT: int
    """Micro-batches that keep it busy at once."""

    MICRO_BATCH: tuple[int, int]
    """Texts and bytes of text that it is best given at once, where there is memory enough."""

    def digest(self, text: PackedText) -> Array:
        """SHA-256 of every text: uint8 [n, 32]."""

    def dhatu(self, text: PackedText, *, dhatus: tuple[str, ...]) -> Array:
        """Weights of every dhātu, summing to one: float32 [n, k]."""

    def prime_base(self, dhatu: Array, *, primes: tuple[int, ...]) -> Array:
        """Prime-base signatures: float32 [n, m]."""

    def ambiguity(
        self, dhatu: Array, *, primes: tuple[int, ...]
    ) -> tuple[Array, Array, Array, Array]:
        """Variance, entropy, ambiguity and normalised ambiguity: four float32 [n]."""

    def default_graph(
        self, text: PackedText, *, dhatus: tuple[str, ...], primes: tuple[int, ...]
    ) -> tuple[Array, ...]:
        """All of these in their order, fused: the same bits by one pass over the texts."""

    def prepare(self) -> None:
        """Make ready, once a process, what takes time before the first call; try it."""

    def own(self, block: Any) -> Callable[..., Any]:
        """Return the code that computes a user's own block."""

    def asarray(self, values: Array) -> Array:
        """Return an array where the backend computes."""

    def room(self) -> int | None:
        """Bytes that are left where it computes; None: of the host's, as many as may be taken."""

    def counted(self) -> AbstractContextManager[Count]:
        """Count the bytes that this thread takes where it computes, if that is not the host."""

    def offload(
        self, text: PackedText, work: Callable[[PackedText], Mapping[str, Array]]
    ) -> Mapping[str, npt.NDArray[Any]]:
        """Bring texts of the host to where it computes, do `work`, bring back what it makes."""


def require(name: str) -> None:
    """Raise `BackendUnavailable` unless a backend of this name exists; import nothing."""
    if name not in BACKENDS:
        choices = ", ".join(BACKENDS)
        raise BackendUnavailable(f"no backend {name!r}; there are: {choices}")


@cache
def load(name: str) -> Kernels:
    """Return a backend by its name.

    Raises
    ------
    BackendUnavailable
        The name is unknown, or a package that the backend needs is not installed.

    Examples
    --------
    >>> text = PackedText.from_strings(["dhātu"])
    >>> load("reference").digest(text)[0, :4].tolist()
    [24, 98, 62, 103]
    """
    require(name)
    try:
        return cast(Kernels, import_module(BACKENDS[name], __name__))
    except ImportError as error:
        raise BackendUnavailable(f"backend {name!r} needs {error.name}: install it") from error
