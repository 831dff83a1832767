"""One client's climb, as far as it gets, in a process that is killed: see `test_killed_climbs`.

python climbing_attempt.py RESULTS SCHEDULER
"""

from __future__ import annotations

import sys
import time

import numpy as np

import paninifs as pf

SPACE = pf.Masks(40)
EVALUATIONS = 6_000


@pf.objective(vectorized=True)
def trap(masks):
    """Groups of five bits, of which four ones are worse than none; 20 ms for each mask."""
    time.sleep(0.02 * len(masks))
    ones = masks.reshape(len(masks), -1, 5).sum(axis=2)
    return np.where(ones == 5, 5, 4 - ones).sum(axis=1) / 5


def climb(results, client):
    return pf.climb(
        trap,
        SPACE,
        results,
        evaluations=EVALUATIONS,
        climbers=4,
        neighbours=16,
        keep="all",
        client=client,
        progress=False,
    ).result()


if __name__ == "__main__":
    with pf.connect(sys.argv[2], quiet=True) as client:
        climb(sys.argv[1], client)
