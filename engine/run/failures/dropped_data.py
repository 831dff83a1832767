"""`dropped_by_restart`: what a restart of a worker drops besides the tasks of runs.

The data of others are on a shared cluster, and so are frames that a user keeps. dask computes them
again, except what was scattered. Nothing is copied to other workers first: the process has lost its
device, where the data may be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ....storage.messages.names import listed

if TYPE_CHECKING:
    from distributed import Client

_OF_RUNS = ("paninifs-", "readiness-")
"""Beginnings of what names the tasks of runs."""

_SHOWN = 3


def dropped_by_restart(client: Client, worker: str) -> str | None:
    """Return a sentence about what a worker holds, if not only results of runs; else None."""
    keys = [key for key in client.has_what([worker]).get(worker, ()) if not _is_of_run(key)]
    if not keys:
        return None
    results, them = ("result", "it") if len(keys) == 1 else ("results", "them")
    names = sorted(map(str, keys))
    shown = listed([*names[:_SHOWN], *(["..."] if len(names) > _SHOWN else [])])
    return (
        f"the restart of worker {worker} drops {len(keys):,} {results} of other work ({shown}), "
        f"unless other workers have {them} too; dask computes {them} again, but not what was "
        "scattered"
    )


def _is_of_run(key: Any) -> bool:
    parts = key if isinstance(key, tuple) else (key,)
    return any(isinstance(part, str) and part.startswith(_OF_RUNS) for part in parts)
