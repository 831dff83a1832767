"""Who can reach a cluster: the interface that it listens on, TLS, and the warning without it.

Importing this imports nothing heavy.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...storage.errors import UnencryptedScheduler
from ..hardware.loopback import LOOPBACK, is_loopback

if TYPE_CHECKING:
    from distributed import Security

_ENCRYPTED = frozenset({"tls", "wss"})
_WITHIN_A_PROCESS = "inproc"
_MEANS = (
    "without TLS whoever reaches a scheduler runs code as its user, and whoever is on the way "
    "reads the texts"
)


@dataclass(frozen=True)
class Door:
    """Where a local cluster is to listen, and with which certificates."""

    host: str = LOOPBACK
    security: Security | None = None  # None: as dask's configuration and environment say

    @property
    def encrypted(self) -> bool:
        """Whether the cluster will speak TLS."""
        from distributed import Security

        security = Security() if self.security is None else self.security
        return bool(security.require_encryption)


def warn_of_open_door(door: Door, stacklevel: int) -> None:
    """Warn `UnencryptedScheduler` where a cluster that is about to start will be open to others."""
    if is_loopback(door.host) or door.encrypted:
        return
    warnings.warn(
        f"the scheduler on {door.host} is open to other hosts, and {_MEANS}. Leave host (--host) "
        "out to keep it to this machine, or give security=distributed.Security(...); in a shell, "
        "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION=true and certificates: see deploy/README.md",
        UnencryptedScheduler,
        stacklevel=stacklevel + 1,
    )


def warn_of_plain_address(address: str, stacklevel: int) -> None:
    """Warn `UnencryptedScheduler` where a scheduler on another host is spoken to without TLS."""
    protocol, _, place = address.partition("://")
    if protocol in _ENCRYPTED or protocol == _WITHIN_A_PROCESS or is_loopback(_host_of(place)):
        return
    warnings.warn(
        f"{address} is a scheduler of another host, spoken to in plain text, and {_MEANS}. Start "
        f"it with certificates and connect to tls://{place}: see deploy/README.md",
        UnencryptedScheduler,
        stacklevel=stacklevel + 1,
    )


def _host_of(place: str) -> str:
    """Return the host of ``host:port`` or ``[::1]:port``."""
    host, colon, _ = place.partition("/")[0].rpartition(":")
    return (host if colon else place).strip("[]")
