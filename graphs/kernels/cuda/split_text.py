"""`SplitText`: texts of which only the short ones are on the device.

Built-in blocks compute the long ones on the host, for the reason given in `long_texts`. Copying is
in `transfer`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property, wraps
from itertools import pairwise
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from ....storage.text import PackedText
from .. import long_texts
from .device import load_cupy

P = ParamSpec("P")
R = TypeVar("R")


class SplitText(PackedText):
    """Texts in the host's memory, with their short ones on the device.

    `data` and `offsets` are those of all texts, on the device as ever: they are copied there when
    a user's block asks for them.

    Parameters
    ----------
    host : PackedText
        All texts.
    short : PackedText
        As many texts on the device, of which the long ones are empty.
    copied : callable
        Copies all texts to the device.
    """

    def __init__(
        self, host: PackedText, short: PackedText, copied: Callable[[], PackedText]
    ) -> None:
        vars(self).update(host=host, short=short, _copied=copied)

    host: PackedText
    short: PackedText
    _copied: Callable[[], PackedText]

    @cached_property
    def _whole(self) -> PackedText:
        return self._copied()

    @property
    def data(self) -> Any:
        """The bytes of all texts, on the device."""
        return self._whole.data

    @property
    def offsets(self) -> Any:
        """The offsets of all texts, on the device."""
        return self._whole.offsets

    def __len__(self) -> int:
        return len(self.host)

    def __getitem__(self, rows: slice) -> PackedText:
        return SplitText(self.host[rows], self.short[rows], lambda: self._whole[rows])

    def __iter__(self) -> Iterator[memoryview]:
        return iter(self.host)

    @property
    def nbytes(self) -> int:
        """Bytes of text."""
        return self.host.nbytes


def are_long(text: PackedText) -> npt.NDArray[np.bool_]:
    """Return which texts in the host's memory are long: bool [n]."""
    long: npt.NDArray[np.bool_] = np.diff(text.offsets) >= long_texts.LONG
    return long


def copy_short(text: PackedText, into: Callable[[int], npt.NDArray[np.uint8]]) -> PackedText:
    """Return a copy of texts in which the long ones are empty.

    Parameters
    ----------
    into : callable
        Returns a buffer of a number of bytes.
    """
    long = are_long(text)
    offsets = np.zeros(len(text) + 1, np.int64)
    np.cumsum(np.where(long, 0, np.diff(text.offsets)), out=offsets[1:])
    data = into(int(offsets[-1]))
    edges = np.concatenate([[-1], np.flatnonzero(long), [len(text)]])
    for before, after in pairwise(edges.tolist()):  # runs of short texts between long ones
        data[offsets[before + 1] : offsets[after]] = text.data[
            text.offsets[before + 1] : text.offsets[after]
        ]
    return PackedText(data, offsets)


def with_long_texts(
    function: Callable[Concatenate[PackedText, P], R],
) -> Callable[Concatenate[PackedText, P], R]:
    """Make a function of the device return what the host computes for long texts."""

    @wraps(function)
    def whole(text: PackedText, /, *arguments: P.args, **named: P.kwargs) -> R:
        if not isinstance(text, SplitText):
            return function(text, *arguments, **named)
        made = function(text.short, *arguments, **named)  # the device works while the host does
        long = are_long(text.host)
        if long.any():
            code = getattr(long_texts.host_kernels(), function.__name__)
            exact = code(text.host.chosen(long), *arguments, **named)
            rows = load_cupy().asarray(np.flatnonzero(long))
            for array, values in zip(_several(made), _several(exact), strict=True):
                array[rows] = load_cupy().asarray(values)
        return made

    return whole


def _several(made: Any) -> tuple[Any, ...]:
    return made if isinstance(made, tuple) else (made,)
