"""`labelled_shares`: the dhātu shares of texts that have a label, hashed once or read from a store.

`parted` divides the texts into folds and those that are kept out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from ....graphs.blocks.dhatu import DIMENSION
from ....graphs.inventories import DHATUS
from ....graphs.kernels import load
from ....graphs.user_functions.unfit import is_missing
from ....storage.errors import UsageError
from ....storage.messages.names import did_you_mean, listed, quoted
from ....storage.text import PackedText
from ...nsm.material import Material
from .items import items_of

Ints = npt.NDArray[np.int64]

KEPT_OUT = -1
"""Fold of the texts that are kept out."""

_KEPT_OUT_SHARE = 5  # a fifth of each group
_LEAST = 3  # texts of a group: one that is kept out, and one to train on for each that is held out


@dataclass(frozen=True)
class LabelledShares:
    """Texts with a label.

    Attributes
    ----------
    shares : array of float64 [n, m]
        Share of each dhātu in each text.
    groups : array of int64 [n]
        Group of each text.
    names : tuple of str
        Names of the groups, in alphabetical order.
    dhatus : tuple of str
        Names of the dhātus.
    """

    shares: npt.NDArray[np.float64]
    groups: Ints
    names: tuple[str, ...]
    dhatus: tuple[str, ...]


def labelled_shares(results: Any = None, labels: Any = None, texts: Any = None) -> LabelledShares:
    """Return the texts that have a label; see `signature_separation` for the arguments.

    Raises
    ------
    UsageError
        There are no shares or labels, their numbers differ, or groups are too few or too small.

    Examples
    --------
    >>> own = labelled_shares()
    >>> own.shares.shape, own.names[0]
    ((105, 9), 'DIRE/PAROLE')
    """
    if results is not None and texts is not None:
        raise UsageError("give either results or texts, not both")
    if results is None and texts is None:
        if labels is not None:
            raise UsageError("labels belong to texts: give results or texts too")
        sentences = Material.load().sentences
        texts, labels = [one.text for one in sentences], [one.isotopy for one in sentences]
    shares, dhatus, column, valid = (
        _stored(results, labels) if texts is None else _hashed(texts, labels)
    )
    names = _label_names(column)
    if len(names) != len(shares):
        raise UsageError(f"{len(shares):,} texts need as many labels, not {len(names):,}")
    kept = np.array([name is not None for name in names], bool) & valid
    kept_names = [name for name, keep in zip(names, kept, strict=True) if keep and name]
    groups = tuple(sorted(set(kept_names)))
    number = {name: at for at, name in enumerate(groups)}
    found = np.array([number[name] for name in kept_names], "int64")
    _check_groups(groups, found)
    return LabelledShares(np.ascontiguousarray(shares[kept], "float64"), found, groups, dhatus)


def parted(groups: Ints, folds: int, seed: int) -> Ints:
    """Return the fold of each text, int64 [n]; `KEPT_OUT` for a fifth of each group.

    Examples
    --------
    >>> np.unique(parted(np.repeat([0, 1], 10), folds=2, seed=0), return_counts=True)[1].tolist()
    [4, 8, 8]
    """
    random = np.random.default_rng([seed, 0])
    found = np.full(len(groups), KEPT_OUT, "int64")
    next_fold = 0
    for group in range(int(groups.max()) + 1):
        rows = random.permutation(np.flatnonzero(groups == group))
        climbed = rows[max(1, len(rows) // _KEPT_OUT_SHARE) :]
        found[climbed] = (next_fold + np.arange(len(climbed))) % folds
        next_fold += len(climbed)  # so that the folds are as large as one another
    if next_fold < folds:
        raise UsageError(f"{next_fold:,} texts cannot be divided into {folds} folds; set folds=")
    return found


_Parts = tuple[npt.NDArray[Any], tuple[str, ...], Any, Any]


def _hashed(texts: Any, labels: Any) -> _Parts:
    items = items_of(texts)
    if items is None or not all(isinstance(one, str) for one in items):
        raise UsageError("texts must be a list or column of strings")
    packed = PackedText.from_strings(items)
    return load("reference").dhatu(packed, dhatus=DHATUS), DHATUS, labels, True


def _stored(results: Any, labels: Any) -> _Parts:
    if isinstance(results, str | PathLike):
        from ....storage.store.dataset import open_results

        results = open_results(results)
    if not hasattr(results, "data_vars"):
        array = _checked(np.asarray(results))
        return array, _default_names(array), labels, True
    if "dhatu" not in results:
        raise UsageError("the results have no 'dhatu'; run a graph with the block dhatu()")
    array = _checked(np.asarray(results["dhatu"]))
    known = results.coords.get(DIMENSION)
    names = _default_names(array) if known is None else tuple(map(str, np.asarray(known).tolist()))
    valid = np.asarray(results["valid"], bool) if "valid" in results else np.array(True)
    if isinstance(labels, str):
        valid = valid & _labelled(results, labels)
        labels = results[labels]
    return array, names, labels, valid


def _labelled(results: Any, name: str) -> npt.NDArray[np.bool_]:
    """Return which texts have a value in a kept column."""
    if name not in results:
        columns = [str(one) for one in results.data_vars]
        raise UsageError(
            f"the results have no column {quoted(name)} for labels; they have: "
            f"{listed(columns)}{did_you_mean(name, columns)}; keep it: "
            f"open_corpus(..., keep=[{name!r}])"
        )
    known = f"{name}_valid"
    return np.asarray(results.get(known, True), bool)


def _checked(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if array.ndim != 2 or array.dtype.kind != "f" or not np.isfinite(array).all():
        raise UsageError(
            "results must be a store, its Dataset, or shares of dhātus: finite floats [n, dhātus]; "
            f"not {array.dtype} {list(array.shape)}"
        )
    return array


def _default_names(array: npt.NDArray[Any]) -> tuple[str, ...]:
    count = array.shape[1]
    return DHATUS if count == len(DHATUS) else tuple(f"dhatu_{at}" for at in range(count))


def _label_names(column: Any) -> list[str | None]:
    """Return labels as strings, None where a text has none."""
    items = items_of(column)
    if items is None:
        raise UsageError("labels= gives the group of each text: a column, or its name in results")
    return [None if is_missing(one) or one == "" else str(one) for one in items]


def _check_groups(names: Sequence[str], groups: Ints) -> None:
    if len(names) < 2:
        raise UsageError(f"the labels must be of at least two groups, and there are {len(names)}")
    counts = np.bincount(groups, minlength=len(names))
    if (few := int(counts.argmin())) >= 0 and counts[few] < _LEAST:
        raise UsageError(
            f"the group {quoted(names[few])} has {counts[few]} of the {_LEAST} texts that it needs "
            "at least; give these another label, or None to leave them out"
        )
