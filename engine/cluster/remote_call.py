"""`submit_call`: submits a call of a function of this package to a cluster's workers.

The graph that dask's scheduler unpickles contains only builtins, so the scheduler may lack this
package. What runs first on a worker is in `bootstrap`.
"""

from __future__ import annotations

import hashlib
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import cloudpickle

from ... import __version__
from ...graphs.kernels import NUMERIC_VERSION
from ...storage.errors import UnfitWorker

if TYPE_CHECKING:
    from distributed import Client, Future

_EXPRESSION = """(lambda modules: modules.get(name) or (
    made := __import__("types").ModuleType(name),
    exec(source, made.__dict__),
    modules.setdefault(name, made),
)[2])(__import__("sys").modules).bootstrap(client, function, arguments, results)"""
"""Compiles the source once per worker process, into a module that only this package looks for."""


def submit_call(
    client: Client,
    function: Callable[..., Any],
    *arguments: Any,
    results: Sequence[Future[Any]] = (),
    **options: Any,
) -> Future[dict[str, Any]]:
    """Submit a call of a function at the top level of this package; see `answer`.

    Parameters
    ----------
    *arguments
        Pickled here, and unpickled on a worker that is fit for it.
    results : sequence of Future
        Further arguments, which dask brings to the worker once they are computed.
    **options
        For `distributed.Client.submit`.
    """
    names = {
        "source": _source(),
        "name": f"bootstrap-{_digest()}",
        "client": _this_process(),
        "function": [function.__module__, function.__name__],
        "arguments": cloudpickle.dumps(arguments),
        "results": list(results),
    }
    return client.submit(eval, _EXPRESSION, names, pure=False, **options)


def answer(reply: Mapping[str, Any]) -> Any:
    """Return what the function returned.

    Raises
    ------
    UnfitWorker
        The worker differs from this process, so the function was not called.
    """
    if "unfit" in reply:
        raise UnfitWorker(
            f"worker {reply['worker']} on {reply['host']} {reply['unfit']}: install the same "
            "Python and packages there"
        )
    return pickle.loads(reply["value"])  # noqa: S301 (from a worker, which runs any code anyway)


@cache
def _digest() -> str:
    return hashlib.sha256(_source().encode()).hexdigest()[:16]


@cache
def _source() -> str:
    return resources.files(__package__).joinpath("bootstrap.py").read_text("utf-8")


def _this_process() -> dict[str, Any]:
    return {
        "python": list(sys.version_info[:3]),
        "package": __package__.partition(".")[0],
        "version": __version__,
        "numeric": NUMERIC_VERSION,
    }
