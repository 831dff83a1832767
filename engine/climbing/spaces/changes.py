"""Which coordinates a neighbour changes, and which changes are combined."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

MOST_COMBINED = 16
"""Most changes that are applied to a state at once."""


def walk(rng: np.random.Generator, columns: Ints, rows: int) -> Ints:
    """Return a column for each row: all of them in random order, again and again.

    So that `rows` changes of single coordinates are changes of as many coordinates as there can be.

    >>> chosen = walk(np.random.default_rng(0), np.array([2, 5, 7]), 6)
    >>> sorted(chosen.tolist())
    [2, 2, 5, 5, 7, 7]
    """
    return np.resize(rng.permutation(columns), rows)


def sizes(steps: npt.NDArray[np.float64], length: int) -> Ints:
    """Return how many of `length` coordinates rows of these relative steps change: at least 1.

    >>> sizes(np.array([0.001, 0.2, 1.0]), 10)
    array([ 1,  2, 10])
    """
    return np.clip(np.rint(steps * length), 1, length).astype("int64")


def touched(
    rng: np.random.Generator, steps: npt.NDArray[np.float64], columns: Ints
) -> tuple[Ints, Ints]:
    """Return the rows and the columns of the coordinates that neighbours change.

    Every row has one from the `walk`, which comes last. The others are drawn with replacement, so a
    row may change a few less than its step says: without replacement, all coordinates of all rows
    would have to be sorted.

    Parameters
    ----------
    rng : Generator
        Source of random numbers.
    steps : array of float64 [k]
        Share of the columns that each row changes.
    columns : array of int64 [c]
        Columns to choose from; at least one.

    Returns
    -------
    rows, columns : array of int64 [n]
        In no order but that of the draws; pairs may recur.

    Examples
    --------
    >>> rows, columns = touched(np.random.default_rng(0), np.array([0.1, 1.0]), np.arange(3))
    >>> np.bincount(rows)
    array([1, 3])
    """
    every = np.arange(len(steps))
    rows = np.repeat(every, sizes(steps, len(columns)) - 1)
    others = columns[rng.integers(0, len(columns), len(rows))]
    return np.concatenate([rows, every]), np.concatenate([others, walk(rng, columns, len(every))])


def chosen_children(rng: np.random.Generator, children: int, rows: int) -> Ints:
    """Return children for each row: int64 [rows, min(children, 16)], with −1 for no further child.

    Each row has a uniform number of different children, at least one, and every set of that size
    is as probable.

    >>> chosen = chosen_children(np.random.default_rng(0), 2, 50)
    >>> chosen.shape, sorted({tuple(sorted(row)) for row in chosen.tolist()})
    ((50, 2), [(-1, 0), (-1, 1), (0, 1)])
    """
    most = min(children, MOST_COMBINED)
    counts = rng.integers(1, most + 1, rows)
    chosen = np.full((rows, most), -1)
    for at in range(most):
        # Floyd's sampling without replacement: a child that was drawn before is replaced with the
        # last one of those drawn from, which cannot have been.
        last = np.minimum(children - counts + at, children - 1)
        drawn = rng.integers(0, last + 1)
        again = (chosen[:, :at] == drawn[:, None]).any(axis=1)
        chosen[:, at] = np.where(at < counts, np.where(again, last, drawn), -1)
    return chosen


def accumulated(
    combine: np.ufunc,
    start: npt.NDArray[Any],
    changes: npt.NDArray[Any],
    chosen: Ints,
) -> npt.NDArray[Any]:
    """Return a row per choice: `start`, combined with each of the chosen changes in turn.

    Parameters
    ----------
    combine : ufunc
        Of two arguments; 0 must change nothing.
    start : array [d]
        What every row begins with.
    changes : array [g, d]
        A change per child.
    chosen : array of int64 [count, m]
        As of `chosen_children`.

    Examples
    --------
    >>> changes = np.array([[1, 0], [0, 5]])
    >>> accumulated(np.add, np.array([0, 2]), changes, np.array([[0, -1], [1, 0]])).tolist()
    [[1, 2], [1, 7]]
    """
    padded = np.concatenate([changes, np.zeros_like(changes[:1])])  # −1 is the last row: no change
    made = np.tile(start, (len(chosen), 1))
    for column in chosen.T:
        combine(made, padded[column], out=made)
    return made
