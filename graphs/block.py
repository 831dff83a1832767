"""`MapBlock`: a named step from earlier values to declared fields, and its decorator.

What a block *is* belongs here: its inputs, fields and identity, and the check of what it returns.
When it runs, and on what, is the engine's business.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ..storage.errors import BlockError, GraphError
from ..storage.field import STRING, Field
from .fingerprint.functions import of_function
from .kernels import load

TEXT = "text"
Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class MapBlock:
    """A step of a graph: row by row, some inputs become some fields.

    Parameters
    ----------
    name : str
        What the dashboard and error messages call it. Without a `function` also the name of
        the backend's function that computes it.
    inputs : tuple of str
        ``text`` (a `PackedText`) or names of earlier fields (arrays of n rows).
    fields : tuple of Field
        What it returns: one array, or as many in this order, or a mapping by name.
    params : mapping
        Passed by keyword; JSON, for they are part of a run's fingerprint.
    function : callable, optional
        A user's own code. Built-in blocks have none: each backend brings its own.
    version : str
        Raise it when the block's results change though its source does not.
    exact : bool
        False where results may differ in the last bits between backends or batches.
    cuda : str
        CUDA C++ that takes the function's place on a GPU; see `map_block`.
    text_seconds : float
        How long a text takes, where that is long; see `map_block`. No part of its identity.
    """

    name: str
    inputs: tuple[str, ...]
    fields: tuple[Field, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    function: Callable[..., Any] | None = None
    version: str = ""
    exact: bool = True
    cuda: str = ""
    text_seconds: float = 0.0

    def __post_init__(self) -> None:
        if not self.fields:
            raise GraphError(f"block {self.name!r} declares no fields")
        if not self.inputs:
            raise GraphError(
                f"block {self.name!r} takes no inputs; name its parameters 'text' or after "
                "fields of earlier blocks"
            )
        if self.cuda:
            self._check_kernel()
        if not 0 <= self.text_seconds < float("inf"):
            raise GraphError(f"block {self.name!r}: text_seconds={self.text_seconds} is no time")

    def _check_kernel(self) -> None:
        if any(one.dtype == STRING for one in self.fields):
            raise GraphError(f"block {self.name!r}: a CUDA kernel makes numbers, no strings")
        declared = rf'extern\s+"C"\s+__global__\s[^;{{]*?\b{re.escape(self.name)}\s*\('
        if not isinstance(self.cuda, str) or not re.search(declared, self.cuda):
            raise GraphError(
                f"block {self.name!r}: cuda= is CUDA C++ with a kernel "
                f'extern "C" __global__ void {self.name}(...)'
            )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call a user's own block like the plain function it was written as."""
        if self.function is None:
            raise TypeError(f"block {self.name!r} is built in; its code is chosen by the backend")
        return self.function(*args, **kwargs)

    def bind(self, backend: str) -> Callable[..., Any]:
        """Return the code that computes the block on a backend."""
        kernels = load(backend)
        return getattr(kernels, self.name) if self.function is None else kernels.own(self)

    def outputs(self, returned: Any, rows: int) -> dict[str, npt.NDArray[Any]]:
        """Check what the block's code returned and name it.

        Raises
        ------
        BlockError
            A field is missing, or its dtype, shape or length is not the declared one.
        """
        if isinstance(returned, Mapping):
            if set(returned) != {one.name for one in self.fields}:
                raise self._error(f"returned {sorted(returned)}")
            values = [returned[one.name] for one in self.fields]
        elif len(self.fields) == 1:
            values = [returned]
        elif isinstance(returned, Sequence) and len(returned) == len(self.fields):
            values = list(returned)
        else:
            raise self._error(f"returned {type(returned).__name__}")
        return {
            one.name: self._checked(one, value, rows)
            for one, value in zip(self.fields, values, strict=True)
        }

    def _checked(self, one: Field, value: Any, rows: int) -> npt.NDArray[Any]:
        if not hasattr(value, "dtype") or not hasattr(value, "shape"):
            raise self._error(
                f"returned {type(value).__name__} for {one.name!r}, not an "
                f"array; wrap it: np.array(..., {one.dtype!r})"
            )
        if one.dtype == STRING and value.dtype.kind in "OTU":
            value = value.astype(object)
        elif value.dtype != one.array_dtype:
            raise self._error(
                f"returned {value.dtype} for {one.name!r}, which is declared {one.dtype}; "
                f"convert it: .astype({one.dtype!r})"
            )
        if tuple(value.shape) != (rows, *one.shape):
            raise self._error(
                f"returned shape {tuple(value.shape)} for {one.name!r}; {rows} texts with values "
                f"of shape {one.shape} make {(rows, *one.shape)}"
            )
        if hasattr(value, "__cuda_array_interface__"):  # it stays on the device
            return cast("npt.NDArray[Any]", value)
        array: npt.NDArray[Any] = np.asarray(value).view()
        array.flags.writeable = False  # the next block's input is what is stored
        if one.dtype == STRING:  # zarr would store None as the text "None"
            odd = next((item for item in array.ravel() if not isinstance(item, str)), "")
            if not isinstance(odd, str):
                raise self._error(f"returned {odd!r} for {one.name!r}, which holds strings")
        return array

    def _error(self, problem: str) -> BlockError:
        declared = ", ".join(one.name for one in self.fields)
        return BlockError(f"block {self.name!r} (fields: {declared}) {problem}")

    def describe(self) -> dict[str, Any]:
        """Return the block's identity as JSON: what a run's fingerprint holds of it.

        Raises
        ------
        GraphError
            A user's function refers to something whose value cannot be pinned down and has
            no ``version=``.
        """
        described: dict[str, Any] = {
            "inputs": list(self.inputs),
            "fields": {one.name: one.describe() for one in self.fields},
            "params": dict(self.params),
            "version": self.version,
            "exact": self.exact,
        }
        if self.function is not None:
            described["code"] = of_function(self.function, self.name, bool(self.version))
        if self.cuda:
            described["cuda"] = self.cuda
        return described


