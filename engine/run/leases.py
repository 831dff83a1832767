"""The leases of the places that a run writes to: all of them or none, and given up for certain."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ...storage.errors import PaniniError
from ...storage.store.lease import Lease
from ...storage.store.manifest import read_manifest
from ...storage.targets.target import Target

_log = logging.getLogger(__name__)

Leases = Sequence[tuple[Target, Lease]]
"""Places and their leases: of the results first, then of the mirror."""


def acquire(places: Sequence[Target]) -> Leases:
    """Take the lease of every place.

    Raises
    ------
    LeaseHeld
        Another driver writes to one of them; none is held then.
    """
    held: list[tuple[Target, Lease]] = []
    try:
        for place in places:
            held.append((place, Lease.acquire(place)))  # noqa: PERF401 (those held are given up)
    except BaseException:
        give_up(held)
        raise
    return held


def give_up(leases: Leases) -> None:
    """Release leases; where nothing was begun, leave nothing behind."""
    for place, lease in leases:
        try:
            lease.release()  # before anything else is asked of a place that may be away
            if read_manifest(place) is None:
                lease.withdraw()
        except PaniniError as error:
            _log.warning("the lease of %s could not be given up: %s", place.url, error)
        except Exception:  # noqa: BLE001 (why the run ended is what its user has to hear)
            _log.warning("the lease of %s could not be given up", place.url, exc_info=True)
