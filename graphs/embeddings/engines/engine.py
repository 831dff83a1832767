"""`Engine`: what an engine offers, and `Problem`, which says why one cannot be used."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from ..model_folder import ModelFolder

Ids = npt.NDArray[np.int64]


class Engine(Protocol):
    """A model that is loaded, for any number of threads at once.

    Attributes
    ----------
    PACKAGES : tuple of str
        Modules that it needs.
    DECIDING : tuple of str
        Distributions whose versions decide about the bits of its vectors.
    DTYPES : tuple of str
        Types in which it can compute.
    LIBRARY_BYTES : int
        About how much memory of a process the modules take.
    WEIGHT_COPIES : float
        How many times the weights, in float32, are in memory once the model is loaded.
    budget : int
        Tokens of a batch with which it is fastest, or nearly.
    multiple : int
        Lengths are padded to a multiple of it.
    max_tokens : int
        Most tokens that the model takes at once.
    backend : tokenizers.Tokenizer
    """

    PACKAGES: ClassVar[tuple[str, ...]]
    DECIDING: ClassVar[tuple[str, ...]]
    DTYPES: ClassVar[tuple[str, ...]]
    LIBRARY_BYTES: ClassVar[int]
    WEIGHT_COPIES: ClassVar[float]
    budget: int
    multiple: int
    max_tokens: int
    backend: Any

    def __init__(self, folder: ModelFolder, dtype: str) -> None:
        """Load the model; the dtype is one of `DTYPES`."""

    def vectors(self, ids: Ids, mask: Ids) -> npt.NDArray[np.float32]:
        """Return the vectors [b, d] of a batch of tokens [b, m]."""

    def close(self) -> None:
        """Give its memory back."""
