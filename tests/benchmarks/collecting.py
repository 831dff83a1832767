"""Collections from loopback: beside asking one at a time, and at the limits of hosts.

Arrivals at limits are those that the kernel notes. A figure of pace says how near to the limit a
host was asked, and the next one how many requests came within any second.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from collecting_attempt import ServedPages
from many_urls import ManyUrls
from measure import Table
from stamped_server import most_within, stamped_server
from web_server import WebServer

import paninifs as pf

ROUNDS = 3
HOSTS, ITEMS, FEW = 24, 2400, 24
SECONDS = 20
LIMITS = (2, 20)
"""Requests per second."""


def main() -> None:
    print(_many_hosts().markdown())
    print(_at_limits().markdown())


def _many_hosts() -> Table:
    table = Table("Pages per second, 24 hosts that answer after 100 ms", "2 connections per host")
    single, together = [], []
    for _ in range(ROUNDS):
        with WebServer(latency=0.1, hosts=HOSTS) as server, tempfile.TemporaryDirectory() as folder:
            pages = ServedPages(server.port, ITEMS, HOSTS)
            begun = time.monotonic()
            for number in range(FEW):
                urllib.request.urlopen(pages.item(number).url).read()
            single.append(FEW / (time.monotonic() - begun))
            begun = time.monotonic()
            _collect(pages, folder, rate=1000, hosts=HOSTS)
            together.append(ITEMS / (time.monotonic() - begun))
    one, many = statistics.median(single), statistics.median(together)
    table.rows.append({"one at a time": one, "collect": many, "times": many / one})
    return table


def _at_limits() -> Table:
    table = Table("Requests that one host gets", f"{SECONDS} s, arrivals noted by the kernel")
    for rate in LIMITS:
        for collectors in (1, 2):
            with stamped_server() as server, tempfile.TemporaryDirectory() as folder:
                each = rate * SECONDS // collectors
                words = [*map(str, (each, rate)), folder]
                started = [
                    subprocess.Popen([sys.executable, __file__, f"{server.url}{name}", *words])
                    for name in range(collectors)
                ]
                if any(process.wait() for process in started):
                    sys.exit("a collector failed")
            times = sorted(server.times)
            table.rows.append(
                {
                    "limit per second": rate,
                    "collectors": collectors,
                    "pace ÷ limit": (len(times) - 1) / (times[-1] - times[0]) / rate,
                    "most within a second": most_within(times, 1.0),
                }
            )
    return table


def _collect(source: pf.Source, folder: str, *, rate: float, hosts: int) -> None:
    pf.collect(
        source,
        tempfile.mkdtemp(dir=folder),
        rate=rate,
        allow_hosts=[f"127.0.0.{host}" for host in range(1, hosts + 1)],
        progress=False,
        cache=Path(folder) / "cache",
    )


if __name__ == "__main__":
    if sys.argv[1:]:
        url, items, rate, folder = sys.argv[1:]
        _collect(ManyUrls(url, int(items)), folder, rate=float(rate), hosts=1)
    else:
        main()
