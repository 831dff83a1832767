"""How arguments are passed to a compiled loop: as 64-bit words, one after another.

`compiled.numba_compiler` emits the code that reads them. Calling and loading are in `machine_code`.
"""

from __future__ import annotations

import operator
import struct
from typing import Any

import numpy as np

Kind = str | tuple["Kind", ...]
"""Type of an argument: "int", "uint", "float", "<i4:2" for an array (dtype and dimensions), or a
tuple of kinds."""


def append_words(argument: Any, words: list[int]) -> Kind:
    """Append an argument's words (an array's address and shape, or a number); return its kind.

    Raises
    ------
    ValueError
        An array is not C-contiguous and aligned, or a number needs more than 64 bits.
    TypeError
        An argument is of another type.

    Examples
    --------
    >>> words = []
    >>> append_words((np.zeros((2, 3), np.int32), -1, 0.5), words), words[1:]
    (('<i4:2', 'int', 'float'), [2, 3, 18446744073709551615, 4602678819172646912])
    """
    if isinstance(argument, tuple):
        return tuple([append_words(part, words) for part in argument])
    if isinstance(argument, np.ndarray):
        if argument.dtype.kind not in "iuf":
            raise TypeError(f"a compiled loop cannot take an array of {argument.dtype}")
        if not (argument.flags.c_contiguous and argument.flags.aligned):
            raise ValueError(f"array of shape {argument.shape} is not C-contiguous and aligned")
        words += [argument.ctypes.data, *argument.shape]
        return f"{argument.dtype.str}:{argument.ndim}"
    if isinstance(argument, float):
        words += struct.unpack("Q", struct.pack("d", argument))
        return "float"
    number, signed = operator.index(argument), not isinstance(argument, np.uint64)
    if signed and not -(2**63) <= number < 2**63:
        raise ValueError(f"{number} needs more than 64 bits")
    words.append(number % 2**64)
    return "int" if signed else "uint"
