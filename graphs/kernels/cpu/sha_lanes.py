"""SHA-256 in vector registers, for processors without SHA instructions: one text per lane.

A vector computes one chain of several texts. Texts are sorted by length, so that the lanes of a
vector end together. The loops are in `compiled.sha_lanes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain as joined
from typing import Any

import numpy as np
import numpy.typing as npt

from ....storage.text import PackedText
from ..chains import INITIAL, Chain, groups_of
from .machine_code import Loop
from .sha256 import SLOT, Digests, HashTexts, Weights, address_and_offsets, overlays_of

AVX512_FEATURES = frozenset({"avx512f", "avx512bw"})
AVX2_FEATURES = frozenset({"avx2"})


@lru_cache(maxsize=32)
def _plan(chains: tuple[Chain, ...], lanes: int) -> tuple[npt.NDArray[Any], ...]:
    """Return the chains as arrays for the compiled loop, group after group."""
    groups = groups_of(chains)
    flat = list(joined.from_iterable(groups))
    lengths = np.array([len(chain.prefix) for chain in flat])
    columns = np.array([chain.column for chain in flat])
    overlays = overlays_of([*flat, Chain(b"", 0)])  # the last: no prefix
    initial = np.tile(np.repeat(INITIAL, lanes), 2)  # for up to two chains at once
    return overlays, lengths, columns, np.cumsum([0, *map(len, groups)]), initial


def _scratch(chains: int, lanes: int) -> tuple[npt.NDArray[Any], ...]:
    return (
        np.zeros(lanes * SLOT, np.uint8),
        np.zeros(16 * lanes, np.uint32),
        np.zeros((2, 64 * lanes), np.uint32),
        np.zeros(chains * 8 * lanes, np.uint32),
        np.zeros(2 * lanes, np.uint32),
        np.zeros(lanes, np.int32),
        np.zeros(lanes, np.uint64),
        np.zeros(lanes, np.uint64),
        np.zeros(lanes, np.int64),
        np.zeros(lanes, np.int64),
    )


def _path(name: str, lanes: int) -> HashTexts:
    loop = Loop("sha_lanes", name)

    def hash_texts(
        text: PackedText, chains: Sequence[Chain], weights: Weights, digests: Digests
    ) -> None:
        plan = _plan(tuple(chains), lanes)
        # With 16-bit keys this is a radix sort; texts with more blocks than fit are left unsorted.
        data_at, offsets = address_and_offsets(text)
        most = (np.diff(offsets) + int(plan[1].max()) + 72) >> 6
        blocks = np.minimum(most, 65_535).astype(np.uint16)
        order = np.argsort(blocks, kind="stable")
        scratch = _scratch(len(plan[1]), lanes)
        loop(data_at, offsets, order, plan, scratch, weights, digests)

    return hash_texts


avx512 = _path("avx512", 16)
avx2 = _path("avx2", 8)
