"""MinHash signatures for the backend `cuda`, computed by the host's kernels.

A core of the host computes a million short texts per second. The values are those of every other
backend, because the code is that of `cpu`.
"""

from __future__ import annotations

from typing import Any

from ....storage.errors import BackendUnavailable
from ....storage.text import PackedText
from .. import Kernels
from ..long_texts import host_kernels
from .copies import on_host
from .device import load_cupy
from .split_text import SplitText


def minhash(text: PackedText, *, permutations: int, shingles: str, size: int, seed: int) -> Any:
    """Return the MinHash signature of every text, on the device: uint32 [n, permutations].

    Raises
    ------
    BackendUnavailable
        The host has no compiler for its kernels.
    """
    made = _kernels().minhash(
        _on_host(text), permutations=permutations, shingles=shingles, size=size, seed=seed
    )
    return load_cupy().asarray(made)


def band_keys(minhash: Any, *, bands: int, rows: int) -> Any:
    """Return a 64-bit key of each band of every signature: uint64 [n, bands]."""
    return load_cupy().asarray(_kernels().band_keys(on_host(minhash), bands=bands, rows=rows))


def _kernels() -> Kernels:
    kernels = host_kernels()
    if kernels is None:
        raise BackendUnavailable(
            "MinHash signatures are computed on the host, which needs Numba: pip install numba"
        )
    return kernels


def _on_host(text: PackedText) -> PackedText:
    if isinstance(text, SplitText):
        return text.host
    offsets = on_host(text.offsets)
    first, last = (int(offsets[0]), int(offsets[-1])) if len(offsets) else (0, 0)
    return PackedText(on_host(text.data[first:last]), offsets - first)
