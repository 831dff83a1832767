"""`compute_each`: computes what a run needs of its frame before any task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..background.completion import Completed
from ..dispatch import Dispatch
from ..spec import RunSpec


def compute_each(
    spec: RunSpec, dispatch: Dispatch, delayed: Sequence[Any], when_done: Callable[[Any], None]
) -> None:
    """Compute delayed objects on the cluster of a run, and pass on each value when it is known.

    Raises
    ------
    PaniniError
        The run was stopped, or the cluster is gone.
    """
    from distributed import CancelledError
    from distributed.comm.core import CommClosedError

    client, stopping = spec.client, dispatch.stopping
    futures = client.compute(list(delayed), priority=spec.priority)
    stopping.in_flight.update(futures)
    try:
        stopping.require_going()  # perhaps stopped without cancelling these
        with dispatch.watched():
            for future in Completed(client, futures):
                when_done(future.result())
                stopping.in_flight.discard(future)
    except (CancelledError, CommClosedError) as error:
        why = stopping.why_gone("while the frame was computed", error)
        raise why from why.__cause__
    finally:
        left = [future for future in futures if future in stopping.in_flight]
        stopping.in_flight.difference_update(left)
        if left:
            client.cancel(left)
    stopping.require_going()
