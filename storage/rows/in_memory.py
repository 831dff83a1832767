"""`InMemory`: a file of a corpus that lies in the memory of this process, under a URL of its own.

The URL contains the digest of what the file holds, so it means the same in every process. The bytes
are not pickled with a `SourceFile`, which every task carries: `engine.worker.sent_graph` brings
them to each worker process once. How data become such a file is in `corpus.tables`.
"""

from __future__ import annotations

import threading
from weakref import WeakValueDictionary

SCHEME = "in-memory"
"""Prefix of the URLs. It is not a protocol of fsspec, whose ``memory://`` differs by process."""

_held: WeakValueDictionary[str, InMemory] = WeakValueDictionary()
_lock = threading.Lock()


class InMemory:
    """The bytes of a file, and the digest of what they hold. Made by `hold`.

    It is kept as long as anything refers to it: the files of a corpus, or a graph that is loaded.

    Attributes
    ----------
    url : str
    digest : str
        The digest that a store keeps of the content; see `corpus.identity`.
    data : bytes
        The file, in its format.
    """

    def __init__(self, url: str, digest: str, data: bytes) -> None:
        self.url, self.digest, self.data = url, digest, data

    def __repr__(self) -> str:
        return f"<InMemory {self.url}: {len(self.data):,} bytes>"

    def __reduce__(self) -> tuple[object, ...]:
        return held, (self.url,)

    def __dask_tokenize__(self) -> str:
        return self.url


def url_of(digest: str) -> str:
    """Return the URL of the file with a digest.

    >>> url_of("values:900150983cd24fb0d6963f7d28e17f72")
    'in-memory:900150983cd24fb0'
    """
    return f"{SCHEME}:{digest.partition(':')[2][:16]}"


def hold(digest: str, data: bytes) -> InMemory:
    """Return the file with a digest, which this process holds from now on."""
    url = url_of(digest)
    with _lock:
        known = _held.get(url)
        if known is None or known.digest != digest:
            known = _held[url] = InMemory(url, digest, data)
        return known


def held(url: str) -> InMemory | None:
    """Return the file at a URL if this process holds it."""
    return _held.get(url)
