"""`RequestPolicy`: settings of the web client: rates, limits of answers, and retries."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies

from platformdirs import user_cache_path

from .... import __version__
from ....storage.errors import UsageError
from .limits.hosts import HostLimit
from .limits.rate import Rate

_Value = TypeVar("_Value")
_CONTACT = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~:@-]{3,200}")


@dataclass(frozen=True, kw_only=True)
class RequestPolicy:
    """Settings of the web client: rates, limits of answers, and retries.

    Hosts are given by name. A name includes its subdomains: what is set for
    ``arxiv.org`` also applies to ``export.arxiv.org``, unless that has a setting of its own.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    contact: str = ""
    """An e-mail address or a URL, sent with every request; required for public hosts."""
    per_second: float = 2.0
    """Maximum requests per second to a host, unless `rates` or `limits` has another one."""
    connections_per_host: int = 2
    rates: Mapping[str, float] = field(default_factory=dict)
    """Maximum requests per second, by host."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """Seconds between requests, by host, as operators publish them (`Source.limits`). Such hosts
    get one connection, and `rates` cannot go above them."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """Names of limits, by host: hosts with the same name share one limit."""
    connections: int = 64
    """Maximum connections in use, over all hosts."""
    allow_hosts: Collection[str] = ()
    """Names or addresses that may be private: ``127.0.0.1``. Subdomains are not included."""
    trust_env: bool = False
    """Whether to use the proxies of the environment. By default they are not used: they look up
    names themselves, so that private addresses behind them cannot be refused."""
    most_bytes: int = 64 << 20
    """Size of the largest decompressed body, in bytes, unless a request overrides it."""
    most_file_bytes: int = 1 << 40
    """Size of the largest file that is saved, in bytes, unless a request overrides it."""
    most_ratio: float = 250.0
    """Maximum ratio of decompressed to compressed size, above 1 MiB."""
    most_redirects: int = 10
    connect_seconds: float = 20.0
    """Maximum seconds to look up a name and to connect."""
    first_byte_seconds: float = 60.0
    """Maximum seconds from the request to the end of the answer's headers."""
    chunk_seconds: float = 30.0
    """Maximum seconds without data within a body."""
    body_seconds: float = 900.0
    """Maximum seconds for a body; files that are saved may take longer."""
    slowest: float = 256.0
    """Minimum bytes per second of a body, over each `slow_seconds`."""
    slow_seconds: float = 30.0
    tries: int = 5
    """Maximum number of tries of a request."""
    backoff_seconds: float = 1.0
    """Maximum seconds before the second try; doubled with each further try."""
    patience: float = 300.0
    """Maximum seconds to wait for a host that asks to wait; also for all tries of a request
    together: between them, and for slow answers."""
    cache: Path = field(default_factory=lambda: user_cache_path("paninifs") / "web")
    """A folder on a local disk, shared by the processes of a user: limits and robots.txt."""

    def __post_init__(self) -> None:
        if self.contact and not _CONTACT.fullmatch(self.contact):
            raise UsageError(f"the contact {self.contact!r} is not an e-mail address or a URL")
        if isinstance(self.allow_hosts, str):
            raise UsageError(f"allow_hosts={self.allow_hosts!r} must be several names, as a tuple")
        for name, values in (
            ("rate", [self.per_second]),
            ("rates", self.rates.values()),
            ("limits", self.limits.values()),
        ):
            _require_positive(name, values)
        for name in _POSITIVE:
            _require_positive(name, [getattr(self, name)])
        for name in ("connections_per_host", "connections", "tries"):
            if not isinstance(getattr(self, name), int):
                raise UsageError(f"{name} must be a whole number")

    @property
    def user_agent(self) -> str:
        """Value of the header `User-Agent`."""
        return f"paninifs/{__version__}" + (f" (+{self.contact})" if self.contact else "")

    def sharing(self, name: str, limits: Mapping[str, float]) -> RequestPolicy:
        """Return a policy that also observes a source's published limits.

        Parameters
        ----------
        name
            The source's name. Its hosts share one limit under it: an operator's limit is for all of
            its service.
        limits
            `Source.limits`.
        """
        return replace(
            self,
            limits={**self.limits, **limits},
            groups={**self.groups, **dict.fromkeys(limits, name)},
        )

    def limit_of(self, host: str) -> HostLimit:
        """Return the limit of a host."""
        rate = Rate.per_second(_of(self.rates, host) or self.per_second)
        published = _of(self.limits, host)
        if published is not None:  # the interval between requests, not their number per second
            rate = Rate(1, max(published, rate.interval))
        return HostLimit(
            limit=_of(self.groups, host) or host,
            rate=rate,
            connections=1 if published is not None else self.connections_per_host,
            persistent=published is None,
        )

    @property
    def proxies(self) -> frozenset[str]:
        """The hosts of the environment's proxies, if they are used."""
        found = getproxies().values() if self.trust_env else ()
        return frozenset(urlsplit(proxy).hostname or "" for proxy in found)

    def is_allowed(self, host: str) -> bool:
        """Return whether a host may have a private address."""
        return any(host == allowed.lower() for allowed in self.allow_hosts)


_POSITIVE = (
    "connections_per_host",
    "connections",
    "most_bytes",
    "most_file_bytes",
    "most_ratio",
    "most_redirects",
    "connect_seconds",
    "first_byte_seconds",
    "chunk_seconds",
    "body_seconds",
    "slowest",
    "slow_seconds",
    "tries",
    "backoff_seconds",
    "patience",
)


def _require_positive(name: str, values: Iterable[float]) -> None:
    for value in values:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < value < math.inf:
            raise UsageError(f"{name} must be a positive number, not {value!r}")


def _of(by_host: Mapping[str, _Value], host: str) -> _Value | None:
    """Return the setting of a host, or else of its nearest parent domain."""
    while True:
        if host in by_host:
            return by_host[host]
        host = host.partition(".")[2]
        if not host:
            return None
