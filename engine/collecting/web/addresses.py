"""Which addresses may be requested: public ones, under plain names, by http and https.

`checked_url` checks the URL, `CheckedResolver` the addresses that its host name resolves to. The
checked addresses are the ones that are connected to, so that a name server gains nothing by
answering differently the second time (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Any

from ..outcome import NotKept
from .reading.shown_text import shown

if TYPE_CHECKING:
    from yarl import URL

    from .request_policy import RequestPolicy

_LONGEST_URL = 8000
_REFUSED = re.compile(r"[\x00-\x20\x7f\\]")
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]*|[0-9]+")
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_LOCAL = ("localhost", "local", "internal", "intranet", "localdomain", "home.arpa")

# Not refused by `is_global` of every version of Python.
_NOT_PUBLIC = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "192.0.0.0/24",
        "192.88.99.0/24",  # relays of 6to4
        "198.18.0.0/15",
        "240.0.0.0/4",
        "::/96",  # IPv4-compatible addresses, deprecated
        "64:ff9b:1::/48",  # NAT64 within a network
        "fec0::/10",
        "3fff::/20",
        "5f00::/16",
    )
)
_NAT64 = ip_network("64:ff9b::/96")
_ISATAP = 0x5EFE


def is_public(address: str) -> bool:
    """Return whether an address is public, including any IPv4 address that it embeds.

    Examples
    --------
    >>> is_public("93.184.215.14"), is_public("127.0.0.1"), is_public("::ffff:10.0.0.1")
    (True, False, False)
    """
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address) and ip.scope_id:
        return False
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip in _NAT64:
            return is_public(str(_low(ip)))
    if not ip.is_global or ip.is_multicast or ip.is_reserved:
        return False
    if any(ip in network for network in _NOT_PUBLIC if network.version == ip.version):
        return False
    return all(is_public(str(inner)) for inner in _embedded(ip))


def _embedded(ip: IPv4Address | IPv6Address) -> list[IPv4Address]:
    """Return the IPv4 addresses to which packets to an IPv6 address may be forwarded."""
    if isinstance(ip, IPv4Address):
        return []
    isatap = [_low(ip)] if (int(ip) >> 32) & 0xFFFF == _ISATAP else []
    sixtofour = [ip.sixtofour] if ip.sixtofour else []
    return [*isatap, *sixtofour, *(ip.teredo or ())]


def _low(ip: IPv6Address) -> IPv4Address:
    return IPv4Address(int(ip) & 0xFFFFFFFF)


def checked_url(text: str, policy: RequestPolicy, params: Mapping[str, str] | None = None) -> URL:
    """Return a URL that may be requested; its host's addresses are still to be checked.

    Parameters
    ----------
    text
        The address.
    policy
        Which hosts may be private.
    params
        Parameters to add to its query.

    Raises
    ------
    NotKept
        "bad-url" or "private-address".
    """
    from yarl import URL

    text = text.strip()
    if len(text) > _LONGEST_URL or _REFUSED.search(text):
        raise NotKept("bad-url", f"{shown(text)} has blanks or is too long")
    try:
        url = URL(text).with_fragment(None)
        if params:
            url = url.extend_query(params) if hasattr(url, "extend_query") else url % params
        host, port, user = url.raw_host, url.port, url.raw_user or url.raw_password
    except (ValueError, TypeError, UnicodeError) as error:
        raise NotKept("bad-url", f"{shown(text)}: {shown(str(error))}") from error
    if url.scheme not in {"http", "https"} or not host or not port:
        raise NotKept("bad-url", shown(text))
    if user is not None:
        raise NotKept("bad-url", "it has a user's name or password")
    _check_host(host.lower(), policy)
    return url


def _check_host(host: str, policy: RequestPolicy) -> None:
    if policy.is_allowed(host):
        return
    name = host.removesuffix(".")
    if ":" in name or _is_canonical(name):
        if not is_public(name):
            raise NotKept("private-address", shown(name))
        return
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        with suppress(OSError, ValueError):
            if not is_public(socket.inet_ntoa(socket.inet_aton(name))):
                raise NotKept("private-address", shown(name))
        raise NotKept("bad-url", f"{shown(name)} is an unusual spelling of an address")
    if any(name == local or name.endswith(f".{local}") for local in _LOCAL):
        raise NotKept("private-address", shown(name))
    if len(name) > 253 or not _NAME.fullmatch(name):
        raise NotKept("bad-url", f"{shown(name)} is not the name of a host")


def _is_canonical(host: str) -> bool:
    try:
        return str(IPv4Address(host)) == host
    except ValueError:
        return False


class CheckedResolver:
    """Resolves names for aiohttp's connector, and refuses those with private addresses.

    Parameters
    ----------
    policy
        Which hosts may be private, and how long a look-up may take.
    lookup
        For tests: the look-up, like `socket.getaddrinfo`.
    """

    _MOST, _SECONDS = 1024, 60.0

    def __init__(
        self, policy: RequestPolicy, lookup: Callable[..., list[Any]] = socket.getaddrinfo
    ) -> None:
        self._policy = policy
        self._lookup = lookup
        # Not the loop's own threads: a name server that does not answer would hold all of them.
        self._threads = ThreadPoolExecutor(16, "names")
        self._known: OrderedDict[tuple[str, int, int], tuple[float, list[dict[str, Any]]]]
        self._known = OrderedDict()

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
        """Return the addresses of a host, in the form that aiohttp wants.

        Raises
        ------
        NotKept
            "private-address", if any of them is private: any of them may be connected to.
        OSError
            The name is unknown.
        """
        key = (host, port, family)
        known = self._known.get(key)
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._policy.connect_seconds):
                found = await loop.run_in_executor(self._threads, self._ask, host, port, family)
        except TimeoutError as error:
            raise NotKept("unknown-host", f"no name server answered for {shown(host)}") from error
        except UnicodeError as error:
            raise NotKept("bad-url", f"{shown(host)} is not the name of a host") from error
        addresses = [_address(host, *words) for words in found]
        self._check(host, addresses)
        self._known[key] = (time.monotonic() + self._SECONDS, addresses)
        if len(self._known) > self._MOST:
            self._known.popitem(last=False)
        return addresses

    async def close(self) -> None:
        """Shut down the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ask(self, host: str, port: int, family: int) -> list[Any]:
        return self._lookup(
            host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )

    def _check(self, host: str, addresses: list[dict[str, Any]]) -> None:
        if not addresses:
            raise OSError(f"{host} has no address")
        if self._policy.is_allowed(host) or host in self._policy.proxies:
            return
        for address in addresses:
            if not is_public(address["host"]):
                raise NotKept("private-address", f"{shown(host)} is {address['host']}")


def _address(host: str, family: int, _kind: int, proto: int, _name: str, at: Any) -> dict[str, Any]:
    number = at[0]
    if len(at) > 3 and at[3]:  # a link-local address, with the interface that it is on
        number = f"{number}%{at[3]}"
    return {
        "hostname": host,
        "host": number,
        "port": at[1],
        "family": family,
        "proto": proto,
        "flags": socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    }
