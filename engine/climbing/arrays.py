"""`Arrays`: which package's arrays an objective is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from ...storage.errors import BackendUnavailable, UsageError

PACKAGES = {"numpy": "numpy", "cupy": "cupy", "jax": "jax.numpy"}
"""Names of the arrays, and the modules that make them."""


def require_arrays(name: str) -> None:
    """Raise `UsageError` unless there are arrays of that name."""
    if name not in PACKAGES:
        raise UsageError(f"arrays must be one of {', '.join(PACKAGES)}, not {name!r}")


class Arrays:
    """Converts what an objective is given.

    Raises
    ------
    BackendUnavailable
        The package is not installed on this worker.

    Examples
    --------
    >>> import numpy as np
    >>> Arrays("numpy").converted({"a": np.arange(2)})
    {'a': array([0, 1])}
    """

    def __init__(self, name: str) -> None:
        if find_spec(name) is None:
            raise BackendUnavailable(f"arrays={name!r} needs {name}, which a worker lacks")
        self._name, self._module = name, import_module(PACKAGES[name])

    def converted(self, given: Any) -> Any:
        """Return an array of NumPy, or a dict of them, as arrays of the package."""
        if self._name == "numpy":
            return given
        if isinstance(given, Mapping):
            return {name: self._module.asarray(part) for name, part in given.items()}
        return self._module.asarray(given)

    @contextmanager
    def in_full(self) -> Iterator[None]:
        """Let JAX keep 64 bits of numbers, which it cuts to 32 by default."""
        if self._name != "jax":
            yield
            return
        import jax

        with jax.enable_x64(True):
            yield
