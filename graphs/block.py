"""`MapBlock`, a named step of a graph that computes fields for each text.

Covers the inputs, fields and identity of a block. `map_block` makes one from a function. What its
code returns is validated in `returned`, and `portable` pickles its code for workers. The built-in
blocks are in `blocks`, and their code is in `kernels`. `engine` decides when and where a block
runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..storage.errors import BlockError, GraphError
from ..storage.field import Field
from ..storage.text import PackedText
from .drawing.html import kind_of, table
from .fingerprint.functions import describe_function
from .kernels import load
from .user_functions.returned import UnfitError, arrays_of, by_field
from .user_functions.setups import made_here

TEXT, ID, LENGTH = "text", "id", "length"
"""Inputs that every corpus has: texts, their identifiers, and their lengths in bytes of UTF-8."""


@dataclass(frozen=True, kw_only=True)
class MapBlock:
    """A step of a graph that computes fields from inputs, each row on its own.

    Parameters
    ----------
    name : str
        Name on the dashboard and in error messages. For a block without a `function`, also the
        name of the backend's function that computes it.
    inputs : tuple of str
        What the code is given for n texts: ``text`` (a `PackedText`), or the name of an earlier
        field, of a kept column, of ``id`` or of ``length`` (arrays of n rows; see `map_block`), or
        of an earlier reduction.
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
    when : str
        Name of the input that says for which texts the block runs; see `map_block`.
    setup : mapping
        Functions that make further arguments of the code, by name; see `map_block`.
    per_thread : bool
        Whether every thread of a worker makes its own.
    setup_bytes : int
        About how much memory of a worker's process these arguments take, if that is known before
        they are made.
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
    when: str = ""
    setup: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    per_thread: bool = False
    setup_bytes: int = 0

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
        odd_setup = [name for name, make in self.setup.items() if not callable(make)]
        if odd_setup or (self.setup and self.cuda):
            raise GraphError(
                f"block {self.name!r}: a CUDA kernel takes no setup="
                if self.cuda
                else f"block {self.name!r}: setup= maps {odd_setup[0]!r} to "
                f"{type(self.setup[odd_setup[0]]).__name__}; give a function without arguments "
                "that makes it"
            )
        if self.cuda:
            self._check_kernel()
        if not 0 <= self.text_seconds < float("inf"):
            raise GraphError(
                f"block {self.name!r}: text_seconds must be a non-negative number of seconds, not "
                f"{self.text_seconds}"
            )

    def _check_kernel(self) -> None:
        odd = [one for one in self.fields if not one.is_number or one.nullable]
        if odd:
            raise GraphError(
                f"block {self.name!r}: a CUDA kernel cannot return {odd[0].type_name}: use the "
                "function, or a field of numbers"
            )
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
        >>> import paninifs as pf
        >>> @pf.map_block(fields=[pf.Field("n_words", "int32")])
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
        made = {} if set(self.setup) <= set(others) else made_here(self)
        if self.setup:
            returned = self.function(**inputs, **{**self.params, **made, **others})
        else:
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
            made: dict[str, npt.NDArray[Any]] = {}
            for field_, value in zip(self.fields, values, strict=True):
                made |= arrays_of(field_, value, rows)
            return made
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
        if self.when:
            described["when"] = self.when
        if self.setup:
            described["setup"] = {
                name: describe_function(make, self.name, bool(self.version))
                for name, make in self.setup.items()
            }
        return described
