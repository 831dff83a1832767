"""`short_traceback`: errors in the caller's request show the caller's line, not the engine's."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from types import FunctionType
from typing import ParamSpec, TypeVar

from ..errors import UsageError

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger(__name__)


def short_traceback(function: Callable[P, R]) -> Callable[P, R]:
    """Make a public function raise its `UsageError` without the frames below, and their causes.

    They say nothing to a caller who gave a wrong path, and fill a notebook's screen. They are
    logged, on the level of debugging.

    >>> @short_traceback
    ... def checked(path):
    ...     raise UsageError(f"no such file: {path}")
    >>> checked("a")
    Traceback (most recent call last):
    paninifs.storage.errors.UsageError: no such file: a
    """
    own, log = UsageError, _log

    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except own as error:
            log.debug("%s failed", function.__name__, exc_info=True)
            short = error.with_traceback(None)
        short.__context__ = None
        raise short from None

    # With the module of the function itself, so that doctest finds the function's examples.
    home = FunctionType(checked.__code__, function.__globals__, None, None, checked.__closure__)
    wrapped: Callable[P, R] = functools.update_wrapper(home, function)
    return wrapped
