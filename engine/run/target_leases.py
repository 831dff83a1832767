"""The leases of all targets that a run writes to: acquired together, released reliably.

Leases themselves are defined in `storage.store.lease`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from ...storage.errors import PaniniError, StorageRefused
from ...storage.store.keys import is_lease
from ...storage.store.leases.lease import Lease
from ...storage.store.manifest import read_manifest
from ...storage.targets.target import Target

_log = logging.getLogger(__name__)

Leases = list[tuple[Target, Lease]]
"""Targets and their leases: the results first, then the mirror, unless it is full."""


def acquire(targets: Sequence[Target]) -> Leases:
    """Acquire the leases of all targets, or of none; a mirror that is full has none for now.

    Raises
    ------
    LeaseHeld
        Another process is writing to one of them.
    """
    results, *mirrors = targets
    held: Leases = []
    try:
        held.append((results, Lease.acquire(results)))
        for mirror in mirrors:
            try:
                held.append((mirror, Lease.acquire(mirror)))
            except StorageRefused as error:
                if not error.full:  # the results can be had without it; see `Mirroring`
                    raise
    except BaseException:
        release_all(held)
        raise
    return held


def release_all(leases: Iterable[tuple[Target, Lease]]) -> None:
    """Release leases, and remove their objects from targets where nothing was written.

    What a store that was only half begun has left is known as the engine's own by the lease alone.
    """
    for target, lease in leases:
        try:
            lease.release()  # before any other request to a target that may be unreachable
            if read_manifest(target) is None and all(map(is_lease, target.sizes())):
                lease.withdraw()
        except PaniniError as error:
            _log.warning("the lease of %s could not be released: %s", target.url, error)
        except Exception:  # noqa: BLE001 (the user needs to see why the run ended, not this)
            _log.warning("the lease of %s could not be released", target.url, exc_info=True)
