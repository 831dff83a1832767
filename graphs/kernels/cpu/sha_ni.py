"""SHA-256 by x86's SHA instructions: the plan of which chains of a text are interleaved.

The instructions of one chain depend on each other, with a latency of four cycles, and the registers
hold up to five chains. The chains that go through a block together are a *lot*. The loop is in
`compiled.sha_ni`.
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
from .sha256 import SLOT, Digests, Weights, address_and_offsets, overlays_of

FEATURES = frozenset({"sha"})
"""Features that LLVM's target must have: LLVM aborts the process on an unsupported instruction."""

LOT = 5
"""Largest number of chains per lot."""

_LATENCY = 4  # chains that hide the latency of an instruction
_FILLER = -2  # the column of a chain that only fills up its lot
SCHEDULE = 256
"""Bytes per message schedule."""

AHEAD = 16
"""Texts staged ahead, so that their bytes have left the store buffer before they are read."""

HELD = np.array([5, 4, 1, 0, 7, 6, 3, 2])
"""Order of a state's words A to H that the instructions require: F E B A, then H G D C."""

_loop = Loop("sha_ni", "hash_texts")


def hash_texts(
    text: PackedText, chains: Sequence[Chain], weights: Weights, digests: Digests
) -> None:
    """Fill weights int32 [n, columns] and, for a digest chain, digests uint8 [n, 32]."""
    plan = _plan(tuple(chains))
    _loop(*address_and_offsets(text), plan, _scratch(len(plan[2])), weights, digests)


def _scratch(chains: int) -> tuple[npt.NDArray[Any], ...]:
    return (
        np.zeros((AHEAD + 1) * SLOT, np.uint8),
        np.zeros(2 * LOT * SCHEDULE, np.uint8),
        np.zeros(chains * 8, np.uint32),
        np.zeros(LOT, np.uint64),
        np.zeros(LOT, np.uint64),
    )


def lots_of(chains: Sequence[Chain]) -> list[list[Chain]]:
    """Split chains into lots of up to five, for the fewest cycles.

    A lot costs one unit per chain, but at least four, and one more for every group that has chains
    in it, because a group's schedule costs about as much as a chain.

    >>> names = "RELATE MODAL EXIST EVAL COMM CAUSE ITER DECIDE FEEL".split()
    >>> chains = [Chain(f"{name}::".encode(), k) for k, name in enumerate(names)]
    >>> [
    ...     [chain.prefix.decode() for chain in lot] for lot in lots_of(chains)
    ... ]  # doctest: +NORMALIZE_WHITESPACE
    [['EVAL::', 'COMM::', 'ITER::', 'FEEL::'],
     ['MODAL::', 'EXIST::', 'CAUSE::', 'RELATE::', 'DECIDE::']]
    """
    bins: list[list[list[Chain]]] = []
    for group in groups_of(chains):
        with_space = (b for b in bins if sum(map(len, b)) + len(group) <= LOT)
        fitting = next(with_space, None)
        if fitting is None:
            bins.append([group])
        else:
            fitting.append(group)
    order = list(joined.from_iterable(joined.from_iterable(bins)))
    best: list[tuple[int, list[list[Chain]]]] = [(0, [])]
    for stop in range(1, len(order) + 1):
        ways = []
        for start in range(max(0, stop - LOT), stop):
            lot = order[start:stop]
            cost = max(len(lot), _LATENCY) + len({len(chain.prefix) for chain in lot})
            ways.append((best[start][0] + cost, [*best[start][1], lot]))
        best.append(min(ways, key=lambda way: way[0]))
    return best[-1][1]


@lru_cache(maxsize=32)
def _plan(chains: tuple[Chain, ...]) -> tuple[Any, ...]:
    """Return the chains as arrays for the compiled loop.

    A lot has two items: one for its first block, in which each chain has its own schedule, and one
    for the other blocks. `leaders` are the chains whose schedules an item makes; `slots` are the
    offsets in bytes of the schedules that the chains of the lot use.
    """
    lots = [
        lot + [Chain(lot[-1].prefix, _FILLER)] * (_LATENCY - len(lot)) for lot in lots_of(chains)
    ]
    flat = list(joined.from_iterable(lots))
    bounds = np.cumsum([0, *map(len, lots)])
    counts = np.zeros(2 * len(lots), np.int64)
    leaders = np.zeros((2 * len(lots), LOT), np.int64)
    slots = np.zeros((2 * len(lots), LOT), np.uint64)
    for number, lot in enumerate(lots):
        for item, key in ((2 * number, "prefix"), (2 * number + 1, "length")):
            seen: dict[Any, int] = {}
            for c, chain in enumerate(lot):
                shared = chain.prefix if key == "prefix" else len(chain.prefix)
                if shared not in seen:
                    leaders[item, len(seen)] = bounds[number] + c
                    seen[shared] = len(seen)
                slots[item, c] = SCHEDULE * seen[shared]
            counts[item] = len(seen)
    overlays = overlays_of([*flat, Chain(b"", _FILLER)])  # the last: no prefix
    lengths = np.array([len(chain.prefix) for chain in flat])
    # A step reads, per leader, the bytes of its prefix and the address of its overlay.
    behind = np.full_like(leaders, len(flat))
    behind[0::2] = leaders[0::2]
    addresses = overlays.ctypes.data + overlays.strides[0] * behind
    places = np.stack([lengths[leaders], addresses], axis=-1).astype(np.uint64)
    states = np.tile(INITIAL[HELD], (len(flat), 1))
    columns = np.array([chain.column for chain in flat])
    extent = int(lengths.min()), int(lengths.max())
    return states, overlays, lengths, extent, columns, bounds, counts, leaders, places, slots
