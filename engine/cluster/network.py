"""Who can reach a cluster: the interface it listens on, TLS, and warnings if TLS is missing.

Whether a host is loopback is decided in `hardware.loopback`. Importing this module imports nothing
heavy.
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
_IN_PROCESS = "inproc"
_RISK = (
    "without TLS anyone who can reach a scheduler can run code as its user, and anyone on the "
    "network path can read the texts"
)


@dataclass(frozen=True)
class Endpoint:
    """The interface on which a local cluster listens, and its certificates."""

    host: str = LOOPBACK
    security: Security | None = None  # None: from dask's configuration and environment

    @property
    def encrypted(self) -> bool:
        """Whether the cluster will speak TLS."""
        from distributed import Security

        security = Security() if self.security is None else self.security
        return bool(security.require_encryption)


def warn_if_exposed(endpoint: Endpoint, stacklevel: int) -> None:
    """Warn `UnencryptedScheduler` if a cluster about to start is open to others without TLS."""
    if is_loopback(endpoint.host) or endpoint.encrypted:
        return
    warnings.warn(
        f"the scheduler on {endpoint.host} is open to other hosts, and {_RISK}. Omit host (--host) "
        "to keep it on this machine, or pass security=distributed.Security(...); in a shell, set "
        "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION=true and certificates: see "
        "deploy/docs/clusters.md",
        UnencryptedScheduler,
        stacklevel=stacklevel + 1,
    )


def warn_if_plain(address: str, stacklevel: int) -> None:
    """Warn `UnencryptedScheduler` if a scheduler on another host is contacted without TLS."""
    protocol, _, host_port = address.partition("://")
    if protocol in _ENCRYPTED or protocol == _IN_PROCESS or is_loopback(_host_of(host_port)):
        return
    warnings.warn(
        f"{address} is a scheduler on another host, contacted in plain text, and {_RISK}. Start "
        f"it with certificates and connect to tls://{host_port}: see deploy/docs/clusters.md",
        UnencryptedScheduler,
        stacklevel=stacklevel + 1,
    )


def _host_of(host_port: str) -> str:
    """Return the host of ``host:port`` or ``[::1]:port``."""
    host, colon, _ = host_port.partition("/")[0].rpartition(":")
    return (host if colon else host_port).strip("[]")