def map_block(
    *,
    fields: Sequence[Field],
    name: str | None = None,
    version: str = "",
    exact: bool = True,
    cuda: str = "",
    text_seconds: float = 0.0,
) -> Callable[[Callable[..., Any]], MapBlock]:
    """Make a block of one's own from a function; its parameter names are its inputs.

    The function is called with a micro-batch: ``text`` is a `PackedText` of n texts, any other
    parameter an array of n rows of an earlier field. It returns one array a field, n rows each.
    Texts come in runs of any length, so a row's result may depend on that row alone.

    On the backend ``cuda`` it is given arrays of CuPy, and NumPy's functions work on them too
    (``np.max(dhatu, axis=1)``); of those that make an array out of nothing CuPy's own are needed.
    What cannot be said with arrays may go through `PackedText.to_strings`, which brings texts back
    to the host, and return NumPy's. Nothing may be kept on the device from one call to the next.

    Parameters
    ----------
    fields : sequence of Field
        What it returns.
    name : str, optional
        The function's name when left out.
    version, exact
        See `MapBlock`.
    cuda : str, optional
        CUDA C++ with a kernel ``extern "C" __global__`` of the block's name, which a GPU runs in
        the function's place, a thread a text, in blocks of 256. Its parameters: for ``text``
        ``const unsigned char *data, const long long *offsets``, for a field a pointer to its
        values; then ``long long n``, then a pointer for every field that it fills. CuPy compiles
        it so that subnormal floats count as zero.
    text_seconds : float, optional
        A slow block, as an embedding, says how many seconds a text takes it on the slowest machine
        that it is to run on. Shards are made so small that what is in flight is never more than
        five minutes of a worker's work.

    Examples
    --------
    >>> from paninifs.storage.text import PackedText
    >>> @map_block(fields=[Field("n_bytes", "int32")])
    ... def n_bytes(text):
    ...     return (text.offsets[1:] - text.offsets[:-1]).astype("int32")
    >>> n_bytes(PackedText.from_strings(["a", "dhātu"])).tolist()
    [1, 6]
    """

    def decorate(function: Callable[..., Any]) -> MapBlock:
        label = name or function.__name__
        parameters = inspect.signature(function).parameters.values()
        if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD, p.KEYWORD_ONLY) for p in parameters):
            raise GraphError(f"block {label!r}: give each input a plain parameter of its own")
        inputs = tuple(p.name for p in parameters if p.default is p.empty)
        return MapBlock(
            label, inputs, tuple(fields), {}, function, version, exact, cuda, text_seconds
        )

    return decorate
