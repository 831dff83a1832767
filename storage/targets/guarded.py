"""Targets that wrap another: one retries transient failures, one reads back what it wrote.

Which failures are transient is decided in `filesystems.retry`, and which targets are wrapped in
`open`.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from ..filesystems.retry import permanent_errors, retried
from .one_by_one import put_each
from .target import Target

T = TypeVar("T")


class _Guard:
    def __init__(self, inner: Target) -> None:
        self._inner = inner

    @property
    def url(self) -> str:
        """As the wrapped target."""
        return self._inner.url

    @property
    def storage_options(self) -> Mapping[str, Any]:
        """As the wrapped target."""
        return self._inner.storage_options

    @property
    def slow_to_create(self) -> bool:
        """As the wrapped target."""
        return self._inner.slow_to_create

    @property
    def grouped(self) -> bool:
        """As the wrapped target."""
        return self._inner.grouped

    def get(self, key: str) -> bytes | None:
        """As the wrapped target."""
        return self._inner.get(key)

    def put(self, key: str, data: bytes) -> None:
        """As the wrapped target."""
        self._inner.put(key, data)

    def put_all(self, *steps: Mapping[str, bytes]) -> None:
        """Write whole objects, each with `put`."""
        put_each(self.put, steps)

    def create(self, key: str, data: bytes) -> bool:
        """As the wrapped target."""
        return self._inner.create(key, data)

    def delete(self, keys: Iterable[str]) -> None:
        """As the wrapped target."""
        self._inner.delete(keys)

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """As the wrapped target."""
        return self._inner.sizes(prefix)


class ReadBackTarget(_Guard):
    """For storage that may report a write as successful when it was not: a mount, a Drive."""

    @property
    def grouped(self) -> bool:
        """False: each object is read back before the next step."""
        return False

    def put(self, key: str, data: bytes) -> None:
        """Write a whole object; raise OSError if something else is read back."""
        self._inner.put(key, data)
        if self._inner.get(key) != data:
            raise self._torn(key)

    def create(self, key: str, data: bytes) -> bool:
        """Write an object only if it does not exist; raise OSError as `put` does."""
        if not self._inner.create(key, data):
            return False
        found = self._inner.get(key)
        if found is None:
            raise self._torn(key)
        if found != data and (data.startswith(found) or found.startswith(data)):
            # A partial object from this writer would keep all other writers out forever.
            self._inner.delete([key])
            raise self._torn(key)
        return found == data  # else another writer created it at the same moment

    def _torn(self, key: str) -> OSError:
        return OSError(errno.EIO, f"{self.url}/{key} is not what was written")


class RetryingTarget(_Guard):
    """Retries transient failures, and raises `StorageRefused` for permanent ones."""

    def get(self, key: str) -> bytes | None:
        """Return an object, or None if it does not exist."""
        return _call(f"reading {self.url}/{key}", lambda: self._inner.get(key))

    def put(self, key: str, data: bytes) -> None:
        """Write a whole object."""
        _call(f"writing {self.url}/{key}", lambda: self._inner.put(key, data))

    def put_all(self, *steps: Mapping[str, bytes]) -> None:
        """Write whole objects, step by step; where each is written by itself, each is retried."""
        if self._inner.grouped:
            count = sum(map(len, steps))
            _call(f"writing {count} objects to {self.url}", lambda: self._inner.put_all(*steps))
        else:
            put_each(self.put, steps)

    def create(self, key: str, data: bytes) -> bool:
        """Write an object only if it does not exist.

        An existing object with the same bytes is assumed to be from an attempt whose answer was
        lost, so the data must be unique to its writer.
        """
        created = _call(f"creating {self.url}/{key}", lambda: self._inner.create(key, data))
        return created or self.get(key) == data

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects."""
        every = list(keys)
        _call(f"deleting from {self.url}", lambda: self._inner.delete(every))

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """List the objects under a folder."""
        return _call(f"listing {self.url}", lambda: self._inner.sizes(prefix))


def _call(operation: str, call: Callable[[], T]) -> T:
    with permanent_errors(operation):
        return retried(operation, call)
