"""`is_loopback`: whether a host name or address can be reached from this machine only.

Warnings about clusters that others can reach are in `cluster.network`. Importing this module
imports nothing heavy.
"""

from __future__ import annotations

import ipaddress
import socket

LOOPBACK = "127.0.0.1"


def is_loopback(host: str) -> bool:
    """Return whether a host is reachable from this machine only; False for an unknown host.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0"), is_loopback("")
    (True, True, False, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        pass
    try:
        resolved = socket.getaddrinfo(host, None) if host else []
    except OSError:
        return False
    addresses = [str(address[4][0]).partition("%")[0] for address in resolved]
    return bool(addresses) and all(ipaddress.ip_address(one).is_loopback for one in addresses)
