"""A few launches, for compute-sanitizer and for a profiler.

python few_launches.py                      # every kernel, each allocation of its own
python few_launches.py BYTES TEXTS          # the default graph three times over random texts
"""

from __future__ import annotations

import sys

import corpora
import cupy
import numpy as np
from on_gpu.machine import on_device

from paninifs.graphs.inventories import DHATUS, PRIMES
from paninifs.graphs.kernels import load, selftest
from paninifs.graphs.kernels.cuda import parquet_texts
from paninifs.graphs.kernels.cuda.device_text import DeviceText
from paninifs.storage.text import PackedText


def every_kernel() -> int:
    """Launch all kernels over the texts of the self-test; return 1 if results are wrong."""
    cupy.cuda.set_allocator(None)  # so that a byte beyond an allocation is seen
    cuda, text, right = load("cuda"), selftest.texts(), True
    # The kernels read whole aligned words: up to three bytes beyond the last text, by design.
    data = np.concatenate([text.data, np.zeros(-len(text.data) % 4, np.uint8)])
    for width in (np.int64, np.int32):
        there = on_device(PackedText(data, text.offsets.astype(width)))
        made = cuda.default_graph(there, dhatus=DHATUS, primes=PRIMES)
        shares = cuda.dhatu(there, dhatus=DHATUS)
        cuda.prime_base(shares, primes=PRIMES)
        cuda.ambiguity(shares, primes=PRIMES)
        cuda.digest(there)
        right &= selftest.matches_reference([one.get() for one in made])
    right &= parquet_texts.self_test() is None
    texts = DeviceText(cupy.asarray(text.data), text.offsets)
    right &= texts.chosen(np.arange(len(text)) > 3).to_bytes() == text.to_bytes()[4:]
    print("right:", right)
    return int(not right)


def default_graph(mean_bytes: int, count: int) -> None:
    """Launch the default graph three times; a profiler leaves out the first."""
    there = on_device(corpora.texts(count, mean_bytes))
    for _ in range(3):
        load("cuda").default_graph(there, dhatus=DHATUS, primes=PRIMES)
    cupy.cuda.Device().synchronize()


if __name__ == "__main__":
    if len(sys.argv) == 1:
        raise SystemExit(every_kernel())
    default_graph(int(sys.argv[1]), int(sys.argv[2]))
