"""Backends: modules that compute the built-in blocks, resolved here by name.

A backend is a module with the functions of `Kernels`; `reference` defines what they return, bit for
bit. To add a backend, write its module and add its name to `BACKENDS`. Code that only one backend
uses is in its own folder (`cpu`, `cuda`), and these folders do not import each other. The inputs
and fields of a block are declared in `blocks`. Modules here may import `inventories` and `storage`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from ...storage.errors import BackendUnavailable
from ...storage.field import Field
from ...storage.text import PackedText
from .host import Count

if TYPE_CHECKING:  # it needs pyarrow, which kernels do without
    from ...storage.rows import TextDecoder

NUMERIC_VERSION = 1
"""Version of the results: raise it when any bit of any field changes. Part of every fingerprint."""

BACKENDS = {"reference": ".reference", "cpu": ".cpu.cpu_backend", "cuda": ".cuda.cuda_backend"}
"""Modules of the backends by name, relative to this package."""

BUILT_IN = frozenset({"digest", "dhatu", "prime_base", "ambiguity", "minhash", "band_keys"})
"""Names of the built-in blocks: the only functions of a backend that a store may name."""

Array = Any
"""A NumPy array, or an array of the library (CuPy) that keeps it in the backend's memory."""


class Kernels(Protocol):
    """The functions of a backend, for n texts, k dhātus and m primes.

    Texts and arrays are in the backend's memory (the host's or a device's); `offload` copies them
    there and back.
    """

    IN_FLIGHT: int
    """Number of micro-batches in flight that keeps the backend busy."""

    MICRO_BATCH: tuple[int, int]
    """Texts and bytes per micro-batch that suit the backend best, memory permitting."""

    def digest(self, text: PackedText) -> Array:
        """Return the SHA-256 of every text: uint8 [n, 32]."""

    def dhatu(self, text: PackedText, *, dhatus: tuple[str, ...]) -> Array:
        """Return the share of every dhātu, rows summing to one: float32 [n, k]."""

    def prime_base(self, dhatu: Array, *, primes: tuple[int, ...]) -> Array:
        """Return prime-base signatures: float32 [n, m]."""

    def ambiguity(
        self, dhatu: Array, *, primes: tuple[int, ...]
    ) -> tuple[Array, Array, Array, Array]:
        """Return variance, entropy, ambiguity and normalised ambiguity: four float32 [n]."""

    def default_graph(
        self, text: PackedText, *, dhatus: tuple[str, ...], primes: tuple[int, ...]
    ) -> tuple[Array, ...]:
        """Return the fields of the four functions above, bit for bit, in one pass over texts."""

    def minhash(
        self, text: PackedText, *, permutations: int, shingles: str, size: int, seed: int
    ) -> Array:
        """Return MinHash signatures, as `shingles` defines them: uint32 [n, permutations]."""

    def band_keys(self, minhash: Array, *, bands: int, rows: int) -> Array:
        """Return a 64-bit key of each band of every signature: uint64 [n, bands]."""

    def prepare(self) -> None:
        """Compile and load what the first call needs, once per process, and run the self-test."""

    def user_function(self, block: Any) -> Callable[..., Any]:
        """Return the code that computes a user's block."""

    def may_be_of_text(self, block: Any, error: BaseException) -> bool:
        """Return whether a text, and not the device or the backend, may be why a block failed."""

    def asarray(self, values: Array) -> Array:
        """Return an array in the backend's memory."""

    def on_host(self, values: Array) -> npt.NDArray[Any]:
        """Return an array in the host's memory."""

    def resident(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Copy arrays to the backend's memory for many calls; other values stay as they are."""

    def chosen(self, values: Any, mask: npt.NDArray[Any]) -> Any:
        """Return some rows of texts or of an array; `mask` is bool [n], in the host's memory."""

    def spread(self, values: Array | None, mask: npt.NDArray[Any], field: Field) -> Array:
        """Return a field of n rows: `values` where the mask is true, elsewhere its fill value."""

    def free_memory(self) -> int | None:
        """Return the free bytes of the backend's memory; None if it is the host's."""

    def count_allocations(self) -> AbstractContextManager[Count]:
        """Count the bytes that this thread allocates in the backend's own memory, if it has any."""

    def host_buffer(self, nbytes: int) -> npt.NDArray[np.uint8]:
        """Return a new uint8 array from which `offload` copies texts fastest.

        Its memory is reused when no array or view uses it any more.
        """

    def text_decoder(self, limit: int) -> TextDecoder | str:
        """Return what decodes texts of files in the backend's memory, or why the host must.

        `limit` is about how many bytes of text it decodes at once.
        """

    def offload(
        self, values: Mapping[str, Any], work: Callable[[Mapping[str, Any]], Mapping[str, Array]]
    ) -> Mapping[str, npt.NDArray[Any]]:
        """Copy texts and arrays to the backend's memory, call `work`, and copy its arrays back."""


def require(name: str) -> None:
    """Raise `BackendUnavailable` unless a backend of this name exists. Imports no backend."""
    if name not in BACKENDS:
        choices = ", ".join(BACKENDS)
        raise BackendUnavailable(f"unknown backend {name!r}; choose one of: {choices}")


@cache
def load(name: str) -> Kernels:
    """Import and return the backend with a name.

    Raises
    ------
    BackendUnavailable
        The name is unknown, or the backend needs a package that is not installed.

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
