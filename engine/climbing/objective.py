"""`objective`: declares what a climb maximises; and `Objective`, the declared function.

Objectives that come with the engine are in `objectives`. How one is called is in `evaluation`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy.typing as npt

from ...graphs.fingerprint.functions import describe_function
from ...graphs.user_functions.portable import pickled
from ...storage.errors import UsageError
from .spaces.space import Space

Judgement = Sequence[tuple[str, str]]
"""What a state is worth, in words: headings and sentences."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A function that scores candidates; the higher, the better.

    Attributes
    ----------
    name : str
    function : callable
        Given candidates, returns scores; see `objective`.
    vectorized : bool
        Whether the function is given many candidates at once.
    setup : mapping of str to callable
        Functions that make further arguments, once per worker process; see `map_block`.
    version : str
        Answers for values of which the function's identity cannot be told.
    per_thread : bool
        Whether each thread of a worker makes arguments of its own.
    setup_bytes : int
        Memory that the arguments need, if it is known.
    identity : mapping, optional
        JSON that stands for the code and the data of the function.
    space : Space, optional
        The space that it is defined on.
    start : ndarray, optional
        A state to begin with.
    judge : callable, optional
        Given a state, returns what it is worth, in words.
    """

    name: str
    function: Callable[..., Any]
    vectorized: bool
    setup: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    version: str = ""
    per_thread: bool = False
    setup_bytes: int = 0
    identity: Mapping[str, Any] | None = None
    space: Space | None = None
    start: npt.NDArray[Any] | None = None
    judge: Callable[[npt.NDArray[Any]], Judgement] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.function(*args, **kwargs)

    @property
    def sent(self) -> Objective:
        """The objective without what only the client needs."""
        return replace(self, identity=None, space=None, start=None, judge=None)

    @property
    def functions(self) -> dict[str, Callable[..., Any]]:
        """Its function, and those of ``setup``, by names for messages."""
        made = {f"{self.name}: {name}": make for name, make in self.setup.items()}
        return {self.name: self.function} | made

    def pickled(self) -> bytes:
        """Return the objective as it is sent to workers.

        Raises
        ------
        GraphError
            A function, or a value that it refers to, cannot be sent; the message names it.
        """
        return pickled(self.sent, self.functions)

    def describe(self) -> dict[str, Any]:
        """Return the objective's identity as JSON.

        Raises
        ------
        GraphError
            The function refers to a value that has no stable description, and the objective has no
            ``version=``.
        """
        versioned = bool(self.version)
        code = self.identity or describe_function(self.function, self.name, versioned)
        described = {
            "name": self.name,
            "version": self.version,
            "vectorized": self.vectorized,
            "code": code,
        }
        if self.setup:
            described["setup"] = {
                name: describe_function(make, self.name, versioned)
                for name, make in self.setup.items()
            }
        return described


def objective(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    vectorized: bool = False,
    setup: Mapping[str, Callable[[], Any]] | None = None,
    version: str = "",
    per_thread: bool = False,
) -> Any:
    """Declare a function as an objective of `climb`, which looks for its highest score.

    Parameters
    ----------
    name : str, optional
        Defaults to the function's name.
    vectorized : bool
        Whether the function is given many candidates at once, ``[k, d]``, and returns k scores.
        Otherwise it is given one, ``[d]``, and returns a number. For a `Product` space it is given
        a dict of arrays instead, by component. The arrays are read-only.
    setup : mapping of str to callable, optional
        Functions without arguments, by the name of the parameter that takes what they return. Each
        is called once per worker process.
    version : str
        Part of the objective's identity, as that of a `map_block`.
    per_thread : bool
        Whether each thread of a worker calls the functions of ``setup``.

    Returns
    -------
    Objective

    Raises
    ------
    UsageError
        The function cannot be an objective.

    Examples
    --------
    >>> import numpy as np
    >>> import paninifs as pf
    >>> @pf.objective(vectorized=True)
    ... def ones(masks):
    ...     return masks.sum(axis=1)
    >>> ones(np.eye(3)).tolist()
    [1.0, 1.0, 1.0]
    """

    def decorate(function: Callable[..., Any]) -> Objective:
        label = name or str(getattr(function, "__name__", type(function).__name__))
        if not callable(function) or inspect.iscoroutinefunction(function):
            raise UsageError(f"objective {label!r}: give a function that returns scores")
        made = dict(setup or {})
        if unknown := sorted(made.keys() - _parameters(function)):
            raise UsageError(
                f"objective {label!r}: setup= makes {unknown[0]!r}, which is not a parameter of "
                "the function"
            )
        return Objective(
            name=label,
            function=function,
            vectorized=vectorized,
            setup=made,
            version=version,
            per_thread=per_thread,
        )

    return decorate if function is None else cast("Any", decorate(function))


def _parameters(function: Callable[..., Any]) -> set[str]:
    try:
        return set(inspect.signature(function).parameters)
    except ValueError:  # of a builtin function
        return set()


def as_objective(given: Any) -> Objective:
    """Return an objective as it is, and declare a plain function as one of single candidates."""
    return given if isinstance(given, Objective) else cast("Objective", objective(given))
