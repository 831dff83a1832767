"""`MapBlock`, a named step of a graph, and `map_block`, which makes one from a function.

Covers the inputs, fields and identity of a block. What its code returns is validated in `returned`,
and `portable` pickles its code for workers. The built-in blocks are in `blocks`, and their code is
in `kernels`. `engine` decides when and where a block runs.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from ..storage.errors import BlockError, GraphError
from ..storage.field import STRING, Field
from ..storage.text import PackedText
from .fingerprint.functions import describe_function
from .html import kind_of, table
from .kernels import load
from .user_functions.returned import UnfitError, array_of, by_field

TEXT = "text"


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

    _graph: ClassVar[type[Any]]  # `Graph`, which consists of blocks

    def __post_init__(self) -> None:
        odd = [one for one in self.fields if not isinstance(one, Field)]
        if odd:
            raise GraphError(
                f"block {self.name!r}: fields must be Fields, such as Field('n', 'int32'), not "
                f"{odd[0]!r}"
            )
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
        """Call the function of a user's block, and check what it returns as a run does.

        Parameters
        ----------
        *args, **kwargs
            The inputs, in order or by name: for ``text`` strings or a `PackedText`, for a field an
            array or a list, with one value per text.

        Returns
        -------
        array, tuple or dict of array
            What the function returned; see `MapBlock.fields`.

        Raises
        ------
        BlockError
            Its dtype, shape or length differs from the declaration.

        Examples
        --------
        >>> @map_block(fields=[Field("n_words", "int32")])
        ... def n_words(text):
        ...     return np.array([len(one.split()) for one in text.to_strings()], "int32")
        >>> n_words(["one", "two words"]).tolist()
        [1, 2]
        """
        if self.function is None:
            raise TypeError(f"block {self.name!r} is built in; only a backend has its code")
        named = dict(zip(self.inputs, args, strict=False)) | {
            name: value for name, value in kwargs.items() if name in self.inputs
        }
        inputs = {name: self._input(name, value) for name, value in named.items()}
        rows = len(next(iter(inputs.values()), ()))
        others = {name: value for name, value in kwargs.items() if name not in inputs}
        returned = self.function(
            *(inputs.pop(name) for name in self.inputs[: len(args)]),
            *args[len(self.inputs) :],
            **inputs,
            **{**self.params, **others},
        )
        outputs = self.outputs(returned, rows)
        if isinstance(returned, Mapping):
            return outputs
        return tuple(outputs.values()) if len(outputs) > 1 else outputs[self.fields[0].name]

    def _input(self, name: str, value: Any) -> Any:
        if name != TEXT:
            return np.asarray(value) if isinstance(value, list | tuple) else value
        if isinstance(value, PackedText):
            return value
        texts = value.to_pylist() if hasattr(value, "to_pylist") else value
        if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
            raise TypeError(
                f"block {self.name!r} is given several texts at once: a list of strings"
            )
        texts = list(texts)
        odd = next((one for one in texts if not isinstance(one, str | bytes)), "")
        if not isinstance(odd, str | bytes):
            raise TypeError(f"block {self.name!r}: {odd!r} is not a text")
        return PackedText.from_strings(texts)

    def __add__(self, other: Any) -> Any:
        """Return the graph of two blocks, or of a block and a graph's blocks."""
        return self._graph((self,)) + other

    def __repr__(self) -> str:
        fields = ", ".join(f"{one.name} {kind_of(one)}" for one in self.fields)
        return f"<MapBlock {self.name}({', '.join(self.inputs)}) -> {fields}>"

    def _repr_html_(self) -> str:
        return table([self])

    def bind(self, backend: str) -> Callable[..., Any]:
        """Return the code that computes the block on a backend."""
        kernels = load(backend)
        return getattr(kernels, self.name) if self.function is None else kernels.user_function(self)

    def outputs(self, returned: Any, rows: int) -> dict[str, npt.NDArray[Any]]:
        """Validate what the block's code returned, and return it by field name.

        Raises
        ------
        BlockError
            A field is missing, or its dtype, shape or length differs from the declaration, or a
            value cannot be stored.
        """
        try:
            values = by_field(self.fields, returned)
            return {
                field_.name: array_of(field_, value, rows)
                for field_, value in zip(self.fields, values, strict=True)
            }
        except UnfitError as error:
            declared = ", ".join(field_.name for field_ in self.fields)
            raise BlockError(f"block {self.name!r} (fields: {declared}) {error}") from None

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
    function: Any = None,
    /,
    *,
    fields: Iterable[Field] | Field = (),
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

    What takes long to make, such as a model, belongs in a function with `functools.cache` that the
    block calls. Each worker process then makes it once, or twice if two threads ask for it at the
    same moment. What the function refers to otherwise is
    sent to the workers as it is when the run is submitted, and changes to it stay there.

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
    >>> @map_block(fields=[Field("n_bytes", "int32")])
    ... def n_bytes(text):
    ...     return (text.offsets[1:] - text.offsets[:-1]).astype("int32")
    >>> n_bytes(["a", "dhātu"]).tolist()  # tried on a few texts
    [1, 6]
    """
    declared = (fields,) if isinstance(fields, Field) else tuple(fields)
    if function is not None and not declared:  # the decorator was written without brackets
        raise GraphError(
            "map_block needs the fields that the function returns: "
            f"@map_block(fields=[Field('{getattr(function, '__name__', 'n')}', 'int32')])"
        )

    def decorate(function: Callable[..., Any]) -> MapBlock:
        label = name or getattr(function, "__name__", "")
        if not label:
            raise GraphError(f"{function!r} has no name; give the block one: name=")
        if inspect.iscoroutinefunction(function):
            raise GraphError(f"block {label!r}: an async function cannot be a block")
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
            fields=declared,
            function=function,
            version=version,
            exact=exact,
            cuda=cuda,
            text_seconds=text_seconds,
        )

    return decorate if function is None else cast("Any", decorate(function))
