"""`usable_client`: the client that work is sent through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...storage.errors import UsageError

if TYPE_CHECKING:
    from distributed import Client


def usable_client(client: Client | None) -> Client:
    """Return a client, by default the one that was created last.

    Raises
    ------
    UsageError
        There is none, or work cannot be sent through it.
    """
    client = _newest_client() if client is None else client
    if not (hasattr(client, "submit") and hasattr(client, "scheduler_info")):
        raise UsageError(
            f"client must be a dask client, such as paninifs.connect() returns, not a "
            f"{type(client).__name__}"
        )
    if getattr(client, "asynchronous", False):
        raise UsageError(
            "the client is asynchronous, and a run needs one that is not: pass client= from "
            "paninifs.connect(ADDRESS), or from Client(ADDRESS) without asynchronous=True"
        )
    if getattr(client, "status", "running") == "closed":
        raise UsageError("the client is closed; call paninifs.connect() again")
    return client


def _newest_client() -> Client:
    """Return the client that was created last."""
    from distributed import default_client

    try:
        newest: Client = default_client()
    except ValueError as error:
        raise UsageError("no cluster to run on: call paninifs.connect() first") from error
    return newest
