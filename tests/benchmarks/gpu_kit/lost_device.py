"""An illegal address in a user's kernel: what it raises, what the next call does, how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from measure import Table
from on_gpu.results import Results

FAILING = r'''
import numpy as np

import paninifs as pf
from paninifs.engine.worker.block_execution import Blocks
from paninifs.engine.worker.values.inputs import Inputs

KERNEL = r"""
extern "C" __global__ void bad(
    const unsigned char *data, const long long *offsets, long long n, int *out
) {
    ((volatile int *)16)[threadIdx.x] = 1;
}
"""


@pf.map_block(fields=[pf.Field("bad", "int32")], cuda=KERNEL)
def bad(text):
    return np.zeros(len(text), "int32")


text = Inputs.of_text(pf.PackedText.from_strings(["a"] * 100_000))
for graph in (pf.default_graph() + bad, pf.default_graph()):
    try:
        for _ in Blocks(graph, "cuda").run(text, lambda first, last: f"{first}-{last}"):
            pass
        print("no error")
    except Exception as error:
        print(type(error).__name__, error)
'''


def main() -> None:
    command = [sys.executable, "-P", "-c", FAILING]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    print(ran.stderr)
    lines = ran.stdout.strip().splitlines() + ["nothing"] * 2
    table = Table(
        "GPU: an illegal address in a user's kernel",
        "Both calls of one process; each should be DeviceLost, and the process should end with 0.",
        [
            {"what": "the call", "result": lines[0][:200]},
            {"what": "the next call", "result": lines[1][:200]},
            {"what": "the process ends with", "result": ran.returncode},
        ],
    )
    Results(Path(os.environ["OUT"], "gpu.json"), add=True).has(table)


if __name__ == "__main__":
    main()
