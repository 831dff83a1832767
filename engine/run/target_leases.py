"""The leases of all targets that a run writes to: acquired together, released reliably.

Leases themselves are defined in `storage.store.lease`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ...storage.errors import PaniniError
from ...storage.store.lease import Lease
from ...storage.store.manifest import read_manifest
from ...storage.targets.target import Target

_log = logging.getLogger(__name__)

Leases = Sequence[tuple[Target, Lease]]
"""Targets and their leases: the results first, then the mirror."""


def acquire(targets: Sequence[Target]) -> Leases:
    """Acquire the leases of all targets, or of none.

    Raises
    ------
    LeaseHeld
        Another process is writing to one of them.
    """
    held: list[tuple[Target, Lease]] = []
    try:
        for target in targets:
            held.append((target, Lease.acquire(target)))  # noqa: PERF401 (released on failure)
    except BaseException:
        release_all(held)
        raise
    return held


def release_all(leases: Leases) -> None:
    """Release leases, and remove their objects from targets where no store was begun."""
    for target, lease in leases:
        try:
            lease.release()  # before any other request to a target that may be unreachable
            if read_manifest(target) is None:
                lease.withdraw()
        except PaniniError as error:
            _log.warning("the lease of %s could not be released: %s", target.url, error)
        except Exception:  # noqa: BLE001 (the user needs to see why the run ended, not this)
            _log.warning("the lease of %s could not be released", target.url, exc_info=True)
