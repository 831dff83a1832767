"""`ReduceBlock`, a step of a graph over all texts, and `reduce_block`, which makes one.

Reductions are computed in `engine.run`, and their results are stored in `storage.store`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

from ...storage.errors import GraphError
from ..fingerprint.functions import describe_function


@dataclass(frozen=True, kw_only=True)
class ReduceBlock:
    """A step of a graph that computes one result from the earlier results of all texts.

    Parameters
    ----------
    name : str
        An identifier: the name of the result, by which later blocks take it.
    function : callable
        The user's code; see `reduce_block`.
    inputs : tuple of str
        Names of earlier reductions that the code takes after the texts' values.
    params : mapping
        Keyword arguments of the code. They are part of a run's fingerprint, so they must be JSON.
    version : str
        Change it when the results change although the source does not.
    """

    name: str
    function: Callable[..., Any]
    inputs: tuple[str, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""

    _graph: ClassVar[type[Any]]  # `Graph`, which consists of blocks

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or self.name.startswith("_"):
            raise GraphError(
                f"{self.name!r} is not a valid name of a reduction: use letters, digits and _, no "
                "leading _"
            )

    def __call__(self, results: Any, *others: Any, **named: Any) -> Any:
        """Call the function, for example on a few rows of ``open_results(...)``."""
        return self.function(results, *others, **{**self.params, **named})

    def __add__(self, other: Any) -> Any:
        """Return the graph of two blocks, or of a block and a graph's blocks."""
        return self._graph((self,)) + other

    def __repr__(self) -> str:
        return f"<ReduceBlock {self.name}({', '.join(['all texts', *self.inputs])})>"

    def describe(self) -> dict[str, Any]:
        """Return the block's identity as JSON, which is part of the fingerprint of its result.

        Raises
        ------
        GraphError
            The function refers to a value that has no stable description, and the block has no
            ``version=``.
        """
        return {
            "reduction": True,
            "inputs": list(self.inputs),
            "params": dict(self.params),
            "version": self.version,
            "code": describe_function(self.function, self.name, bool(self.version)),
        }


def reduce_block(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    params: Mapping[str, Any] | None = None,
    version: str = "",
) -> Any:
    """Make a reduction from a function over all texts.

    The function is called once, with a lazy `xarray.Dataset` of the results of earlier blocks, with
    ids, kept columns and coordinates as `open_results` shows them. Its arrays are dask
    arrays along ``text``, one chunk per shard, and quarantined rows are left out. It returns a
    DataArray or a Dataset without the dimension ``text``, still lazy; dask then computes it on the
    run's cluster. Further parameters are named after earlier reductions.

    The result is stored with the results of the run; see `open_reduction`. A later `map_block`
    takes it by its name, as an array if the function returned a DataArray, else as a Dataset.

    Parameters
    ----------
    name : str, optional
        Defaults to the function's name.
    params : mapping, optional
        Keyword arguments of the function, part of the result's identity.
    version : str, optional
        Change it when the result changes although the source does not.

    Examples
    --------
    >>> @reduce_block
    ... def mean_entropy(results):
    ...     return results.entropy.mean("text")
    >>> mean_entropy
    <ReduceBlock mean_entropy(all texts)>
    """

    def decorate(function: Callable[..., Any]) -> ReduceBlock:
        label = str(name or getattr(function, "__name__", ""))
        given = dict(params or {})
        taken = list(inspect.signature(function).parameters.values())
        plain = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
        if not taken or any(p.kind not in plain for p in taken):
            raise GraphError(
                f"reduction {label!r}: its first parameter takes the values of all texts, and the "
                "others are named after earlier reductions; no *args, **kwargs or keyword-only "
                "parameters"
            )
        inputs = tuple(p.name for p in taken[1:] if p.default is p.empty and p.name not in given)
        return ReduceBlock(
            name=label, function=function, inputs=inputs, params=given, version=version
        )

    return decorate if function is None else cast("Any", decorate(function))
