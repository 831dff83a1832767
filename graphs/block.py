"""`MapBlock`, a named step of a graph, and `map_block`, which makes one from a function.

Covers the inputs, fields and identity of a block, and the validation of what its code returns. The
built-in blocks are in `blocks`, and their code is in `kernels`. `engine` decides when and where a
block runs.
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
from .fingerprint.functions import describe_function
from .kernels import load

TEXT = "text"
Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class MapBlock:
    """A step of a graph that computes fields from inputs, each row on its own.

    Parameters
    ----------
    name : str
        Name on the dashboard and in error messages. For a block without a `function`, also the
        name of the backend's function that computes it.
    inputs : tuple of str
        ``text`` (a `PackedText`) or names of earlier fields (arrays of n rows).
    fields : tuple of Field
        Fields that the code returns: as one array, as several in this order, or as a mapping from
        names to arrays.
    params : mapping
        Keyword arguments of the code. They are part of a run's fingerprint, so they must be JSON.
    function : callable, optional
        The user's code. Built-in blocks have none, because every backend implements them.
    version : str
        Change it when the block's results change although its source does not.
    exact : bool
        False if results may differ in the last bits between backends or batches.
    cuda : str
        CUDA C++ that replaces the function on a GPU; see `map_block`.
    text_seconds : float
        Seconds per text of a slow block; see `map_block`. Not part of its identity.
    """

    # Users' code may pass the first five by position, as in earlier versions.
    name: str = field(kw_only=False)
    inputs: tuple[str, ...] = field(kw_only=False)
    fields: tuple[Field, ...] = field(kw_only=False)
    params: Mapping[str, Any] = field(kw_only=False, default_factory=dict)
    function: Callable[..., Any] | None = field(kw_only=False, default=None)
    version: str = ""
    exact: bool = True
    cuda: str = ""
    text_seconds: float = 0.0

    def __post_init__(self) -> None:
        if not self.fields:
            raise GraphError(f"block {self.name!r} declares no fields")
        if not self.inputs:
            raise GraphError(
                f"block {self.name!r} has no inputs; name its parameters 'text' or after fields of "
                "earlier blocks"
            )
        if self.cuda:
            self._check_kernel()
        if not 0 <= self.text_seconds < float("inf"):
            raise GraphError(
                f"block {self.name!r}: text_seconds must be a non-negative number of seconds, not "
                f"{self.text_seconds}"
            )

    def _check_kernel(self) -> None:
        if any(field_.dtype == STRING for field_ in self.fields):
            raise GraphError(f"block {self.name!r}: a CUDA kernel cannot return strings")
        declared = rf'extern\s+"C"\s+__global__\s[^;{{]*?\b{re.escape(self.name)}\s*\('
        if not isinstance(self.cuda, str) or not re.search(declared, self.cuda):
            raise GraphError(
                f"block {self.name!r}: cuda= must be CUDA C++ with a kernel "
                f'extern "C" __global__ void {self.name}(...)'
            )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function of a user's block."""
        if self.function is None:
            raise TypeError(f"block {self.name!r} is built in; only a backend has its code")
        return self.function(*args, **kwargs)

    def bind(self, backend: str) -> Callable[..., Any]:
        """Return the code that computes the block on a backend."""
        kernels = load(backend)
        return getattr(kernels, self.name) if self.function is None else kernels.user_function(self)

    def outputs(self, returned: Any, rows: int) -> dict[str, npt.NDArray[Any]]:
        """Validate what the block's code returned, and return it by field name.

        Raises
        ------
        BlockError
            A field is missing, or its dtype, shape or length differs from the declaration.
        """
        if isinstance(returned, Mapping):
            if set(returned) != {field_.name for field_ in self.fields}:
                raise self._error(f"returned {sorted(returned)}")
            values = [returned[field_.name] for field_ in self.fields]
        elif len(self.fields) == 1:
            values = [returned]
        elif isinstance(returned, Sequence) and len(returned) == len(self.fields):
            values = list(returned)
        else:
            raise self._error(f"returned {type(returned).__name__}")
        return {
            field_.name: self._validated(field_, value, rows)
            for field_, value in zip(self.fields, values, strict=True)
        }

    def _validated(self, declared: Field, value: Any, rows: int) -> npt.NDArray[Any]:
        if not hasattr(value, "dtype") or not hasattr(value, "shape"):
            raise self._error(
                f"returned {type(value).__name__} for {declared.name!r}, not an array; wrap it: "
                f"np.array(..., {declared.dtype!r})"
            )
        if declared.dtype == STRING and value.dtype.kind in "OTU":
            value = value.astype(object)
        elif value.dtype != declared.array_dtype:
            raise self._error(
                f"returned {value.dtype} for {declared.name!r}, which is declared "
                f"{declared.dtype}; convert it: .astype({declared.dtype!r})"
            )
        if tuple(value.shape) != (rows, *declared.shape):
            raise self._error(
                f"returned shape {tuple(value.shape)} for {declared.name!r}; {rows} texts with "
                f"values of shape {declared.shape} need {(rows, *declared.shape)}"
            )
        if hasattr(value, "__cuda_array_interface__"):  # stays on the device
            return cast("npt.NDArray[Any]", value)
        array: npt.NDArray[Any] = np.asarray(value).view()
        array.flags.writeable = False  # blocks share the arrays that are stored
        if declared.dtype == STRING:  # Zarr would store None as the text "None"
            odd = next((item for item in array.ravel() if not isinstance(item, str)), "")
            if not isinstance(odd, str):
                raise self._error(f"returned {odd!r} for {declared.name!r}, which holds strings")
        return array

    def _error(self, problem: str) -> BlockError:
        declared = ", ".join(field_.name for field_ in self.fields)
        return BlockError(f"block {self.name!r} (fields: {declared}) {problem}")

    def describe(self) -> dict[str, Any]:
        """Return the block's identity as JSON, which is part of a run's fingerprint.

        Raises
        ------
        GraphError
            A user's function refers to a value that has no stable description, and the block has no
            ``version=``.
        """
        described: dict[str, Any] = {
            "inputs": list(self.inputs),
            "fields": {field_.name: field_.describe() for field_ in self.fields},
            "params": dict(self.params),
            "version": self.version,
            "exact": self.exact,
        }
        if self.function is not None:
            described["code"] = describe_function(self.function, self.name, bool(self.version))
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
    """Make a block from a function, whose parameter names are the block's inputs.

    The function is called with a micro-batch: ``text`` is a `PackedText` of n texts, and any other
    parameter is an array with the n rows of an earlier field. It returns one array per field, with
    n rows each. The number of texts in a micro-batch varies, so a row's result must depend on that
    row alone.

    On the backend ``cuda`` the arrays are CuPy arrays. NumPy's functions accept them
    (``np.max(dhatu, axis=1)``), except for functions that create arrays, where CuPy's own are
    needed. Code that cannot be written with arrays can call `PackedText.to_strings`, which copies
    texts to the host, and return NumPy arrays. A function must not keep device memory between
    calls.

    Parameters
    ----------
    fields : sequence of Field
        Fields that the function returns.
    name : str, optional
        Defaults to the function's name.
    version, exact
        See `MapBlock`.
    cuda : str, optional
        CUDA C++ with an ``extern "C" __global__`` kernel that has the block's name. A GPU runs it
        instead of the function, with one thread per text and 256 threads per thread block. Its
        parameters are, for each input, ``const unsigned char *data, const long long *offsets`` if
        it is ``text``, or else a pointer to the field's values; then ``long long n``; then a
        pointer for each field that the kernel fills. CuPy compiles it so that subnormal floats are
        flushed to zero.
    text_seconds : float, optional
        Seconds per text of a slow block, e.g. an embedding, on the slowest machine that will run
        it. Shards are made small enough that at most five minutes of a worker's work are in flight.

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
            raise GraphError(
                f"block {label!r}: use plain parameters only, not *args, **kwargs or keyword-only "
                "parameters"
            )
        inputs = tuple(p.name for p in parameters if p.default is p.empty)
        return MapBlock(
            name=label,
            inputs=inputs,
            fields=tuple(fields),
            function=function,
            version=version,
            exact=exact,
            cuda=cuda,
            text_seconds=text_seconds,
        )

    return decorate
