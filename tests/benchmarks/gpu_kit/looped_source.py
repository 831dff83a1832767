"""The CUDA program with the first block of a text hashed by a loop over the dhātus.

The engine's program has a copy of that code for each dhātu. With the loop it is a quarter smaller
(136 to 141 KiB of machine code instead of 181 to 185), which may fit the caches of instructions
better.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from paninifs.graphs.kernels.cuda import cuda_backend
from paninifs.graphs.kernels.cuda.source import Specification, source_of

UNROLLED = """#pragma unroll
        for (int c = 0; c < CHAINS; ++c) {
            u32 s[1][8], own[16];"""
SUMMED = """#pragma unroll
            for (int i = 0; i < 8; ++i) state[c][i] = add(state[c][i], s[0][i], one);
        }
        source.next();"""
# The states move up by one chain per turn: an index that is no constant would put them in memory.
CHANGES = {
    **{
        f"static __device__ constexpr u32 {name}": f"__constant__ u32 {name}"
        for name in ("START", "ENTERED", "HEAD")
    },
    UNROLLED: UNROLLED.replace("#pragma unroll", "#pragma unroll 1", 1),
    SUMMED: """#pragma unroll
            for (int k = 0; k + 1 < CHAINS; ++k)
#pragma unroll
                for (int i = 0; i < 8; ++i) state[k][i] = state[k + 1][i];
#pragma unroll
            for (int i = 0; i < 8; ++i)
                state[CHAINS - 1][i] = add(START[FIRST + c][i], s[0][i], one);
        }
        source.next();""",
}


def looped(source: str) -> str:
    """Return the program with the loop."""
    for old, new in CHANGES.items():
        if source.count(old) != 1:
            raise ValueError(f"sha256.cu has changed: it should have this once:\n{old}")
        source = source.replace(old, new)
    return source


@cache  # it is asked for at every launch
def _looped_source(wanted: Specification) -> str:
    return looped(source_of(wanted))


@contextmanager
def looped_heads() -> Iterator[None]:
    """Let the backend launch the program with the loop until the block ends."""
    cuda_backend.source_of = _looped_source
    try:
        yield
    finally:
        cuda_backend.source_of = source_of
