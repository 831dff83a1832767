"""`host_of`: the host that an item is fetched from; items are queued by host."""

from __future__ import annotations

from urllib.parse import urlsplit

FILES = "file:"
"""Stands for the host of items that are read from files."""


def host_of(path: str, url: str) -> str:
    """Return the name of an item's host, or `FILES`; empty if it cannot be determined.

    >>> host_of("", "https://Example.org:8080/a")
    'example.org'
    """
    if path:
        return FILES
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""
