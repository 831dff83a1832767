"""The loop that finds the dominant script of a text: the one of most letters."""

from __future__ import annotations

from typing import Any

import numpy as np

from .numba_compiler import loop
from .text_shares import share
from .utf8 import decoded, looked_up


@loop
def dominant(texts: Any, scripts: Any, tally: Any, number: Any, shares: Any) -> None:
    """Write each text's script, from 0, or -1 [n], and its share of the letters [n].

    `texts` are the bytes and their offsets. `tally` has one element more than there are scripts.
    """
    data, offsets = texts
    for row in range(len(offsets) - 1):
        at, end = offsets[row], offsets[row + 1]
        tally[:] = 0
        while at < end:
            code, size = decoded(data, at, end)
            at += size
            tally[looked_up(scripts, code)] += 1
        letters, best = np.int64(0), np.int64(0)
        most = np.int64(0)
        for script in range(1, len(tally)):
            letters += tally[script]
            if tally[script] > most:
                best, most = np.int64(script), tally[script]
        number[row] = best - 1
        shares[row] = share(most, letters)
