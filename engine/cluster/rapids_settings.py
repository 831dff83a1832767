"""What dask-cuda sets in the client's process for a cluster of GPUs, and never takes back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module

VARIABLE = "RAPIDS_NO_INITIALIZE"
"""Environment variable with which RAPIDS' libraries create no CUDA context when imported."""

OPTIONS = ("spill", "spill_stats")
"""cuDF's options that dask-cuda sets if its workers are to spill."""


@contextmanager
def restored(*, spilling: bool) -> Iterator[None]:
    """Restore the environment and, if the cluster's workers spill, cuDF's options at the end."""
    with ExitStack() as after:
        before = os.environ.get(VARIABLE)
        after.callback(_set_variable, before)
        os.environ[VARIABLE] = "True"  # as dask-cuda does, but before cuDF is imported below
        if spilling:
            cudf = import_module("cudf")
            for name in OPTIONS:
                after.callback(cudf.set_option, name, cudf.get_option(name))
        yield


def _set_variable(value: str | None) -> None:
    if value is None:
        os.environ.pop(VARIABLE, None)
    else:
        os.environ[VARIABLE] = value
