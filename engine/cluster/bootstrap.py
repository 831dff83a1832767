"""`bootstrap`: the first thing a task does on a worker: check the worker, then call the package.

`remote_call` sends the source of this file as text. So a worker without this package, or with
another Python, reports what it lacks instead of failing to unpickle its task, and the scheduler
does not need the package at all. Therefore this file uses only the standard library and what dask
itself needs, and no syntax newer than Python 3.8.
"""

from __future__ import annotations

import importlib
import pickle
import platform
import socket
import sys
import time
from typing import Any

UNFIT_SECONDS = 1.0
"""Delay before a worker reports that it is unfit: dask would give most tasks to a worker that ends
each at once."""


def bootstrap(
    client: dict[str, Any], function: list[str], arguments: bytes, results: list[Any]
) -> dict[str, Any]:
    """Call a function of the package, unless this worker differs from the client.

    Parameters
    ----------
    client : dict
        The client's ``python``, ``package``, ``version`` and ``numeric`` version.
    function : list of str
        Names of a module and of the function in it.
    arguments : bytes
        The pickled arguments.
    results : list
        Further arguments: the results of other tasks.

    Returns
    -------
    dict
        ``worker`` and ``host``, and ``value``, the pickled result; or ``unfit``, the difference.
    """
    import cloudpickle
    from distributed import get_worker

    reply = {"worker": get_worker().address, "host": socket.gethostname()}
    unfit = difference_to(client)
    if unfit:
        time.sleep(UNFIT_SECONDS)
        return {**reply, "unfit": unfit}
    module, name = function
    call = getattr(importlib.import_module(module), name)
    own = pickle.loads(arguments)  # noqa: S301 (from the client, whom dask trusts)
    value = call(*own, *results)
    return {**reply, "value": cloudpickle.dumps(value)}


def difference_to(client: dict[str, Any]) -> str | None:
    """Return how this process differs from the client, or None; the subject is "worker ..."."""
    if list(sys.version_info[:2]) != client["python"][:2]:
        needed = ".".join(map(str, client["python"]))
        return f"runs Python {platform.python_version()}, and the client Python {needed}"
    package = client["package"]
    try:
        version = importlib.import_module(package).__version__
        numeric = importlib.import_module(package + ".graphs.kernels").NUMERIC_VERSION
    except Exception as error:  # noqa: BLE001 (a broken installation may raise anything)
        return f"cannot import {package} ({type(error).__name__}: {error})"
    if version != client["version"]:
        return f"has {package} {version}, and the client {client['version']}"
    if numeric != client["numeric"]:
        return f"computes numeric version {numeric}, and the client {client['numeric']}"
    return None
